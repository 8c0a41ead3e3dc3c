/* SPDX-License-Identifier: Apache-2.0 */
#include "dm.h"

#include <errno.h>
#include <libdevmapper.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "scope.h"

/* Keep udev's disk, subsystem and other rules away, and the library from making nodes itself. */
#define PRIVATE_FLAGS                                                                              \
	(DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG | DM_UDEV_DISABLE_DISK_RULES_FLAG |                  \
		DM_UDEV_DISABLE_OTHER_RULES_FLAG | DM_UDEV_DISABLE_LIBRARY_FALLBACK)

static void scope_task(struct dm_task **t)
{
	if (*t)
		dm_task_destroy(*t);
}
#define AUTO_TASK __attribute__((cleanup(scope_task))) struct dm_task

static void quiet(int level, const char *file, int line, int code, const char *fmt, ...)
{
	(void)level;
	(void)file;
	(void)line;
	(void)code;
	(void)fmt;
}

static struct dm_task *task(int type, const char *name)
{
	struct dm_task *t = dm_task_create(type);

	if (t && name && !dm_task_set_name(t, name)) {
		dm_task_destroy(t);
		return NULL;
	}
	return t;
}

static int run(struct dm_task *t)
{
	if (dm_task_run(t))
		return 0;
	int code = dm_task_get_errno(t);
	return code ? -code : -EIO;
}

int dmdev_init(struct err *e)
{
	char version[64];

	dm_log_with_errno_init(quiet);
	(void)dm_udev_set_sync_support(0);
	if (!dm_driver_version(version, sizeof(version)))
		return err_set(e, ERR_FATAL, -ENODEV,
			"the kernel has no device mapper (load dm-thin-pool; must be run as root)");
	return 0;
}

static void fill(struct dmdev_info *ret, const struct dm_info *i)
{
	*ret = (struct dmdev_info){
		.exists = i->exists != 0,
		.suspended = i->suspended != 0,
		.has_inactive_table = i->inactive_table != 0,
		.is_internally_suspended = i->internal_suspend != 0,
		.is_read_only = i->read_only != 0,
		.open_count = i->open_count,
		.major = i->major,
		.minor = i->minor,
	};
}

int dmdev_info(const char *name, struct dmdev_info *ret, struct err *e)
{
	AUTO_TASK *t = task(DM_DEVICE_INFO, name);
	struct dm_info i;

	if (!t)
		return err_sys(e, ERR_FATAL, -ENOMEM, "device '%s'", name);
	int r = run(t);
	if (r == -ENXIO) {
		*ret = (struct dmdev_info){0};
		return 0;
	}
	if (r < 0 || !dm_task_get_info(t, &i))
		return err_sys(e, ERR_FATAL, r ? r : -EIO, "device '%s': info", name);
	fill(ret, &i);
	return 0;
}

/* -ENXIO: no such device; -ENODATA: it has no target or several. */
static struct dm_task *target_task(
	int type, const char *name, struct dm_info *i, struct dmdev_target *ret, int *ret_r)
{
	struct dm_task *t = task(type, name);
	uint64_t start;
	char *kind = NULL, *params = NULL;

	*ret_r = -ENOMEM;
	if (!t)
		return NULL;
	(void)dm_task_no_flush(t);
	*ret_r = run(t);
	if (*ret_r == 0 && (!dm_task_get_info(t, i) || !i->exists))
		*ret_r = -ENXIO;
	if (*ret_r == 0) {
		void *next =
			dm_get_next_target(t, NULL, &start, &ret->length_sectors, &kind, &params);
		if (next || !kind)
			*ret_r = -ENODATA;
	}
	if (*ret_r < 0) {
		dm_task_destroy(t);
		return NULL;
	}
	ret->type = kind;
	ret->params = params ? params : "";
	return t;
}

int dmdev_each_name(dmdev_name_fn *fn, void *arg, struct err *e)
{
	AUTO_TASK *list = task(DM_DEVICE_LIST, NULL);
	int r = list ? run(list) : -ENOMEM;

	if (r < 0)
		return err_sys(e, ERR_FATAL, r, "list of dm devices");
	const struct dm_names *n = dm_task_get_names(list);
	for (unsigned next = n && n->dev ? 1 : 0; next;) {
		r = fn(arg, n->name, e);
		if (r != 0)
			return r;
		next = n->next;
		n = (const struct dm_names *)((const char *)n + next);
	}
	return 0;
}

struct each {
	dmdev_fn *fn;
	void *arg;
};

static int with_target(void *arg, const char *name, struct err *e)
{
	const struct each *each = arg;
	struct dm_info i;
	struct dmdev_info info;
	struct dmdev_target target;
	int r;
	AUTO_TASK *t = target_task(DM_DEVICE_TABLE, name, &i, &target, &r);

	if (t) {
		fill(&info, &i);
		return each->fn(each->arg, name, &info, &target, e);
	}
	/* Passed over, an active origin would be taken for an inactive one. */
	return r == -ENXIO || r == -ENODATA ? 0
					    : err_sys(e, ERR_FATAL, r, "device '%s': table", name);
}

int dmdev_each(dmdev_fn *fn, void *arg, struct err *e)
{
	struct each each = {fn, arg};

	return dmdev_each_name(with_target, &each, e);
}

