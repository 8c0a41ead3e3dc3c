/* SPDX-License-Identifier: Apache-2.0 */
/* Device mapper as the kernel and libdevmapper behave towards dm.c and snapper.c. */
#include <fcntl.h>
#include <inttypes.h>
#include <libdevmapper.h>
#include <linux/dm-ioctl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "view.h"
#include "world.h"

#define MAJOR 253u
#define POOL_STATUS "7 100/4096 1000/16384 - rw discard_passdown queue_if_no_space - 1024"

void *__real_calloc(size_t n, size_t size);

struct dm_task {
	int type, error;
	char name[128], uuid[128], message[128];
	char target[16], params[256];
	uint64_t length;
	bool read_only, deferred;
	struct dm_info info;
	_Alignas(8) char names[WORLD_DEVICES * 160];
};

struct model_dev *model_find(const char *name)
{
	for (size_t i = 0; i < WORLD_DEVICES; i++)
		if (world->m.devs[i].exists && strcmp(world->m.devs[i].name, name) == 0)
			return &world->m.devs[i];
	return NULL;
}

static struct model_dev *new_dev(const char *name)
{
	struct model_dev *d = world->m.devs;

	while (d < world->m.devs + WORLD_DEVICES && d->exists)
		d++;
	if (d == world->m.devs + WORLD_DEVICES)
		abort();
	*d = (struct model_dev){.exists = true, .minor = world->m.next_minor++};
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	return d;
}

struct model_dev *model_add(const char *name, const char *type, const char *params, uint64_t len)
{
	struct model_dev *d = new_dev(name);

	(void)snprintf(d->type, sizeof(d->type), "%s", type);
	(void)snprintf(d->params, sizeof(d->params), "%s", params);
	d->live = true;
	d->length = len;
	return d;
}

static struct model_id *find_id(uint32_t id)
{
	for (size_t i = 0; i < WORLD_IDS; i++)
		if (world->m.ids[i].exists && world->m.ids[i].id == id)
			return &world->m.ids[i];
	return NULL;
}

void model_add_id(uint32_t id, uint32_t root)
{
	for (size_t i = 0; i < WORLD_IDS; i++)
		if (!world->m.ids[i].exists) {
			world->m.ids[i] = (struct model_id){true, id, root, world->m.time};
			return;
		}
	abort();
}

static bool shows_id(const struct model_dev *d, uint32_t id)
{
	unsigned major, minor;
	uint32_t own;

	return (d->live && strcmp(d->type, "thin") == 0 &&
		       sscanf(d->params, "%u:%u %" SCNu32, &major, &minor, &own) == 3 &&
		       own == id) ||
	       (d->loaded && strcmp(d->next_type, "thin") == 0 &&
		       sscanf(d->next_params, "%u:%u %" SCNu32, &major, &minor, &own) == 3 &&
		       own == id);
}

static const struct model_dev *dev_of_id(uint32_t id)
{
	for (size_t i = 0; i < WORLD_DEVICES; i++)
		if (world->m.devs[i].exists && shows_id(&world->m.devs[i], id))
			return &world->m.devs[i];
	return NULL;
}

int model_message(const char *pool, const char *text)
{
	const struct model_dev *p = model_find(pool);
	uint32_t id, origin;

	if (!p)
		return -ENXIO;
	if (strcmp(p->type, "thin-pool") != 0 || !p->live)
		return -EINVAL;
	if (sscanf(text, "create_snap %" SCNu32 " %" SCNu32, &id, &origin) == 2) {
		const struct model_id *from = find_id(origin);
		const struct model_dev *live = dev_of_id(origin);

		if (!from)
			return -ENODATA;
		if (find_id(id))
			return -EEXIST;
		if (live && !live->suspended)
			violation("create_snap of the live '%s'", live->name);
		world->m.time++;
		model_add_id(id, from->root);
		model_commit();
		return 0;
	}
	if (sscanf(text, "delete %" SCNu32, &id) == 1) {
		struct model_id *x = find_id(id);

		if (!x)
			return -ENODATA;
		if (dev_of_id(id))
			return -EBUSY;
		if (id < 0xFFF000 && !(world->rolls_back && model_has_snapshot(x->root)))
			violation("delete of the engine's thin %" PRIu32, id);
		x->exists = false;
		model_commit();
		return 0;
	}
	const int r = model_hold(text);
	if (r == -ENOSYS)
		violation("message '%s'", text);
	return r;
}

