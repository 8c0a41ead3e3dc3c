/* SPDX-License-Identifier: Apache-2.0 */
#include "usage.h"

#include <errno.h>
#include <string.h>

#include "lock.h"
#include "log.h"
#include "pool_hold.h"
#include "scope.h"
#include "stop.h"

/* For 48 TiB in blocks of 64 KiB with 16 GiB of metadata, the most there can be. */
#define MEMORY_MAX ((size_t)256 << 20)

struct usage_pool {
	const struct pool_ref *ref;
	struct pool pool;
	bool is_active, is_readable;
	char node[64]; /* is_active: of its metadata */
	struct thinmeta_usages all;
};

static const char *path_of(const struct usage_pool *p)
{
	return p->is_active ? p->node : p->ref->metadata_path;
}

struct hold {
	const struct pool *pool;
	struct ledger_entry entry;
};

static int undo_hold(void *arg, struct err *e)
{
	const struct hold *h = arg;

	return pool_hold_end(h->pool, &h->entry, e);
}

static int undo_entry(void *arg, struct err *e)
{
	const struct hold *h = arg;

	/* Not yet written: one of this name is an earlier one's. */
	return h->entry.file[0] ? ledger_remove(&h->entry, e) : 0;
}

/* One that we left ourselves is in our way no longer than that. */
static int hold(struct hold *h, uint64_t *ret_root, struct err *e)
{
	size_t left = 0;
	struct err mine = {0};
	int r = pool_hold(h->pool, &h->entry, ret_root, e);

	if (r != -EBUSY || h->entry.file[0] || recover_entries(h->pool->name, &left, &mine) < 0)
		return r;
	return pool_hold(h->pool, &h->entry, ret_root, e);
}

/* By a metadata snapshot: the pool changes too often. */
static int read_held(struct usage_pool *p, struct err *e)
{
	struct hold h = {.pool = &p->pool};
	struct undo undo = {0};
	struct err left = {0};
	AUTO_CLOSE int lock = -1;
	uint64_t root = 0;
	int r = lock_take("pool", p->pool.name, "ps", 0, &lock, e);

	if (r < 0)
		return r;
	undo_arm_if_clean(&undo, "ledger", undo_entry, &h);
	undo_arm(&undo, "metadata snapshot", undo_hold, &h);
	r = hold(&h, &root, e);
	if (r == 0)
		r = stop_check(e);
	if (r == 0)
		r = thinmeta_usages_read(path_of(p), root, MEMORY_MAX, &p->all, e);
	if (undo_to(&undo, 0, &left) < 0) {
		left.kind = ERR_LEFTOVER;
		*e = left;
		return left.code;
	}
	return r;
}

static int read_all(struct usage_pool *p, struct err *e)
{
	int r = thinmeta_usages_read(path_of(p), THINMETA_MAIN, MEMORY_MAX, &p->all, e);

	return r == -EAGAIN && p->is_active ? read_held(p, e) : r;
}

static void say_unknown(struct usage *u, const struct usage_pool *p, const struct err *e)
{
	const char *name = p->is_active ? p->pool.name : p->ref->dm_name;

	report_error(u->options, name ? name : "pool", e);
	u->code = exit_worst(u->code, e->kind == ERR_LEFTOVER || e->kind == ERR_INTERRUPTED
					      ? err_exit_code(e->kind)
					      : EXIT_INCOMPLETE);
}

static int find(const struct usage *u, struct usage_pool *p, struct err *e)
{
	int r = u->has_dm ? pool_find(p->ref, &p->pool, e) : -ENOENT;

	p->is_active = r == 0;
	if (r == 0)
		return dmdev_node(p->pool.meta_major, p->pool.meta_minor, p->node, e);
	if (r == -ENOENT && p->ref->metadata_path)
		return 0;
	return r == -ENOENT ? err_set(e, ERR_STORE, r,
				      "it is not active, and where its metadata is nobody tells")
			    : r;
}

static void read_pool(struct usage *u, struct usage_pool *p)
{
	struct err e = {0};
	int r = find(u, p, &e);

	p->pool.limits = pools_limits(u->options->cfg);
	if (r == 0 && u->options->usage)
		r = read_all(p, &e);
	p->is_readable = r == 0;
	if (r < 0 && u->options->usage)
		say_unknown(u, p, &e);
	if (!p->all.is_damaged)
		return;
	log_warning("'%s': damaged metadata: how much is shared is unknown", path_of(p));
	u->code = exit_worst(u->code, EXIT_INCOMPLETE);
}

/* NULL without memory, which is said. */
static struct usage_pool *enter(struct usage *u, const struct pool_ref *ref)
{
	for (size_t i = 0; i < u->count; i++)
		if (pools_same(u->pools[i].ref, ref))
			return &u->pools[i];
	struct usage_pool *more = reallocarray(u->pools, u->count + 1, sizeof(*more));
	if (!more) {
		struct err e = {0};

		(void)err_sys(&e, ERR_FATAL, -ENOMEM, "pool");
		report_error(u->options, "ps", &e);
		u->code = EXIT_FATAL;
		return NULL;
	}
	u->pools = more;
	u->pools[u->count] = (struct usage_pool){.ref = ref};
	read_pool(u, &u->pools[u->count]);
	return &u->pools[u->count++];
}

/* Of its own record: only a few blocks are read. */
static struct usage_bytes of_record(struct usage_pool *p, uint32_t id)
{
	struct thinmeta_live l;
	struct err e = {0};
	int r = p->is_readable ? thinmeta_live_find(path_of(p), id, &l, &e) : -ENODATA;

	if (r == 0)
		return (struct usage_bytes){
			.is_known = true, .mapped = l.mapped_blocks * l.sb.block_sectors * 512};
	/* The next one would wait as long, or fail as this one. */
	if (r != -ENODATA && r != -EUCLEAN) {
		log_debug("mapped bytes are unknown: %s", e.text);
		p->is_readable = false;
	}
	return (struct usage_bytes){0};
}

struct usage_bytes usage_of(struct usage *u, const struct container *c)
{
	struct usage_bytes ret = {0};
	struct usage_pool *p = c->volume == VOLUME_THIN && !c->problem ? enter(u, &c->pool) : NULL;

	if (!p || !u->options->usage)
		return p ? of_record(p, c->thin_id) : ret;
	const struct thinmeta_usage *x = thinmeta_usages_find(&p->all, c->thin_id);
	if (!x || x->is_damaged)
		return ret;
	ret.is_known = true;
	ret.is_shared_known = !p->all.is_damaged;
	ret.mapped = x->mapped * p->all.block_bytes;
	ret.exclusive = x->exclusive * p->all.block_bytes;
	return ret;
}

void usage_done(struct usage *u)
{
	for (size_t i = 0; i < u->count; i++)
		thinmeta_usages_done(&u->pools[i].all);
	free(u->pools);
	*u = (struct usage){0};
}
