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
	const char *pool;
	size_t left, done;
};

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

int run_recover(const struct run_options *o)
{
	struct err e = {0};
	size_t left = 0;
	int r = dmdev_init(&e);

	if (r == 0)
		r = recover_entries(NULL, &left, &e);
	if (r < 0) {
		report_error(o, "recover", &e);
		return err_exit_code(e.kind);
	}
	return left ? EXIT_LEFTOVER : EXIT_GOOD;
}
