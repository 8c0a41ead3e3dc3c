/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thin devices named in the configuration, for pools whose owner thinark does not know.  The kernel
 * is asked what is active; nothing is read from a device.
 */
#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "dm.h"
#include "lvm.h"
#include "scope.h"
#include "snap.h"

#define NOT_SEEN (-1)

/* What the kernel has of one volume. */
struct seen {
	const struct cfg_volume *volume;
	int64_t want_major, want_minor; /* of the path that was given; NOT_SEEN: a name was */
	char pool[DM_NAME_MAX];         /* dm name; empty: not active */
	int64_t major, minor;           /* of the pool */
	bool is_other;                  /* the pool's device is there, and is none */
	int64_t thin_id;
	uint64_t size_bytes; /* 0: not active */
	bool is_external;    /* unmapped blocks come from another device */
};

/* The number of the device at path, or a negative errno. */
static int find_number(const char *path, struct seen *s)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISBLK(st.st_mode))
		return -ENOTBLK;
	s->want_major = major(st.st_rdev);
	s->want_minor = minor(st.st_rdev);
	return 0;
}

static bool is_wanted(const struct seen *s, const char *name, const struct dmdev_info *i)
{
	if (s->want_major != NOT_SEEN)
		return i->major == s->want_major && i->minor == s->want_minor;
	return s->volume->pool && strcmp(name, s->volume->pool) == 0;
}

static bool take_thin(struct seen *s, const struct dmdev_target *t)
{
	unsigned pool_major, pool_minor;
	uint32_t id;
	int end = 0;

	if (strcmp(t->type, "thin") != 0 ||
		sscanf(t->params, "%u:%u %" SCNu32 "%n", &pool_major, &pool_minor, &id, &end) != 3)
		return false;
	s->major = pool_major;
	s->minor = pool_minor;
	s->thin_id = id;
	s->size_bytes = t->length_sectors * 512;
	s->is_external = t->params[end] == ' ';
	return true;
}

/* The device that the path means. */
static int see_device(void *arg, const char *name, const struct dmdev_info *i,
	const struct dmdev_target *t, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	return is_wanted(s, name, i) && take_thin(s, t);
}

/* Its pool, by the number in its table; or the one that was named. */
static int see_pool(void *arg, const char *name, const struct dmdev_info *i,
	const struct dmdev_target *t, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	if (s->volume->device ? i->major != s->major || i->minor != s->minor
			      : !is_wanted(s, name, i))
		return 0;
	s->is_other = strcmp(t->type, "thin-pool") != 0;
	if (s->is_other)
		return 1;
	s->major = i->major;
	s->minor = i->minor;
	(void)snprintf(s->pool, sizeof(s->pool), "%s", name);
	return 1;
}

/* An active device of the named id. */
static int see_id(void *arg, const char *name, const struct dmdev_info *i,
	const struct dmdev_target *t, struct err *e)
{
	const struct seen *wanted = arg;
	struct seen one = *wanted;

	(void)name;
	(void)i;
	(void)e;
	if (!take_thin(&one, t) || one.major != wanted->major || one.minor != wanted->minor ||
		one.thin_id != wanted->volume->thin_id)
		return 0;
	*(struct seen *)arg = one;
	return 1;
}

static int by_device(struct seen *s, struct strbuf *problem, struct err *e)
{
	const char *device = s->volume->device;
	int r = find_number(device, s);

	if (r < 0) {
		strbuf_printf(problem, "%s: %s", device, strerror(-r));
		return 0;
	}
	r = dmdev_each(see_device, s, e);
	if (r == 0)
		strbuf_printf(problem, "%s: no thin device", device);
	if (r > 0)
		r = dmdev_each(see_pool, s, e);
	return r < 0 ? r : 0;
}

static int by_id(struct seen *s, struct strbuf *problem, struct err *e)
{
	const struct cfg_volume *v = s->volume;
	int r = v->pool[0] == '/' ? find_number(v->pool, s) : 0;

	s->thin_id = v->thin_id;
	if (r < 0) {
		strbuf_printf(problem, "pool %s: %s", v->pool, strerror(-r));
		return 0;
	}
	r = dmdev_each(see_pool, s, e);
	if (r == 0 && v->pool[0] == '/')
		s->is_other = true;
	if (r >= 0 && s->is_other)
		strbuf_printf(problem, "'%s' is no thin pool", v->pool);
	if (r > 0 && !s->is_other)
		r = dmdev_each(see_id, s, e);
	if (r >= 0 && !s->size_bytes && !v->size && !problem->len)
		strbuf_printf(problem,
			"thin %" PRId64 " of pool '%s' is not active: its size is known to nobody, "
			"so the key 'size' is needed",
			v->thin_id, v->pool);
	return r < 0 ? r : 0;
}

static int look(struct seen *s, struct strbuf *problem, struct err *e)
{
	int r = s->volume->device ? by_device(s, problem, e) : by_id(s, problem, e);

	if (r < 0 || problem->len)
		return r;
	if (!s->size_bytes)
		s->size_bytes = (uint64_t)s->volume->size;
	if (s->thin_id > SNAP_ID_TOP - SNAP_ID_BAND)
		strbuf_printf(
			problem, "thin %" PRId64 " is one of thinark's own snapshots", s->thin_id);
	else if (s->pool[0] && lvm_owns((unsigned)s->major, (unsigned)s->minor))
		strbuf_printf(problem,
			"pool '%s' is LVM's, which has to take the snapshot: a store of type lvm "
			"does it",
			s->pool);
	else if (s->is_external)
		strbuf_printf(problem,
			"thin %" PRId64 " has an external origin, which its snapshot would lack",
			s->thin_id);
	else if (s->size_bytes % 512)
		strbuf_puts(problem, "size: no multiple of 512");
	return 0;
}

static int fill(
	const struct cfg_store *cfg, const struct cfg_volume *v, struct container *c, struct err *e)
{
	AUTO_STRBUF problem = {0};
	struct seen s = {.volume = v, .want_major = NOT_SEEN};
	int r = look(&s, &problem, e);

	if (r < 0)
		return r;
	c->store = strdup(cfg->name);
	c->name = strdup(v->name);
	c->subdir = strdup(v->subdir);
	/* One that is not active may have a name all the same. */
	c->pool.dm_name = s.pool[0] || !v->pool ? strdup(s.pool) : strdup(v->pool);
	c->thin_id = (uint32_t)s.thin_id;
	c->size_bytes = s.size_bytes;
	c->problem = problem.len ? strdup(problem.data) : NULL;
	if (!c->store || !c->name || !c->subdir || !c->pool.dm_name || problem.failed ||
		(problem.len && !c->problem))
		return err_sys(e, ERR_FATAL, -ENOMEM, "manual");
	return 0;
}

static int manual_list(const struct cfg_store *cfg, struct container_list *list,
	struct strbuf *notes, struct err *e)
{
	struct err mine = {0};
	int r = dmdev_init(&mine);

	(void)notes;
	for (size_t i = 0; r == 0 && i < cfg->volume_count; i++) {
		struct container *c = container_list_add(list);

		r = c ? fill(cfg, &cfg->volumes[i], c, &mine)
		      : err_sys(&mine, ERR_FATAL, -ENOMEM, "manual");
	}
	if (r == 0)
		return 0;
	if (r != -ENOMEM)
		mine.kind = ERR_STORE;
	if (e)
		*e = mine;
	return r;
}

const struct store_ops store_manual = {
	.type = "manual",
	.help = "Thin devices by hand; volumes: each as a path, or as pool and thin id",
	.list = manual_list,
};
