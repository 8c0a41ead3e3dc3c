/* SPDX-License-Identifier: Apache-2.0 */
#include "into.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "find_archive.h"
#include "log.h"
#include "scope.h"
#include "stop.h"
#include "view.h"

int into_prepare(struct into *t, struct err *e)
{
	struct ledger_entry kept;
	int r = dmdev_init(e);

	if (r < 0)
		return r;
	(void)list_stores(t->options->cfg, &t->list);
	r = own_find(&t->list, t->name, &t->container, e);
	if (r == 0)
		r = pools_enter(&t->pools, &t->container->pool, &t->use, e);
	if (r == 0)
		r = own_check_unused(&t->use->pool, t->container, e);
	if (r == 0)
		r = safety_find(t->container, &kept, e);
	if (r > 0) {
		safety_tell(&kept);
		return err_set(e, ERR_LEFTOVER, -EEXIST,
			"an earlier safety snapshot is kept: 'thinark rollback' first");
	}
	return r < 0 ? r : view_isolate(e);
}

/* Each block that is written is a new one, as the safety snapshot keeps the old. */
static int check_room(const struct pool *p, uint64_t bytes, struct err *e)
{
	const uint64_t block = (uint64_t)p->block_sectors * 512;
	struct pool_status s;
	char need[16], has[16];
	int r = pool_guard(p, e);

	if (r == 0)
		r = pool_status(p, &s, e);
	if (r < 0)
		return r;
	const uint64_t left = s.data_total - s.data_used;
	const uint64_t reserve = s.data_total * p->limits.min_free_data / 100;
	const uint64_t room = left > reserve ? (left - reserve) * block : 0;

	if (bytes > room)
		return err_set(e, ERR_POOL, -ENOSPC,
			"%s may have to be written, and pool '%s' has %s beyond the %u %% that are "
			"to stay free",
			str_size(bytes, need), p->name, str_size(room, has),
			p->limits.min_free_data);
	return 0;
}

int into_open(struct into *t, uint64_t bytes, struct err *e)
{
	const struct watch_ops ops = {0}; /* no stage has a limit */
	const struct container *c = t->container;
	const struct pool *pool = &t->use->pool;
	int r = check_room(pool, bytes, e);

	if (r == 0)
		r = safety_take(&t->safety, pool, &t->use->next_id, c, e);
	if (r < 0)
		return r;
	t->has_safety = true;
	if (!t->options->json)
		log_info("%s: safety snapshot: thin %" PRIu32 " of pool '%s'", c->name,
			t->safety.snap.entry.thin_id, pool->name);
	t->own.pool = pool;
	t->own.container = c;
	(void)snprintf(t->own.dir, sizeof(t->own.dir), VIEW_DIR);
	r = own_mount(&t->own, false, &t->undo, e);
	if (r == 0)
		r = view_open(c->subdir ? c->subdir : "", &t->root, e);
	return r < 0 ? r : watch_start(pool, &ops, &t->watch, e);
}

static void say_safety(const struct into *t, bool is_kept)
{
	const struct ledger_entry *x = &t->safety.snap.entry;
	AUTO_STRBUF b = {0};

	if (is_kept)
		safety_tell(x);
	else
		log_info("%s: the safety snapshot is dropped", x->keeps_name);
	if (!t->options->json)
		return;
	strbuf_puts(&b, "{\"v\":1,\"type\":\"safety\"");
	json_field(&b, "container", x->keeps_name);
	json_field(&b, "id", t->container->id);
	json_field(&b, "pool", x->pool);
	strbuf_printf(&b, ",\"thin_id\":%" PRIu32 ",\"kept\":%s}", x->thin_id,
		is_kept ? "true" : "false");
	report_line(&b);
}

/* What is left on the host weighs more than what failed before it. */
static int leftover(int r, struct err *mine, struct err *e)
{
	mine->kind = ERR_LEFTOVER;
	if (r < 0)
		(void)err_add(mine, "%s; then", e->text);
	*e = *mine;
	return e->code;
}

int into_close(struct into *t, bool keep, struct err *e)
{
	struct err mine = {0};
	int r = 0;

	if (t->root >= 0)
		(void)close(TAKE_FD(t->root)); /* or the mount would be busy */
	watch_stop(TAKE_PTR(t->watch));
	stop_clear();
	if (undo_to(&t->undo, 0, &mine) < 0)
		r = leftover(r, &mine, e);
	else if (t->own.is_shared)
		r = err_set(e, ERR_SOURCE, -EBUSY,
			"the container was started while its files were restored");
	keep = (keep || r < 0) && t->own.was_written;
	if (t->has_safety && !keep && safety_drop(&t->safety, &mine) < 0)
		r = leftover(r, &mine, e);
	else if (t->has_safety)
		say_safety(t, keep);
	if (pools_leave(&t->pools) != EXIT_GOOD && r == 0)
		r = err_set(e, ERR_LEFTOVER, -EBUSY, "its pool stays active");
	container_list_done(&t->list);
	return r;
}
