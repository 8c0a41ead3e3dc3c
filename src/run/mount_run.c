/* SPDX-License-Identifier: Apache-2.0 */
/* A container's files on a folder of the host, for people: mount and umount. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "find_archive.h"
#include "lock.h"
#include "log.h"
#include "own_device.h"
#include "scope.h"
#include "stop.h"
#include "view.h"

struct mounting {
	const struct run_options *options;
	const struct container *container;
	char dir[PATH_MAX]; /* absolute */
	struct pool_use *use;
	struct snap snap; /* of a snapshot */
	struct own_device own;
	const char *fs_type, *mode;
	struct undo undo;
};

/* Where something is mounted already, a second mount would hide it. */
static int check_dir(const char *arg, char out[PATH_MAX], struct err *e)
{
	struct stat st, above;
	char parent[PATH_MAX + 4];

	if (!realpath(arg, out) || stat(out, &st) < 0)
		return err_sys(e, ERR_USAGE, -errno, "%s", arg);
	(void)snprintf(parent, sizeof(parent), "%s/..", out);
	if (!S_ISDIR(st.st_mode) || stat(parent, &above) < 0)
		return err_sys(e, ERR_USAGE, -ENOTDIR, "%s", arg);
	if (st.st_dev != above.st_dev || st.st_ino == above.st_ino)
		return err_set(e, ERR_USAGE, -EBUSY, "%s: something is mounted there", arg);
	return 0;
}

static int undo_mount(void *arg, struct err *e)
{
	const struct mounting *m = arg;

	return view_umount(m->dir, e);
}

static int mount_snapshot(struct mounting *m, struct err *e)
{
	struct snap *s = &m->snap;
	size_t failed;
	int r = snap_prepare(&m->use->pool, m->container, NULL, &m->use->next_id, &m->undo, s, e);

	if (r == 0)
		r = snap_shoot(&s, 1, &failed, e);
	if (r == 0)
		r = snap_confirm(s, e);
	if (r < 0)
		return r;
	(void)snprintf(s->entry.path, sizeof(s->entry.path), "%s", m->dir);
	r = ledger_write(&s->entry, e);
	if (r < 0)
		return r;
	undo_arm(&m->undo, "unmount", undo_mount, m);
	return snap_mount(s, m->dir, &m->fs_type, &m->mode, e);
}

static int mount_origin(struct mounting *m, struct err *e)
{
	struct own_device *d = &m->own;

	d->pool = &m->use->pool;
	d->container = m->container;
	(void)snprintf(d->dir, sizeof(d->dir), "%s", m->dir);
	int r = own_mount(d, true, &m->undo, e);
	m->fs_type = d->fs_type;
	m->mode = "the container's own device, read-write";
	return r;
}

static void say_mounted(const struct mounting *m)
{
	const struct container *c = m->container;
	AUTO_STRBUF b = {0};
	const char *slash = c->subdir && *c->subdir ? "/" : "";

	if (!m->options->json) {
		log_info("%s: %s%s%s: %s, %s; end it with 'thinark umount'", c->name, m->dir, slash,
			c->subdir ? c->subdir : "", m->fs_type, m->mode);
		return;
	}
	strbuf_puts(&b, "{\"v\":1,\"type\":\"mount\"");
	json_field(&b, "container", c->name);
	json_field(&b, "id", c->id);
	json_field(&b, "folder", m->dir);
	json_field(&b, "root", c->subdir ? c->subdir : "");
	json_field(&b, "fs_type", m->fs_type);
	json_field(&b, "mode", m->mode);
	strbuf_puts(&b, "}");
	report_line(&b);
}

/* Without undoing it; what is left is in the ledger. */
static int mount_one(struct mounting *m, struct pools *pools, bool rw, struct err *e)
{
	int r = pools_enter(pools, &m->container->pool, &m->use, e);

	if (r == 0)
		r = rw ? mount_origin(m, e) : mount_snapshot(m, e);
	if (r == 0)
		r = stop_check(e);
	if (r < 0) {
		struct err left = {0};

		if (undo_to(&m->undo, 0, &left) < 0) {
			e->kind = ERR_LEFTOVER;
			(void)err_add(e, "%s", left.text);
		}
		return r;
	}
	m->undo.depth = 0;
	pools_keep(m->use);
	say_mounted(m);
	return 0;
}

int run_mount(const struct mount_options *x)
{
	const struct run_options o = {.cfg = x->cfg, .json = x->json};
	struct pools pools = {.options = &o, .what = "mount"};
	AUTO_FREE struct mounting *m = calloc(1, sizeof(*m));
	struct container_list list = {0};
	struct err e = {0};
	int r = m ? check_dir(x->dir, m->dir, &e) : err_sys(&e, ERR_FATAL, -ENOMEM, "mount");

	stop_init();
	if (r == 0)
		r = dmdev_init(&e);
	if (r == 0) {
		(void)list_stores(x->cfg, &list);
		m->options = &o;
		r = own_find(&list, x->container, &m->container, &e);
	}
	if (r == 0)
		r = mount_one(m, &pools, x->read_write, &e);
	if (r < 0)
		report_error(&o, x->container, &e);
	int code = r < 0 ? err_exit_code(e.kind) : EXIT_GOOD, last = pools_leave(&pools);
	container_list_done(&list);
	return last != EXIT_GOOD ? last : code;
}

struct search {
	const char *dir;
	struct ledger_entry *ret;
	size_t count;
};

static int match_entry(void *arg, struct ledger_entry *x, struct err *e)
{
	struct search *s = arg;

	(void)e;
	if (x->kind <= LEDGER_MOUNT && strcmp(x->path, s->dir) == 0) {
		*s->ret = *x;
		s->count++;
	}
	return 0;
}

static int umount_one(const char *dir, struct ledger_entry *x, struct err *e)
{
	struct search s = {.dir = dir, .ret = x};
	AUTO_CLOSE int lock = -1;
	int r = ledger_each(match_entry, &s, e);

	if (r < 0)
		return r;
	if (s.count == 0)
		return err_set(e, ERR_NOTHING, -ENOENT, "no mount of thinark is in the ledger");
	r = lock_take("pool", x->pool, "umount", 10, &lock, e);
	if (r == 0 && x->is_this_boot && view_umount_now(dir, e) < 0)
		return e->code;
	return r < 0 ? r : recover_mounted(x, lock, e);
}

int run_umount(const struct run_options *o, const char *arg)
{
	AUTO_FREE struct ledger_entry *x = calloc(1, sizeof(*x));
	char dir[PATH_MAX];
	struct err e = {0};
	size_t left = 0;
	/* A folder that is gone was named by its absolute path. */
	const char *path = realpath(arg, dir) ? dir : arg;
	int r = x ? dmdev_init(&e) : err_sys(&e, ERR_FATAL, -ENOMEM, "umount");

	stop_init();
	if (r == 0)
		r = umount_one(path, x, &e);
	/* A pool that was assembled for it goes too. */
	if (r == 0)
		r = recover_entries(NULL, &left, &e);
	if (r < 0) {
		report_error(o, arg, &e);
		return err_exit_code(e.kind);
	}
	return left ? EXIT_LEFTOVER : EXIT_GOOD;
}