int dmdev_status(const char *name, char *ret, size_t size, struct err *e)
{
	struct dm_info i;
	struct dmdev_target target;
	int r;
	AUTO_TASK *t = target_task(DM_DEVICE_STATUS, name, &i, &target, &r);

	if (!t)
		return err_sys(e, ERR_FATAL, r, "device '%s': status", name);
	(void)snprintf(ret, size, "%s", target.params);
	return 0;
}

int dmdev_table(
	const char *name, char *type, size_t type_size, char *params, size_t size, struct err *e)
{
	struct dm_info i;
	struct dmdev_target target;
	int r;
	AUTO_TASK *t = target_task(DM_DEVICE_TABLE, name, &i, &target, &r);

	if (!t)
		return err_sys(e, ERR_FATAL, r, "device '%s': table", name);
	(void)snprintf(type, type_size, "%s", target.type);
	(void)snprintf(params, size, "%s", target.params);
	return 0;
}

int dmdev_message(const char *name, const char *message, struct err *e)
{
	AUTO_TASK *t = task(DM_DEVICE_TARGET_MSG, name);

	if (!t || !dm_task_set_sector(t, 0) || !dm_task_set_message(t, message))
		return err_sys(e, ERR_FATAL, -ENOMEM, "device '%s'", name);
	int r = run(t);
	if (r < 0)
		return err_sys(e, ERR_FATAL, r, "device '%s': message '%s'", name, message);
	return 0;
}

static int remove_once(const char *name, bool deferred)
{
	AUTO_TASK *t = task(DM_DEVICE_REMOVE, name);
	uint32_t cookie = 0;

	if (!t)
		return -ENOMEM;
	if (deferred && !dm_task_deferred_remove(t))
		return -ENOTSUP;
	(void)dm_task_set_cookie(t, &cookie, PRIVATE_FLAGS);
	int r = run(t);
	dm_task_update_nodes();
	return r == -ENXIO ? 0 : r;
}

static int simple(int type, const char *name, bool is_private)
{
	AUTO_TASK *t = task(type, name);
	uint32_t cookie = 0;

	if (!t)
		return -ENOMEM;
	(void)dm_task_set_cookie(t, &cookie, is_private ? PRIVATE_FLAGS : 0);
	return run(t);
}

static int load(const char *name, const struct dmdev_target *target, bool read_only)
{
	AUTO_TASK *t = task(DM_DEVICE_RELOAD, name);

	if (!t || (read_only && !dm_task_set_ro(t)) ||
		!dm_task_add_target(t, 0, target->length_sectors, target->type, target->params))
		return -ENOMEM;
	return run(t);
}

int dmdev_create(const char *name, const char *uuid, const struct dmdev_target *t, bool read_only,
	bool is_private, struct dmdev_info *ret, struct err *e)
{
	AUTO_TASK *c = task(DM_DEVICE_CREATE, name);
	const char *step = "create";

	if (!c || (uuid && !dm_task_set_uuid(c, uuid)))
		return err_sys(e, ERR_FATAL, -ENOMEM, "device '%s'", name);
	int r = run(c);
	if (r < 0)
		return err_sys(e, ERR_FATAL, r, "device '%s': create", name);
	step = "load table";
	r = load(name, t, read_only);
	if (r == 0) {
		step = "resume";
		r = simple(DM_DEVICE_RESUME, name, is_private);
	}
	dm_task_update_nodes();
	if (r == 0)
		r = dmdev_info(name, ret, e);
	if (r < 0) {
		(void)dmdev_remove(name, NULL);
		return err_sys(
			e, ERR_FATAL, r, "device '%s': %s '%s %s'", name, step, t->type, t->params);
	}
	return 0;
}

int dmdev_remove(const char *name, struct err *e)
{
	int r = -EBUSY;

	/*
	 * Busy is often a prober of udev or the tail of an unmount.  Other failures are tried again
	 * too: what is left behind costs more.
	 */
	for (int i = 0; i < (r == -EBUSY ? 20 : 3) && r < 0; i++) {
		if (i)
			clock_sleep_ms(100);
		r = remove_once(name, false);
	}
	if (r == -EBUSY) {
		(void)remove_once(name, true);
		return dmdev_wait_gone(name, 2000, e);
	}
	if (r < 0)
		return err_sys(e, ERR_FATAL, r, "device '%s': remove", name);
	return 0;
}

int dmdev_remove_deferred(const char *name, struct err *e)
{
	int r = remove_once(name, true);

	if (r < 0)
		return err_sys(e, ERR_FATAL, r, "device '%s': deferred remove", name);
	return 0;
}

int dmdev_wait_gone(const char *name, unsigned ms, struct err *e)
{
	struct dmdev_info info;

	for (unsigned waited = 0;; waited += 20) {
		int r = dmdev_info(name, &info, e);

		if (r < 0 || !info.exists)
			return r;
		if (waited >= ms)
			return err_set(e, ERR_LEFTOVER, -EBUSY, "device '%s' is still open", name);
		clock_sleep_ms(20);
	}
}

int dmdev_node(unsigned major, unsigned minor, char ret[64], struct err *e)
{
	char path[64], line[128];

	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/uevent", major, minor);
	AUTO_FCLOSE FILE *f = fopen(path, "re");
	if (!f)
		return err_sys(e, ERR_FATAL, -errno, "'%s'", path);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "DEVNAME=", 8) == 0 && strlen(line) < 60) {
			(void)snprintf(ret, 64, "/dev/%.58s", line + 8);
			return 0;
		}
	}
	return err_set(e, ERR_FATAL, -ENODEV, "block device %u:%u has no name", major, minor);
}
