/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "ledger.h"
#include "lock.h"
#include "log.h"
#include "pool_hold.h"
#include "safety.h"
#include "scope.h"
#include "view.h"

#define ORPHAN_WAIT_S 10
#define RESUME_MS 10000u /* for the engine's answer */

static bool is_snapshot(const struct ledger_entry *x)
{
	return x->kind == LEDGER_SNAPSHOT || x->kind == LEDGER_LVM;
}

/* What is in a pool, which has to be active to undo it. */
static bool is_in_pool(const struct ledger_entry *x)
{
	return is_snapshot(x) || x->kind == LEDGER_METADATA;
}

struct recovery {
	const char *pool; /* only its entries, and its lock is ours; NULL: all */
	/* What lies in an inactive pool, or in a destination out of reach, can wait. */
	bool is_active_only;
	bool is_archives_only;
	size_t left, done;
};

/* The origins and the container that the entry names, if this is the boot in which they were ours.
 */
static void resume_origins(const struct ledger_entry *x, size_t *left)
{
	for (int i = 0; is_snapshot(x) && x->is_this_boot && i < x->origin_count; i++) {
		struct err e = {0};
		int r = snapper_resume(x->origins[i], &e);

		if (r > 0)
			log_warning("'%s' was left suspended by an interrupted run: resumed",
				x->origins[i]);
		if (r < 0) {
			log_error("leftover '%s': %s", x->file, e.text);
			(*left)++;
		}
	}
	struct err e = {0};
	if (x->is_this_boot && x->pause_id[0] &&
		engine_unpause(x->pause_socket, x->pause_id, RESUME_MS, &e) < 0) {
		log_error("leftover '%s': %s", x->file, e.text);
		(*left)++;
	}
}

/*
 * A live run undoes its own work.  When the one that took the lock is dead, a child of it hangs in
 * the kernel or is about to end: nobody watches that, and its snapshot will be used by nobody.
 */
static int resume_one(void *arg, struct ledger_entry *x, struct err *e)
{
	size_t *left = arg;
	AUTO_CLOSE int lock = -1;

	if (!is_snapshot(x))
		return 0;
	int r = lock_take("pool", x->pool, "recovery", 0, &lock, e);
	if (r == 0) {
		resume_origins(x, left);
		return 0;
	}
	if (r != -EWOULDBLOCK)
		return r;
	if (!lock_is_orphaned("pool", x->pool)) {
		log_debug("'%s': %s: it undoes its own work", x->file, e->text);
		return 0;
	}
	resume_origins(x, left);
	log_error(
		"leftover '%s': a process of an interrupted run still takes a snapshot; its origin "
		"may be suspended by it once more",
		x->file);
	(*left)++;
	return 0;
}

/*
 * Is its pool active?  It may have come back under another name, which x->pool becomes: Docker's
 * are made of the number of a disk.
 */
static int find_pool(struct ledger_entry *x, struct err *e)
{
	struct pool pool;
	const bool is_held = x->kind == LEDGER_METADATA;
	int r = is_held ? pool_hold_find(x, &pool, e) : pool_named(x->pool, &pool, e);

	/* LVM knows its snapshot by name. */
	if (r == -ENOENT && x->mark.is_whole && x->kind != LEDGER_LVM)
		r = pool_find_marked(x->thin_id, &x->mark, &pool, e);
	if (r == 0 && strcmp(x->pool, pool.name) != 0) {
		log_info("'%s': pool '%s' is '%s' now", x->file, x->pool, pool.name);
		(void)snprintf(x->pool, sizeof(x->pool), "%s", pool.name);
	}
	return r;
}

/* Its container cannot be started as long as the id is missing. */
static int end_rollback(const struct pool *pool, const struct ledger_entry *x, struct err *e)
{
	int r = snap_end_rollback(pool, x, e);

	if (r >= 0)
		log_warning("%s: its rollback was interrupted%s: run it again", x->keeps_name,
			r ? ", and its device is made anew" : "");
	return r < 0 ? r : 0;
}

/* A safety snapshot stays, as one whose rollback has not begun. */
static int forget(struct ledger_entry *x, const char *pool, struct err *e)
{
	if (!x->keeps[0])
		return ledger_remove(x, e);
	x->is_rollback = false;
	(void)snprintf(x->pool, sizeof(x->pool), "%s", pool);
	return ledger_write(x, e);
}

