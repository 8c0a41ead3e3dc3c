/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_hold.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "thinmeta.h"

/* Messages end with a commit: the superblock on disk tells. */
static int committed(
	const struct pool *p, char node[64], struct thinmeta_superblock *ret, struct err *e)
{
	int r = dmdev_node(p->meta_major, p->meta_minor, node, e);

	return r < 0 ? r : thinmeta_superblock_read(node, ret, e);
}

/* The copy of the superblock that block root is. */
static int held(const char *node, uint64_t root, struct thinmeta_superblock *ret, struct err *e)
{
	struct thinmeta *m = NULL;
	int r = thinmeta_open(node, root, &m, e);

	if (r == 0)
		*ret = *thinmeta_superblock(m);
	thinmeta_close(m);
	return r;
}

static int reserve(const struct pool *p, struct ledger_entry *x, struct err *e)
{
	int r = ledger_write(x, e);

	if (r < 0)
		return r;
	r = dmdev_message(p->name, "reserve_metadata_snap", e);
	/* Somebody was faster: it is none of ours. */
	if (r == -EBUSY)
		x->mark.has_before = false;
	return r;
}

int pool_hold(const struct pool *p, struct ledger_entry *x, uint64_t *ret_root, struct err *e)
{
	struct thinmeta_superblock sb;
	char node[64];

	*x = (struct ledger_entry){.kind = LEDGER_METADATA};
	(void)snprintf(x->pool, sizeof(x->pool), "%s", p->name);
	int r = pool_guard(p, e);
	if (r == 0)
		r = committed(p, node, &sb, e);
	if (r == 0 && sb.held_root)
		r = err_set(e, ERR_POOL, -EBUSY,
			"pool '%s': somebody else holds its metadata snapshot (block %" PRIu64 ")",
			p->name, sb.held_root);
	if (r < 0)
		return r;
	x->mark = (struct thin_mark){.has_before = true,
		.before = sb.time,
		.block_sectors = sb.block_sectors,
		.transaction = sb.transaction & INT64_MAX};
	r = reserve(p, x, e);
	if (r == 0)
		r = committed(p, node, &sb, e);
	if (r == 0 && !sb.held_root)
		r = err_set(e, ERR_POOL, -EIO, "pool '%s' made no metadata snapshot", p->name);
	const uint64_t root = sb.held_root;
	if (r == 0)
		r = held(node, root, &sb, e);
	if (r < 0)
		return r;
	x->held_root = root;
	x->held_checksum = sb.checksum;
	*ret_root = root;
	return ledger_write(x, e);
}

/* 1: the pool holds the metadata snapshot of the entry. */
static int is_held(const struct pool *p, const struct ledger_entry *x, struct err *e)
{
	struct thinmeta_superblock sb, copy;
	char node[64];
	int r = committed(p, node, &sb, e);

	if (r < 0 || !sb.held_root || sb.block_sectors != x->mark.block_sectors)
		return r;
	if (x->held_root && sb.held_root != x->held_root)
		return 0;
	r = held(node, sb.held_root, &copy, e);
	if (r < 0)
		return r;
	if (x->held_root)
		return copy.checksum == x->held_checksum;
	return copy.time >= x->mark.before && (copy.transaction & INT64_MAX) >= x->mark.transaction;
}

int pool_hold_end(const struct pool *p, const struct ledger_entry *x, struct err *e)
{
	/* Not begun. */
	if (!x->mark.has_before)
		return 0;
	int r = is_held(p, x, e);

	if (r == 1)
		r = dmdev_message(p->name, "release_metadata_snap", e);
	return r < 0 ? err_add(e, "metadata snapshot of pool '%s'", p->name) : 0;
}

struct search {
	const struct ledger_entry *entry;
	struct pool *ret;
};

static int try_pool(void *arg, const char *name, const struct dmdev_info *i,
	const struct dmdev_target *t, struct err *e)
{
	const struct search *s = arg;
	struct err mine;

	(void)e;
	/* One that cannot be read is not known to be the one. */
	return strcmp(t->type, "thin-pool") == 0 && pool_parse_table(name, i, t->params, s->ret) &&
	       is_held(s->ret, s->entry, &mine) == 1;
}

int pool_hold_find(const struct ledger_entry *x, struct pool *ret, struct err *e)
{
	struct search s = {.entry = x, .ret = ret};
	int r = pool_named(x->pool, ret, e);

	if (r != -ENOENT || !x->held_root)
		return r;
	r = dmdev_each(try_pool, &s, e);
	if (r < 0)
		return r;
	return r == 0 ? err_set(e, ERR_POOL, -ENOENT, "no active pool holds this metadata snapshot")
		      : 0;
}
