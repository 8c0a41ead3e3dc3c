/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "lock.h"
#include "log.h"
#include "scope.h"

static int undo_pool(void *arg, struct err *e)
{
	return pool_close(arg, e);
}

static int undo_entry(void *arg, struct err *e)
{
	return ledger_remove(arg, e);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool pools_same(const struct pool_ref *a, const struct pool_ref *b)
{
	return same_text(a->dm_name, b->dm_name) && same_text(a->metadata_path, b->metadata_path);
}

struct pool_limits pools_limits(const struct cfg *cfg)
{
	return (struct pool_limits){
		(unsigned)cfg->pool_min_free_data, (unsigned)cfg->pool_min_free_metadata};
}

int pools_lock(const struct run_options *o, const char *kind, const char *name, const char *what,
	int *ret_fd, struct err *e)
{
	const unsigned wait = (unsigned)o->cfg->lock_wait;
	int r = lock_take(kind, name, what, 0, ret_fd, e);

	if (r != -EWOULDBLOCK || !wait)
		return r;
	log_info("%s; waiting for up to %u s", e->text, wait);
	return lock_take(kind, name, what, wait, ret_fd, e);
}

static int assemble(struct pool_use *u, struct err *e)
{
	u->entry = (struct ledger_entry){.kind = LEDGER_POOL};
	(void)snprintf(u->entry.pool, sizeof(u->entry.pool), "%s",
		u->ref->dm_name ? u->ref->dm_name : "?");
	undo_arm_if_clean(&u->undo, "ledger", undo_entry, &u->entry);
	int r = ledger_write(&u->entry, e);
	if (r < 0)
		return r;
	u->pool = (struct pool){0};
	undo_arm(&u->undo, "pool", undo_pool, &u->pool);
	return pool_assemble(u->ref, &u->pool, e);
}

/* Which pool it is decides which lock; under the lock it is looked for once more. */
static int take(struct pools *p, struct pool_use *u, struct err *e)
{
	size_t left = 0;
	int r = pool_find(u->ref, &u->pool, e);

	if (r < 0 && r != -ENOENT)
		return r;
	const char *name = r == 0 ? u->pool.name : u->ref->dm_name;
	r = name ? pools_lock(p->options, "pool", name, p->what, &u->lock, e) : r;
	if (r == 0) {
		r = pool_find(u->ref, &u->pool, e);
		if (r == -ENOENT)
			r = assemble(u, e);
	}
	u->pool.limits = pools_limits(p->options->cfg);
	/* What an earlier run left in a pool that was not active, or in use, until now. */
	return r < 0 ? r : recover_entries(u->pool.name, &left, e);
}

void pools_keep(struct pool_use *u)
{
	u->undo.depth = 0;
}

static int leave(struct pool_use *u, struct err *e)
{
	int r = undo_to(&u->undo, 0, e);

	if (u->lock >= 0)
		(void)close(u->lock);
	free(u);
	return r;
}

/* The pool that this run uses already, perhaps for a store that has another name for it. */
static struct pool_use *find_used(const struct pools *p, const struct pool_ref *ref)
{
	struct pool found;
	struct err ignored;

	for (size_t i = 0; i < p->count; i++)
		if (pools_same(p->items[i]->ref, ref))
			return p->items[i];
	if (p->count == 0 || pool_find(ref, &found, &ignored) < 0)
		return NULL;
	for (size_t i = 0; i < p->count; i++)
		if (p->items[i]->pool.major == found.major &&
			p->items[i]->pool.minor == found.minor)
			return p->items[i];
	return NULL;
}

int pools_enter(struct pools *p, const struct pool_ref *ref, struct pool_use **ret, struct err *e)
{
	*ret = find_used(p, ref);
	if (*ret)
		return 0;
	struct pool_use **more = reallocarray(p->items, p->count + 1, sizeof(struct pool_use *));
	if (!more)
		return err_sys(e, ERR_FATAL, -ENOMEM, "pool");
	p->items = more;
	struct pool_use *u = calloc(1, sizeof(*u));
	if (!u)
		return err_sys(e, ERR_FATAL, -ENOMEM, "pool");
	u->ref = ref;
	u->lock = -1;
	u->next_id = SNAP_ID_TOP;
	int r = take(p, u, e);
	if (r < 0) {
		struct err left = {0};

		if (leave(u, &left) < 0) {
			*e = left;
			e->kind = ERR_LEFTOVER;
		}
		return r;
	}
	p->items[p->count++] = u;
	*ret = u;
	return 0;
}

int pools_leave(struct pools *p)
{
	int code = EXIT_GOOD;

	for (size_t i = p->count; i-- > 0;) {
		struct err e = {0};
		char name[DM_NAME_MAX];

		(void)snprintf(name, sizeof(name), "%s", p->items[i]->pool.name);
		if (leave(p->items[i], &e) < 0) {
			report_error(p->options, name, &e);
			code = EXIT_LEFTOVER;
		}
	}
	free(p->items);
	*p = (struct pools){.options = p->options, .what = p->what};
	return code;
}
