/* SPDX-License-Identifier: Apache-2.0 */
#include "safety.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

/* What stays the same as long as the container is there. */
static const char *key_of(const struct container *c)
{
	return c->id ? c->id : c->name;
}

struct search {
	const char *name; /* or id */
	bool any_origin;  /* else */
	uint32_t origin_id;
	struct ledger_entry *ret;
	int count;
};

static int match(void *arg, struct ledger_entry *x, struct err *e)
{
	struct search *s = arg;

	(void)e;
	if (!x->keeps[0])
		return 0;
	if (s->any_origin ? strcmp(x->keeps, s->name) != 0 && strcmp(x->keeps_name, s->name) != 0
			  : strcmp(x->keeps, s->name) != 0 || x->origin_id != s->origin_id)
		return 0;
	*s->ret = *x;
	s->count++;
	return 0;
}

int safety_find(const struct container *c, struct ledger_entry *ret, struct err *e)
{
	struct search s = {.name = key_of(c), .origin_id = c->thin_id, .ret = ret};
	int r = s.name ? ledger_each(match, &s, e) : 0;

	return r < 0 ? r : s.count > 0;
}

int safety_find_named(const char *name, struct ledger_entry *ret, struct err *e)
{
	struct search s = {.name = name, .any_origin = true, .ret = ret};
	int r = ledger_each(match, &s, e);

	if (r < 0)
		return r;
	if (s.count == 0)
		return err_set(e, ERR_NOTHING, -ENOENT, "it has no safety snapshot");
	if (s.count > 1)
		return err_set(e, ERR_USAGE, -ENOTUNIQ,
			"%d containers of this name have one: give the id", s.count);
	return 0;
}

int safety_release(struct ledger_entry *x, struct err *e)
{
	x->keeps[0] = '\0';
	x->is_rollback = false;
	return ledger_write(x, e);
}

int safety_take(struct safety *s, const struct pool *pool, uint32_t *next_id,
	const struct container *c, struct err *e)
{
	struct snap *one = &s->snap;
	struct ledger_entry *x = &one->entry;
	const char *key = key_of(c);
	size_t failed;

	if (!key || strlen(key) >= sizeof(x->keeps))
		return err_set(e, ERR_STORE, -ENAMETOOLONG, "its id cannot be kept");
	int r = snap_prepare(pool, c, NULL, next_id, &s->undo, one, e);
	if (r == 0)
		r = snap_shoot(&one, 1, &failed, e);
	if (r == 0)
		r = snap_confirm(one, e);
	if (r == 0) {
		(void)snprintf(x->keeps, sizeof(x->keeps), "%s", key);
		(void)snprintf(x->keeps_name, sizeof(x->keeps_name), "%s", c->name ? c->name : key);
		r = ledger_write(x, e);
	}
	if (r < 0) {
		struct err left = {0};

		/* Half of the write may have come to pass. */
		if (x->keeps[0])
			(void)safety_release(x, &left);
		if (undo_to(&s->undo, 0, &left) < 0) {
			e->kind = ERR_LEFTOVER;
			(void)err_add(e, "%s", left.text);
		}
	}
	return r;
}

int safety_drop(struct safety *s, struct err *e)
{
	int r = safety_release(&s->snap.entry, e);

	return r < 0 ? r : undo_to(&s->undo, 0, e);
}

void safety_tell(const struct ledger_entry *x)
{
	log_warning("%s: its state%s%s is kept as thin %" PRIu32 " of pool '%s' and takes space "
		    "there: 'thinark rollback' puts it back, 'thinark rollback --drop' gives it up",
		x->keeps_name, x->time[0] ? " of " : " before", x->time, x->thin_id, x->pool);
}

static int tell_one(void *arg, struct ledger_entry *x, struct err *e)
{
	(void)arg;
	(void)e;
	if (x->keeps[0])
		safety_tell(x);
	return 0;
}

void safety_tell_all(void)
{
	struct err ignored;

	(void)ledger_each(tell_one, NULL, &ignored);
}