static int recover_snapshot(const struct ledger_entry *x, struct err *e)
{
	struct pool pool;
	int r = pool_named(x->pool, &pool, e);

	if (r == -ENOENT)
		return err_set(e, ERR_LEFTOVER, r,
			x->keeps[0] ? "pool '%s' is not active: the rollback from thin %u goes on "
				      "when it is"
				    : "pool '%s' is not active: thin %u is deleted when it is",
			x->pool, x->thin_id);
	if (r == 0 && x->keeps[0])
		r = end_rollback(&pool, x, e);
	else if (r == 0)
		r = snap_drop_entry(&pool, x, e);
	return r;
}

static int recover_metadata(const struct ledger_entry *x, struct err *e)
{
	struct pool pool;
	int r = pool_named(x->pool, &pool, e);

	if (r == -ENOENT)
		return err_set(e, ERR_LEFTOVER, r,
			"pool '%s' is not active: its metadata snapshot is released when it is",
			x->pool);
	return r < 0 ? r : pool_hold_end(&pool, x, e);
}

/* Is it mounted for somebody, who will end that with umount? */
static bool is_in_use(const struct ledger_entry *x)
{
	struct dmdev_info i;
	struct err ignored;

	return (is_snapshot(x) || x->kind == LEDGER_MOUNT) && x->path[0] && x->is_this_boot &&
	       dmdev_info(x->device, &i, &ignored) == 0 && i.exists &&
	       view_is_mounted(i.major, i.minor);
}

struct holders {
	const char *pool;
	size_t count;
};

static int count_holder(void *arg, struct ledger_entry *x, struct err *e)
{
	struct holders *h = arg;

	(void)e;
	h->count += is_in_use(x) && strcmp(x->pool, h->pool) == 0;
	return 0;
}

static bool is_pool_in_use(const char *pool)
{
	struct holders h = {.pool = pool};
	struct err ignored;

	return ledger_each(count_holder, &h, &ignored) < 0 || h.count > 0;
}

static int recover_pool(const struct ledger_entry *x, struct err *e)
{
	struct pool p = {.is_ours = true};

	(void)snprintf(p.name, sizeof(p.name), "%s", x->pool);
	return x->is_this_boot ? pool_close(&p, e) : 0;
}

static int recover_archive(const struct ledger_entry *x, struct err *e)
{
	const struct dest_ops *ops = dest_find(x->type);

	return ops ? ops->settle(x, e)
		   : err_set(e, ERR_LEFTOVER, -ENOENT, "no destination of type '%s'", x->type);
}

/* The device was the container's own: only what shows it goes.  Who opened it meanwhile keeps it.
 */
static int recover_mount(const struct ledger_entry *x, struct err *e)
{
	struct dmdev_info i = {0};
	int r = x->is_this_boot ? dmdev_info(x->device, &i, e) : 0;

	/* For nobody but the run: what is open is its mount, going, or one that came beside it.
	 * Busy, it is to be removed with the last of them. */
	if (r == 0 && i.exists && !x->path[0]) {
		r = dmdev_remove(x->device, e);
		return r == -EBUSY ? 0 : r;
	}
	return r < 0 || !i.exists || i.open_count > 0 ? r : dmdev_remove(x->device, e);
}

/* A destination's lock is named after the place; one that is gone holds nothing of ours. */
static int lock_archive(const struct ledger_entry *x, int *lock, struct err *e)
{
	const struct dest_ops *ops = dest_find(x->type);
	char path[sizeof(x->path)];
	const struct cfg_dest dest = {.path = path};
	AUTO_STRBUF name = {0};

	(void)snprintf(path, sizeof(path), "%s", x->path);
	int r = ops ? ops->identify(&dest, &name, e) : 0;
	if (r == -ENOENT || !ops)
		return 0;
	return r < 0 ? r : lock_take("destination", name.data, "recovery", 0, lock, e);
}

/* A child of a killed run holds its lock a moment longer: it ends what it was doing. */
static int lock_pool(const char *pool, int *lock, struct err *e)
{
	int r = lock_take("pool", pool, "recovery", 0, lock, e);

	if (r != -EWOULDBLOCK || !lock_is_orphaned("pool", pool))
		return r;
	r = lock_take("pool", pool, "recovery", ORPHAN_WAIT_S, lock, e);
	return r == -EWOULDBLOCK ? err_set(e, ERR_LEFTOVER, -EBUSY,
					   "a process of an interrupted run does not end")
				 : r;
}

static int undo_entry(const struct ledger_entry *x, int lock, struct err *e)
{
	switch (x->kind) {
	case LEDGER_LVM:
		return snap_lvm_drop_entry(x, lock, e);
	case LEDGER_METADATA:
		return recover_metadata(x, e);
	case LEDGER_POOL:
		return recover_pool(x, e);
	case LEDGER_MOUNT:
		return recover_mount(x, e);
	case LEDGER_LOOP:
		return x->is_this_boot ? pool_loop_release(x, e) : 0;
	case LEDGER_ARCHIVE:
		return recover_archive(x, e);
	default:
		return recover_snapshot(x, e);
	}
}