static void swap_in(struct model_dev *d)
{
	d->suspended = false;
	if (!d->loaded)
		return;
	memcpy(d->type, d->next_type, sizeof(d->type));
	memcpy(d->params, d->next_params, sizeof(d->params));
	d->read_only = d->next_read_only;
	d->loaded = false;
	d->live = true;
}

int model_suspend(const char *name, bool suspend)
{
	struct model_dev *d = model_find(name);

	if (!d)
		return -ENXIO;
	if (!suspend)
		swap_in(d);
	else if (d->suspended)
		return -EINVAL;
	else
		d->suspended = true;
	return 0;
}

static void remove_dev(struct model_dev *d)
{
	if (d->suspended)
		violation("removal of the suspended '%s'", d->name);
	d->exists = false;
}

void model_unmount(void)
{
	const unsigned minor = world->m.views[--world->m.view_count].minor;

	for (size_t i = 0; i < WORLD_DEVICES; i++) {
		struct model_dev *d = &world->m.devs[i];

		if (!d->exists || d->minor != minor)
			continue;
		d->users--;
		if (d->deferred && !d->users)
			remove_dev(d);
	}
}

const char *model_node(const char *path, char out[128])
{
	unsigned minor, n;

	if (strcmp(path, "/dev/mapper/control") == 0 || strcmp(path, "/dev/loop-control") == 0)
		return "/dev/null";
	if (strcmp(path, VIEW_DIR) == 0 && world->m.view_count)
		return world->m.views[world->m.view_count - 1].tree;
	if (strcmp(path, "/dev/kmsg") == 0)
		return "/dev/null";
	if (strcmp(path, "/proc") == 0)
		return WORLD_DIR "/proc";
	if (sscanf(path, "/dev/loop%u", &n) == 1) {
		(void)snprintf(out, 128, WORLD_DIR "/loop%u", n);
		return out;
	}
	if (sscanf(path, "/sys/dev/block/%*u:%u/ueven%n", &minor, (int *)&n) == 1 &&
		strstr(path, "/uevent")) {
		(void)snprintf(out, 128, WORLD_DIR "/uevent-%u", minor);
		return out;
	}
	if (sscanf(path, "/dev/model-%u", &minor) != 1)
		return path;
	uint32_t root = 0;
	for (size_t i = 0; i < WORLD_DEVICES; i++)
		for (size_t k = 0; k < WORLD_IDS; k++)
			if (world->m.devs[i].exists && world->m.devs[i].minor == minor &&
				world->m.ids[k].exists &&
				shows_id(&world->m.devs[i], world->m.ids[k].id))
				root = world->m.ids[k].root;
	/* 0: the pool's metadata. */
	if (root == 0 && world->m.is_busy)
		model_commit();
	(void)snprintf(out, 128, WORLD_DIR "/image-%" PRIu32, root);
	return out;
}

int model_ioctl(int fd, unsigned long what, void *arg)
{
	static int next_loop;
	struct dm_ioctl *io = arg;
	int r = 0;

	(void)fd;
	if (what == LOOP_CTL_GET_FREE)
		return next_loop++ % 2;
	/* Where a file's extents are: not every file system tells. */
	if (what == FS_IOC_FIEMAP) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (what == DM_DEV_SUSPEND)
		r = model_suspend(io->name, (io->flags & DM_SUSPEND_FLAG) != 0);
	else if (what == DM_TARGET_MSG)
		r = model_message(io->name,
			((struct dm_target_msg *)((char *)arg + io->data_start))->message);
	else if (what == DM_TABLE_STATUS) {
		io->target_count = 1;
		(void)snprintf((char *)arg + io->data_start + sizeof(struct dm_target_spec), 400,
			"%s", POOL_STATUS);
	} else if (what == DM_DEV_STATUS) {
		const struct model_dev *d = model_find(io->name);

		r = d ? 0 : -ENXIO;
		io->flags = d && d->suspended ? DM_SUSPEND_FLAG : 0;
	} else if (what == LOOP_CONFIGURE) {
		r = -EINVAL; /* a kernel that takes two steps */
	} else if (what == LOOP_GET_STATUS64) {
		r = -ENXIO; /* it has gone with the process that attached it */
	} else if (_IOC_TYPE(what) == 'f' || _IOC_TYPE(what) == 'v') {
		r = -ENOTTY; /* a query of a file: as tmpfs answers */
	} else if (what != BLKFLSBUF && what != LOOP_SET_FD && what != LOOP_SET_STATUS64 &&
		   what != LOOP_CLR_FD) {
		violation("ioctl %lx", what);
		r = -ENOTTY;
	}
	errno = -r;
	return r < 0 ? -1 : 0;
}

