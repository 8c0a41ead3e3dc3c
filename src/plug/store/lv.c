/* SPDX-License-Identifier: Apache-2.0 */
#include "lv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "dm.h"
#include "scope.h"

static const char *why_not(const struct lvm_lv *v)
{
	if (!v)
		return "there is no such volume";
	if (!v->is_thin)
		return "it is no thin volume";
	if (lvm_is_ours(v))
		return "it is one of thinark's own snapshots";
	return v->problem;
}

int lv_fill(const struct lvm_list *all, const char *vg, const char *name, const char *where,
	struct container *c, struct err *e)
{
	const struct lvm_lv *v = lvm_in_list(all, vg, name);
	const char *why = why_not(v);
	char pool[DM_NAME_MAX];
	int n = 0;

	/* The layer below the pool that people see is the one that takes messages. */
	if (!why && !lvm_dm_name(vg, v->pool, "-tpool", pool, sizeof(pool)))
		why = "its pool's name is too long for device mapper";
	if (why) {
		c->problem = NULL;
		n = asprintf(&c->problem, "%s: '%s/%s': %s", where, vg, name, why);
		return n < 0 ? err_sys(e, ERR_FATAL, -ENOMEM, "lvm") : 0;
	}
	c->volume = VOLUME_THIN;
	c->thin_id = v->thin_id;
	c->size_bytes = v->size_bytes;
	c->pool.dm_name = strdup(pool);
	c->state = strdup(v->is_open ? "running" : "stopped");
	if (!c->id)
		c->id = strdup(v->uuid);
	if (asprintf(&c->lv, "%s/%s", vg, name) < 0)
		c->lv = NULL;
	return c->pool.dm_name && c->state && c->id && c->lv
		       ? 0
		       : err_sys(e, ERR_FATAL, -ENOMEM, "lvm");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int lv_read_names(int dir, const char *name, struct lv_names *ret, struct err *e)
{
	AUTO_CLOSE int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_DIR DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *item;

	if (!d)
		return err_sys(e, ERR_STORE, -errno, "%s", name);
	fd = -1; /* the stream's */
	for (errno = 0; (item = readdir(d)); errno = 0) {
		if (item->d_name[0] == '.')
			continue;
		char **more = reallocarray(ret->items, ret->count + 1, sizeof(*more));
		if (!more)
			return err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
		ret->items = more;
		more[ret->count] = strdup(item->d_name);
		if (!more[ret->count])
			return err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
		ret->count++;
	}
	if (errno)
		return err_sys(e, ERR_STORE, -errno, "%s", name);
	if (ret->count)
		qsort(ret->items, ret->count, sizeof(*ret->items), by_name);
	return 0;
}

void lv_names_done(struct lv_names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->items[i]);
	free(n->items);
	*n = (struct lv_names){0};
}

const struct lvm_lv *lv_by_device(const struct lvm_list *all, const char *path)
{
	static const char mapper[] = "/dev/mapper/", dev[] = "/dev/";
	const bool is_mapper = strncmp(path, mapper, sizeof(mapper) - 1) == 0;

	if (strncmp(path, dev, sizeof(dev) - 1) != 0)
		return NULL;
	path += is_mapper ? sizeof(mapper) - 1 : sizeof(dev) - 1;
	for (size_t i = 0; i < all->count; i++) {
		const struct lvm_lv *v = &all->items[i];
		char name[2 * LVM_NAME_MAX + 2];

		if (is_mapper && !lvm_dm_name(v->vg, v->name, "", name, sizeof(name)))
			continue;
		if (!is_mapper)
			(void)snprintf(name, sizeof(name), "%s/%s", v->vg, v->name);
		if (strcmp(name, path) == 0)
			return v;
	}
	return NULL;
}
