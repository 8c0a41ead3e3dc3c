/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "ledger.h"
#include "lock.h"
#include "log.h"
#include "scope.h"

struct recovery {
	const char *pool;    /* only its entries; NULL: all */
	bool is_active_only; /* what lies in an inactive pool can wait */
	size_t left, done;
};

static int count_one(void *arg, struct ledger_entry *x, struct err *e)
{
	size_t *count = arg;

	(void)x;
	(void)e;
	(*count)++;
	return 0;
}

/* The origins that the entry names, if this is the boot in which they were ours. */
static int resume_one(void *arg, struct ledger_entry *x, struct err *e)
{
	size_t *left = arg;

	(void)e;
	for (int i = 0; !x->is_pool && x->is_this_boot && i < x->origin_count; i++) {
		struct err mine = {0};
		int r = snapper_resume(x->origins[i], &mine);

		if (r > 0)
			log_warning("'%s' was left suspended by an interrupted run: resumed",
				x->origins[i]);
		if (r < 0) {
			log_error("leftover '%s': %s", x->file, mine.text);
			(*left)++;
		}
	}
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

	(void)e;
	if (v->pool && (x->is_pool || strcmp(v->pool, x->pool) != 0))
		return 0;
	if (v->is_active_only && is_asleep(x))
		return 0;
	int r = x->is_pool ? recover_pool(x, &mine) : recover_snapshot(x, &mine);
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
	int r = ledger_each(recover_one, &v, e);

	*ret_left = v.left;
	return r;
}

/*
 * Whoever holds the lock undoes its own work, unless it is dead: then a child of it hangs in the
 * kernel or is about to end, nobody watches that, and its snapshot will be used by nobody.
 */
static int resume_beside(struct err *e)
{
	size_t left = 0;

	if (!lock_is_orphaned()) {
		log_debug("%s: it undoes its own work", e->text);
		return 0;
	}
	int r = ledger_each(resume_one, &left, e);
	return r < 0 ? r
		     : err_set(e, ERR_LEFTOVER, -EBUSY,
			       "a process of an interrupted run still takes a snapshot; its origin "
			       "may be suspended by it once more");
}

static int resume_now(struct err *e)
{
	struct recovery v = {.is_active_only = true};
	size_t count = 0;
	AUTO_CLOSE int lock = -1;

	/* Nothing to do is the rule, and then a run that starts now must not find the lock taken.
	 */
	if (ledger_each(count_one, &count, e) == 0 && count == 0)
		return 0;
	int r = dmdev_init(e);
	if (r == 0)
		r = lock_take(&lock, e);
	if (r == -EWOULDBLOCK)
		return resume_beside(e);
	if (r < 0)
		return r;
	/* Every origin before anything that takes longer; an entry that cannot be read is reported
	 * below. */
	(void)ledger_each(resume_one, &v.left, NULL);
	r = ledger_each(recover_one, &v, e);
	if (r == 0 && v.left)
		r = err_set(e, ERR_LEFTOVER, -EBUSY, "%zu entries of the ledger remain", v.left);
	return r;
}

int run_recover(const struct run_options *o)
{
	struct err e = {0};
	size_t left = 0;
	AUTO_CLOSE int lock = -1;

	if (o->resume) {
		if (resume_now(&e) == 0)
			return EXIT_GOOD;
		report_error(o, "recover", &e);
		return err_exit_code(e.kind);
	}
	int r = dmdev_init(&e);

	if (r == 0)
		r = lock_take(&lock, &e);
	if (r == 0)
		r = recover_entries(NULL, &left, &e);
	if (r < 0) {
		report_error(o, "recover", &e);
		return err_exit_code(e.kind);
	}
	return left ? EXIT_LEFTOVER : EXIT_GOOD;
}