/* libdevmapper: the functions that dm.c calls. */

struct dm_task *dm_task_create(int type)
{
	struct dm_task *t = fault(OP_MEMORY) ? NULL : __real_calloc(1, sizeof(*t));

	if (t)
		t->type = type;
	if (type == DM_DEVICE_LIST)
		world->lists++;
	return t;
}

void dm_task_destroy(struct dm_task *t)
{
	free(t);
}

int dm_task_set_name(struct dm_task *t, const char *name)
{
	return snprintf(t->name, sizeof(t->name), "%s", name) < (int)sizeof(t->name);
}

int dm_task_set_uuid(struct dm_task *t, const char *uuid)
{
	return snprintf(t->uuid, sizeof(t->uuid), "%s", uuid) < (int)sizeof(t->uuid);
}

int dm_task_set_message(struct dm_task *t, const char *message)
{
	return snprintf(t->message, sizeof(t->message), "%s", message) < (int)sizeof(t->message);
}

int dm_task_set_sector(struct dm_task *t, uint64_t sector)
{
	return t && sector == 0;
}

int dm_task_set_ro(struct dm_task *t)
{
	return t->read_only = true;
}

int dm_task_no_flush(struct dm_task *t)
{
	return t != NULL;
}

int dm_task_deferred_remove(struct dm_task *t)
{
	return t->deferred = true;
}

int dm_task_set_cookie(struct dm_task *t, uint32_t *cookie, uint16_t flags)
{
	*cookie = flags;
	return t != NULL;
}

void dm_task_update_nodes(void)
{
}

int dm_task_get_errno(struct dm_task *t)
{
	return t->error;
}

int dm_task_get_info(struct dm_task *t, struct dm_info *info)
{
	*info = t->info;
	return 1;
}

struct dm_names *dm_task_get_names(struct dm_task *t)
{
	return (struct dm_names *)t->names;
}

int dm_task_add_target(
	struct dm_task *t, uint64_t start, uint64_t size, const char *ttype, const char *params)
{
	t->length = size;
	(void)snprintf(t->target, sizeof(t->target), "%s", ttype);
	(void)snprintf(t->params, sizeof(t->params), "%s", params);
	return start == 0;
}

void *dm_get_next_target(struct dm_task *t, void *next, uint64_t *start, uint64_t *length,
	char **target_type, char **params)
{
	*start = 0;
	*length = t->length;
	*target_type = t->target[0] ? t->target : NULL;
	*params = t->params;
	return next;
}

int dm_driver_version(char *version, size_t size)
{
	if (fault(OP_DM))
		return 0;
	return snprintf(version, size, "4.47.0") > 0;
}

void dm_udev_set_sync_support(int sync)
{
	(void)sync;
}

void dm_log_with_errno_init(dm_log_with_errno_fn fn)
{
	(void)fn;
}

static void list(struct dm_task *t)
{
	char *at = t->names;
	struct dm_names *last = NULL;

	for (size_t i = 0; i < WORLD_DEVICES; i++) {
		const struct model_dev *d = &world->m.devs[i];

		if (!d->exists)
			continue;
		struct dm_names *n = (struct dm_names *)at;
		size_t len = (sizeof(*n) + strlen(d->name) + 1 + 7) & ~(size_t)7;
		n->dev = (uint64_t)MAJOR << 8 | d->minor;
		n->next = (uint32_t)len;
		memcpy(n->name, d->name, strlen(d->name) + 1);
		at += len;
		last = n;
	}
	if (last)
		last->next = 0;
}

