/* SPDX-License-Identifier: Apache-2.0 */
/* A container's device becomes what it was in its safety snapshot, or that is given up. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "find_archive.h"
#include "lock.h"
#include "log.h"
#include "own_device.h"
#include "safety.h"
#include "scope.h"
#include "stop.h"

struct rollback {
	const struct rollback_options *x;
	const struct container *container; /* NULL: it is not there any more */
	struct ledger_entry entry;
	char id[LEDGER_KEEPS_CAP];
	struct pool pool;
	int lock;
};

/* The snapshot is taken off the pool, then out of the ledger. */
static int drop(struct rollback *b, struct err *e)
{
	int r = safety_release(&b->entry, e);

	if (r == 0)
		r = snap_drop_entry(&b->pool, &b->entry, e);
	return r < 0 ? r : ledger_remove(&b->entry, e);
}

static int roll_back(struct rollback *b, struct err *e)
{
	struct ledger_entry *x = &b->entry;
	int r = own_check_unused(&b->pool, b->container, e);

	if (r < 0)
		return r;
	x->is_rollback = true;
	r = ledger_write(x, e);
	if (r == 0)
		r = snap_roll_back(&b->pool, x, e);
	return r < 0 ? r : drop(b, e);
}

/* The container's pool, put together if need be; or, without a container, the entry's. */
static int enter_pool(struct rollback *b, struct pools *pools, struct err *e)
{
	struct pool_use *use;

	if (b->container) {
		int r = pools_enter(pools, &b->container->pool, &use, e);

		if (r == 0)
			b->pool = use->pool;
		return r;
	}
	int r = pool_named(b->entry.pool, &b->pool, e);
	if (r == -ENOENT && b->entry.mark.is_whole)
		r = pool_find_marked(b->entry.thin_id, &b->entry.mark, &b->pool, e);
	return r < 0 ? r
		     : pools_lock(pools->options, "pool", b->pool.name, "rollback", &b->lock, e);
}

static int find(struct rollback *b, struct container_list *list, struct err *e)
{
	struct err mine = {0};
	int r = own_find(list, b->x->container, &b->container, &mine);

	/* Only the dropping needs no container. */
	if (r < 0 && (!b->x->drop || r == -ENOTUNIQ)) {
		*e = mine;
		return r;
	}
	if (r < 0)
		return safety_find_named(b->x->container, &b->entry, e);
	r = safety_find(b->container, &b->entry, e);
	return r == 0  ? err_set(e, ERR_NOTHING, -ENOENT, "it has no safety snapshot")
	       : r < 0 ? r
		       : 0;
}

static void say(const struct rollback *b)
{
	const struct ledger_entry *x = &b->entry;
	AUTO_STRBUF line = {0};

	if (!b->x->json) {
		log_info("%s: %s", x->keeps_name,
			b->x->drop ? "stays as it is; the safety snapshot is dropped"
				   : "is what it was before");
		return;
	}
	strbuf_puts(&line, "{\"v\":1,\"type\":\"rollback\"");
	json_field(&line, "container", x->keeps_name);
	json_field(&line, "id", b->id);
	json_field(&line, "pool", x->pool);
	strbuf_printf(&line, ",\"thin_id\":%" PRIu32 ",\"dropped\":%s}", x->thin_id,
		b->x->drop ? "true" : "false");
	report_line(&line);
}

int run_rollback(const struct rollback_options *x)
{
	const struct run_options o = {.cfg = x->cfg, .json = x->json};
	struct pools pools = {.options = &o, .what = "rollback"};
	struct rollback b = {.x = x, .lock = -1};
	struct container_list list = {0};
	struct err e = {0};
	int r = dmdev_init(&e);

	stop_init();
	if (r == 0) {
		(void)list_stores(x->cfg, &list);
		r = find(&b, &list, &e);
	}
	if (r == 0)
		r = enter_pool(&b, &pools, &e);
	/* Once more under the lock. */
	if (r == 0)
		r = find(&b, &list, &e);
	(void)snprintf(b.id, sizeof(b.id), "%s", b.entry.keeps);
	if (r == 0)
		r = x->drop ? drop(&b, &e) : roll_back(&b, &e);
	if (r == 0)
		say(&b);
	else
		report_error(&o, x->container, &e);
	int code = r < 0 ? err_exit_code(e.kind) : EXIT_GOOD, last = pools_leave(&pools);
	scope_close(&b.lock);
	container_list_done(&list);
	return exit_worst(code, last);
}
