/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "ledger.h"
#include "lock.h"
#include "log.h"
#include "scope.h"

#define RESUME_MS 10000u /* for the engine's answer */

struct recovery {
	const char *pool;    /* only its entries, and its lock is ours; NULL: all */
	bool is_active_only; /* what lies in an inactive pool can wait */
	size_t left, done;
};

/* The origins and the container that the entry names, if this is the boot in which they were ours.
 */
static void resume_origins(const struct ledger_entry *x, size_t *left)
{
	for (int i = 0; !x->is_pool && x->is_this_boot && i < x->origin_count; i++) {
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

/* Is it a snapshot in a pool that is not active? */
static bool is_asleep(const struct ledger_entry *x)
{
	struct dmdev_info pool;
	struct err e;

	return !x->is_pool && dmdev_info(x->pool, &pool, &e) == 0 && !pool.exists;
}

static int recover_snapshot(const struct ledger_entry *x, struct err *e)
{
	struct dmdev_info pool;
	int r = dmdev_info(x->pool, &pool, e);

	if (r == 0 && !pool.exists)
		r = err_set(e, ERR_LEFTOVER, -ENOENT,
			"pool '%s' is not active: thin %u is deleted when it is", x->pool,
			x->thin_id);
	return r < 0 ? r : snap_drop_entry(x, e);
}

static int recover_pool(const struct ledger_entry *x, struct err *e)
{
	struct pool p = {.is_ours = true};

	(void)snprintf(p.name, sizeof(p.name), "%s", x->pool);
	return x->is_this_boot ? pool_close(&p, e) : 0;
}

static int recover_one(void *arg, struct ledger_entry *x, struct err *e)
{
	struct recovery *v = arg;
	struct err mine = {0};

	AUTO_CLOSE int lock = -1;
	int r = 0;

	(void)e;
	if (v->pool && (x->is_pool || strcmp(v->pool, x->pool) != 0))
		return 0;
	if (v->is_active_only && is_asleep(x))
		return 0;
	if (!v->pool)
		r = lock_take("pool", x->pool, "recovery", 0, &lock, &mine);
	if (r == -EWOULDBLOCK) {
		log_debug("'%s': %s", x->file, mine.text);
		return 0; /* the live run's own */
	}
	if (r == 0)
		r = x->is_pool ? recover_pool(x, &mine) : recover_snapshot(x, &mine);
	if (r == 0)
		r = ledger_remove(x, &mine);
	if (r < 0) {
		log_warning("leftover '%s': %s", x->file, mine.text);
		v->left++;
		return 0;
	}
	log_info("recovered what '%s' named", x->file);
	v->done++;
	return 0;
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
	if (r < 0) {
		report_error(o, "recover", &e);
		return err_exit_code(e.kind);
	}
	return left ? EXIT_LEFTOVER : EXIT_GOOD;
}