/* 1: it is not wanted now; -EWOULDBLOCK: it is a live run's own. */
static int take_entry(const struct recovery *v, struct ledger_entry *x, int *lock, struct err *e)
{
	if (v->is_archives_only && x->kind != LEDGER_ARCHIVE)
		return 1;
	/* Its user decides. */
	if (x->keeps[0] && !x->is_rollback)
		return 1;
	if (is_in_use(x) || (x->kind == LEDGER_POOL && is_pool_in_use(x->pool)))
		return 1;
	int r = is_in_pool(x) ? find_pool(x, e) : 0;

	if (r == -ENOENT && v->is_active_only)
		return 1;
	if (v->pool && (!is_in_pool(x) || strcmp(v->pool, x->pool) != 0))
		return 1;
	/* What misses the pool says so. */
	if (r < 0 && r != -ENOENT)
		return r;
	if (x->kind == LEDGER_ARCHIVE)
		return lock_archive(x, lock, e);
	return v->pool ? 0 : lock_pool(x->pool, lock, e);
}

static int recover_one(void *arg, struct ledger_entry *x, struct err *e)
{
	struct recovery *v = arg;
	struct err mine = {0};
	AUTO_CLOSE int lock = -1;
	char pool[DM_NAME_MAX]; /* as the entry has it */

	(void)e;
	(void)snprintf(pool, sizeof(pool), "%s", x->pool);
	int r = take_entry(v, x, &lock, &mine);
	if (r == -EWOULDBLOCK)
		log_debug("'%s': %s", x->file, mine.text);
	if (r == -EWOULDBLOCK || r == 1)
		return 0;
	if (r == 0)
		r = undo_entry(x, lock, &mine);
	if (r == 0)
		r = forget(x, pool, &mine);
	if (r < 0 && v->is_active_only && x->kind == LEDGER_ARCHIVE) {
		log_debug("'%s': %s", x->file, mine.text);
		return 0;
	}
	if (r < 0) {
		log_warning("leftover '%s': %s", x->file, mine.text);
		v->left++;
		return 0;
	}
	log_info("recovered what '%s' named", x->file);
	v->done++;
	return 0;
}

int recover_mounted(const struct ledger_entry *x, int lock, struct err *e)
{
	int r = undo_entry(x, lock, e);

	return r < 0 ? r : ledger_remove(x, e);
}

int recover_entries(const char *pool, size_t *ret_left, struct err *e)
{
	struct recovery v = {.pool = pool};
	int r = pool ? 0 : pool_drop_probes(e);

	if (r == 0)
		r = ledger_each(recover_one, &v, e);

	*ret_left = v.left;
	return r;
}

int recover_archives(struct err *e)
{
	struct recovery v = {.is_active_only = true, .is_archives_only = true};

	return ledger_is_kept() ? ledger_each(recover_one, &v, e) : 0;
}

static int count_one(void *arg, struct ledger_entry *x, struct err *e)
{
	size_t *count = arg;

	(void)x;
	(void)e;
	(*count)++;
	return 0;
}

/* Every origin before anything that takes longer. */
static int resume_now(struct err *e)
{
	struct recovery v = {.is_active_only = true};
	size_t count = 0;

	/* Nothing to do is the rule, and must not need a device mapper. */
	if (ledger_each(count_one, &count, e) == 0 && count == 0)
		return 0;
	int r = dmdev_init(e);
	if (r == 0)
		r = ledger_each(resume_one, &v.left, e);
	/* A probe would keep the id, or the pool, busy. */
	if (r == 0)
		r = pool_drop_probes(e);
	if (r == 0)
		r = ledger_each(recover_one, &v, e);
	if (r == 0 && v.left)
		r = err_set(e, ERR_LEFTOVER, -EBUSY, "%zu entries of the ledger remain", v.left);
	return r;
}

int run_recover(const struct run_options *o)
{
	struct err e = {0};
	size_t left = 0;
	int r = o->resume ? resume_now(&e) : dmdev_init(&e);

	if (r == 0 && !o->resume)
		r = recover_entries(NULL, &left, &e);
	if (!o->resume)
		safety_tell_all();
	if (r < 0) {
		report_error(o, "recover", &e);
		return err_exit_code(e.kind);
	}
	return left ? EXIT_LEFTOVER : EXIT_GOOD;
}
