/* SPDX-License-Identifier: Apache-2.0 */
#include "pack_meta.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "scope.h"

/* The kernel's limits for a list and for a value. */
#define XATTR_MAX 65536

/* A free slot has no path; a path stays until the table is freed. */
struct pack_link {
	dev_t dev;
	ino_t ino;
	char *path;
};

/* What has no content_fd cannot be opened without side effects: lgetxattr by folder and name. */
static void place(const struct pack_entry *entry, char out[320])
{
	(void)snprintf(out, 320, "/proc/self/fd/%d/%s", entry->dirfd, entry->name);
}

static ssize_t list_names(const struct pack_entry *entry, const char *path, char *buf)
{
	if (entry->content_fd >= 0)
		return flistxattr(entry->content_fd, buf, XATTR_MAX);
	return llistxattr(path, buf, XATTR_MAX);
}

static ssize_t get_value(
	const struct pack_entry *entry, const char *path, const char *name, void *buf)
{
	if (entry->content_fd >= 0)
		return fgetxattr(entry->content_fd, name, buf, XATTR_MAX);
	return lgetxattr(path, name, buf, XATTR_MAX);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* xfs lists each ACL a second time, in its own format.  The twin's name sorts before it. */
static bool is_twin(const char *name, const char *const *before, size_t count)
{
	const char *twin = NULL;

	if (strcmp(name, "trusted.SGI_ACL_FILE") == 0)
		twin = "system.posix_acl_access";
	else if (strcmp(name, "trusted.SGI_ACL_DEFAULT") == 0)
		twin = "system.posix_acl_default";
	for (size_t i = 0; twin && i < count; i++)
		if (strcmp(before[i], twin) == 0)
			return true;
	return false;
}

void pack_xattrs(
	const struct pack_entry *entry, const struct pack_xattr_ops *ops, struct trouble *t)
{
	static const ssize_t name_min = 2; /* one byte and NUL */
	static _Thread_local char names[XATTR_MAX], value[XATTR_MAX];
	char path[320];

	place(entry, path);
	ssize_t len = list_names(entry, path, names);
	if (len < 0 && errno != ENOTSUP && errno != ENOSYS)
		trouble_add(t, entry->path, "list extended attributes", errno);
	if (len < name_min)
		return;
	AUTO_FREE const char **order = calloc((size_t)(len / name_min) + 1, sizeof(*order));
	size_t count = 0;
	if (!order) {
		trouble_add(t, entry->path, "list extended attributes", ENOMEM);
		return;
	}
	names[len - 1] = '\0';
	for (const char *n = names; n < names + len; n += strlen(n) + 1)
		if (*n)
			order[count++] = n;
	qsort(order, count, sizeof(*order), by_bytes);
	for (size_t i = 0; i < count; i++) {
		if (is_twin(order[i], order, i))
			continue;
		ssize_t n = get_value(entry, path, order[i], value);

		if (n < 0)
			trouble_add(t, entry->path, "read extended attribute", errno);
		else
			ops->add(ops->arg, order[i], value, (size_t)n);
	}
}

static size_t slot_of(const struct pack_links *l, dev_t dev, ino_t ino)
{
	uint64_t h = ((uint64_t)ino ^ (uint64_t)dev << 32) * 0x9E3779B97F4A7C15u;
	size_t i = (size_t)(h >> 20) & (l->cap - 1);

	while (l->items[i].path && (l->items[i].dev != dev || l->items[i].ino != ino))
		i = (i + 1) & (l->cap - 1);
	return i;
}

static int grow(struct pack_links *l)
{
	struct pack_links bigger = {.cap = l->cap ? l->cap * 2 : 256, .count = l->count};

	bigger.items = calloc(bigger.cap, sizeof(*bigger.items));
	if (!bigger.items)
		return -ENOMEM;
	for (size_t i = 0; i < l->cap; i++)
		if (l->items[i].path)
			bigger.items[slot_of(&bigger, l->items[i].dev, l->items[i].ino)] =
				l->items[i];
	free(l->items);
	*l = bigger;
	return 0;
}

int pack_link_find(
	struct pack_links *l, const struct stat *st, const char *path, const char **first)
{
	if (l->count * 2 >= l->cap && grow(l) < 0)
		return -ENOMEM;
	struct pack_link *at = &l->items[slot_of(l, st->st_dev, st->st_ino)];
	*first = at->path;
	if (at->path)
		return 0;
	*at = (struct pack_link){st->st_dev, st->st_ino, strdup(path)};
	if (!at->path)
		return -ENOMEM;
	l->count++;
	return 0;
}

void pack_links_done(struct pack_links *l)
{
	for (size_t i = 0; i < l->cap; i++)
		free(l->items[i].path);
	free(l->items);
	*l = (struct pack_links){0};
}
