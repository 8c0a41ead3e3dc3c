/* SPDX-License-Identifier: Apache-2.0 */
/* Telling our snapshot, and its pool, from others; see pool.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pool.h"
#include "thinmeta.h"

static int look(const struct pool *p, uint32_t id, struct thinmeta_live *ret, struct err *e)
{
	char node[64];
	int r = dmdev_node(p->meta_major, p->meta_minor, node, e);

	if (r == 0)
		r = thinmeta_live_find(node, id, ret, e);
	return r;
}

/* The whole of 64 bits is not to be expected, but the ledger's numbers are signed. */
static uint64_t number(uint64_t n)
{
	return n & INT64_MAX;
}

int pool_mark_before(const struct pool *p, struct thin_mark *ret, struct err *e)
{
	struct thinmeta_superblock s;
	char node[64];
	int r = dmdev_node(p->meta_major, p->meta_minor, node, e);

	if (r == 0)
		r = thinmeta_superblock_read(node, &s, e);
	if (r == 0)
		*ret = (struct thin_mark){
			.has_before = true, .before = s.time, .block_sectors = s.block_sectors};
	return r;
}

int pool_mark_after(const struct pool *p, uint32_t id, struct thin_mark *mark, struct err *e)
{
	struct thinmeta_live l;
	int r = look(p, id, &l, e);

	if (r < 0)
		return r;
	mark->has_before = mark->is_whole = true;
	mark->block_sectors = l.sb.block_sectors;
	mark->created = l.creation_time;
	mark->transaction = number(l.transaction);
	mark->mapped = number(l.mapped_blocks);
	return 0;
}

static bool is_marked(const struct thin_mark *m, const struct thinmeta_live *l)
{
	if (!m->has_before)
		return true;
	if (!m->is_whole)
		return m->block_sectors == l->sb.block_sectors && l->creation_time > m->before;
	return m->block_sectors == l->sb.block_sectors && l->creation_time == m->created &&
	       number(l->transaction) == m->transaction && number(l->mapped_blocks) >= m->mapped;
}

int pool_match(const struct pool *p, uint32_t id, const struct thin_mark *mark,
	enum pool_match *ret, struct err *e)
{
	struct thinmeta_live l;
	struct err mine = {0};
	int r = mark->has_before ? look(p, id, &l, &mine) : 0;

	if (r < 0 && r != -ENODATA) {
		*e = mine;
		return err_add(
			e, "thin %" PRIu32 " of pool '%s' cannot be identified", id, p->name);
	}
	*ret = r == -ENODATA                              ? POOL_ABSENT
	       : !mark->has_before || is_marked(mark, &l) ? POOL_SAME
							  : POOL_OTHER;
	return 0;
}

struct search {
	const char *name;             /* or */
	const struct thin_mark *mark; /* of id */
	uint32_t id;
	struct pool *ret;
};

static int try_pool(void *arg, const char *name, const struct dmdev_info *i,
	const struct dmdev_target *t, struct err *e)
{
	const struct search *s = arg;
	struct thinmeta_live l;
	struct err mine;

	(void)e;
	if (strcmp(t->type, "thin-pool") != 0 || (s->name && strcmp(name, s->name) != 0) ||
		!pool_parse_table(name, i, t->params, s->ret))
		return 0;
	/* One that cannot be read is not known to be the one. */
	return s->name || (look(s->ret, s->id, &l, &mine) == 0 && is_marked(s->mark, &l));
}

static int search(struct search *s, struct err *e)
{
	int r = dmdev_each(try_pool, s, e);

	return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int pool_find_marked(uint32_t id, const struct thin_mark *mark, struct pool *ret, struct err *e)
{
	struct search s = {.mark = mark, .id = id, .ret = ret};
	int r = mark->is_whole ? search(&s, e) : -ENOENT;

	return r == -ENOENT ? err_set(e, ERR_POOL, r, "no active pool holds this thin %" PRIu32, id)
			    : r;
}

int pool_named(const char *name, struct pool *ret, struct err *e)
{
	struct search s = {.name = name, .ret = ret};
	int r = search(&s, e);

	return r == -ENOENT ? err_set(e, ERR_POOL, r, "pool '%s' is not active", name) : r;
}