static int reload(struct dm_task *t, struct model_dev *d)
{
	unsigned major, minor;
	uint32_t id;

	if (strcmp(t->target, "thin") == 0) {
		const struct model_dev *pool = NULL;

		if (sscanf(t->params, "%u:%u %" SCNu32, &major, &minor, &id) != 3)
			return -EINVAL;
		for (size_t i = 0; i < WORLD_DEVICES; i++)
			if (world->m.devs[i].exists && world->m.devs[i].minor == minor)
				pool = &world->m.devs[i];
		if (!pool || strcmp(pool->type, "thin-pool") != 0)
			return -EINVAL;
		if (!find_id(id))
			return -ENODATA;
	}
	memcpy(d->next_type, t->target, sizeof(d->next_type));
	memcpy(d->next_params, t->params, sizeof(d->next_params));
	d->next_read_only = t->read_only;
	d->length = t->length;
	d->loaded = true;
	return 0;
}

static int create(const struct dm_task *t)
{
	if (model_find(t->name))
		return -EBUSY;
	for (size_t i = 0; t->uuid[0] && i < WORLD_DEVICES; i++)
		if (world->m.devs[i].exists && strcmp(world->m.devs[i].uuid, t->uuid) == 0)
			return -EBUSY;
	struct model_dev *d = new_dev(t->name);
	(void)snprintf(d->uuid, sizeof(d->uuid), "%s", t->uuid);
	return 0;
}

static int users(const struct model_dev *d)
{
	char pool[24];
	int n = d->users;

	(void)snprintf(pool, sizeof(pool), "%u:%u ", MAJOR, d->minor);
	for (size_t i = 0; i < WORLD_DEVICES; i++) {
		const struct model_dev *x = &world->m.devs[i];

		if (x->exists && strcmp(x->type, "thin") == 0 &&
			strncmp(x->params, pool, strlen(pool)) == 0)
			n++;
	}
	return n;
}

static int change(struct dm_task *t, struct model_dev *d)
{
	switch (t->type) {
	case DM_DEVICE_RELOAD:
		return reload(t, d);
	case DM_DEVICE_RESUME:
		return model_suspend(t->name, false);
	case DM_DEVICE_REMOVE:
		if (users(d)) {
			d->deferred |= t->deferred;
			return t->deferred ? 0 : -EBUSY;
		}
		remove_dev(d);
		return 0;
	default:
		return model_message(t->name, t->message);
	}
}

static void fill(struct dm_task *t, const struct model_dev *d)
{
	t->info = (struct dm_info){.exists = 1,
		.suspended = d->suspended,
		.live_table = d->live,
		.inactive_table = d->loaded,
		.open_count = users(d),
		.major = MAJOR,
		.minor = d->minor,
		.read_only = d->read_only,
		.deferred_remove = d->deferred};
	if (t->type == DM_DEVICE_INFO || !d->live)
		return;
	memcpy(t->target, d->type, sizeof(t->target));
	memcpy(t->params, d->params, sizeof(t->params));
	t->length = d->length;
	if (t->type == DM_DEVICE_STATUS)
		(void)snprintf(t->params, sizeof(t->params), "%s",
			strcmp(d->type, "thin") == 0 ? "8192 2097151" : POOL_STATUS);
}

static int run(struct dm_task *t)
{
	struct model_dev *d = t->name[0] ? model_find(t->name) : NULL;

	if (t->type == DM_DEVICE_LIST) {
		list(t);
		return 0;
	}
	if (t->type == DM_DEVICE_CREATE)
		return create(t);
	if (!d)
		return -ENXIO;
	if (t->type == DM_DEVICE_INFO || t->type == DM_DEVICE_TABLE || t->type == DM_DEVICE_STATUS)
		fill(t, d);
	else
		return change(t, d);
	return 0;
}

int dm_task_run(struct dm_task *t)
{
	int r = fault(OP_DM) ? -errno : run(t);

	/* The kernel makes a device or fails; and says "busy" only of what was there before. */
	if (fault_late() && t->type != DM_DEVICE_CREATE &&
		!(errno == EBUSY && strncmp(t->message, "reserve", 7) == 0))
		r = r < 0 ? r : -errno;
	t->error = -r;
	return r == 0;
}
