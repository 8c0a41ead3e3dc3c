/* SPDX-License-Identifier: Apache-2.0 */
#include "thinbtree.h"

#include <errno.h>

#include "scope.h"

#define NODE_SALT 121107u
#define HEADER 32u
#define INTERNAL 1u
#define LEAF 2u

/* A node and the keys it is responsible for. */
struct level {
	struct thinbtree_node node;
	uint64_t end;
	uint32_t next; /* entry to look at */
};

struct thinbtree {
	struct thinmeta *meta;
	uint64_t root, parent, limit, from;
	uint32_t value_size;
	bool is_started;
	unsigned depth;
	struct level levels[THINBTREE_DEPTH];
	uint8_t *buffer; /* of all levels' nodes */
};

uint64_t thinbtree_key(const struct thinbtree_node *n, uint32_t i)
{
	return thinbtree_le64(n->raw + HEADER + 8 * (size_t)i);
}

const uint8_t *thinbtree_value(const struct thinbtree_node *n, uint32_t i)
{
	return n->raw + HEADER + 8 * (size_t)n->max + (size_t)i * n->value_size;
}

uint32_t thinbtree_below(const struct thinbtree_node *n, uint64_t key)
{
	uint32_t lo = 0, hi = n->count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (thinbtree_key(n, mid) < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void decode(struct thinbtree_node *n, uint64_t block)
{
	n->block = block;
	n->is_leaf = thinbtree_le32(n->raw + 4) == LEAF;
	n->count = thinbtree_le32(n->raw + 16);
	n->max = thinbtree_le32(n->raw + 20);
	n->value_size = thinbtree_le32(n->raw + 24);
}

/* What a node must fulfil on its own. */
static enum thinmeta_reason check(const uint8_t *raw, uint64_t block, bool with_checksum)
{
	const uint64_t flags = thinbtree_le32(raw + 4), count = thinbtree_le32(raw + 16);
	const uint64_t max = thinbtree_le32(raw + 20), size = thinbtree_le32(raw + 24);

	if (with_checksum &&
		(~thinmeta_crc32c(raw + 4, THINMETA_BLOCK - 4) ^ NODE_SALT) != thinbtree_le32(raw))
		return THINMETA_CHECKSUM;
	if (thinbtree_le64(raw + 8) != block)
		return THINMETA_PLACE;
	/* 32-bit fields: no product overflows 64 bits once max is bounded. */
	if ((flags != INTERNAL && flags != LEAF) || count > max || max > THINMETA_BLOCK ||
		HEADER + max * (8 + size) > THINMETA_BLOCK || (flags == INTERNAL && size != 8))
		return THINMETA_SHAPE;
	for (uint32_t i = 1; i < count; i++)
		if (thinbtree_le64(raw + HEADER + 8 * (size_t)i) <=
			thinbtree_le64(raw + HEADER + 8 * (size_t)(i - 1)))
			return THINMETA_ORDER;
	return THINMETA_SOUND;
}

enum thinmeta_reason thinbtree_load(struct thinmeta *m, uint64_t block, struct thinbtree_node *n)
{
	if (block == 0 || block >= m->blocks)
		return THINMETA_CHILD;
	uint8_t *verdict = &m->verdicts[block];
	/* Many pointers to one bad block cost as much as one. */
	if (*verdict > 1 + THINMETA_SOUND)
		return *verdict - 1u;
	enum thinmeta_reason reason = THINMETA_UNREADABLE;
	/* All but the checksum again: nothing keeps others from writing meanwhile. */
	if (thinmeta_read_block(m, block, n->raw) == 0)
		reason = check(n->raw, block, *verdict == 0);
	*verdict = (uint8_t)(reason + 1);
	if (reason == THINMETA_SOUND)
		decode(n, block);
	return reason;
}

enum thinmeta_reason thinbtree_suits(const struct thinbtree_node *n, bool is_root, uint64_t begin,
	uint64_t end, uint32_t value_size)
{
	if (n->is_leaf && n->value_size != value_size)
		return THINMETA_SHAPE;
	if (n->count == 0)
		return is_root && n->is_leaf ? THINMETA_SOUND : THINMETA_EMPTY;
	if (thinbtree_key(n, 0) < begin || thinbtree_key(n, n->count - 1) >= end)
		return THINMETA_RANGE;
	return THINMETA_SOUND;
}

int thinbtree_open(struct thinmeta *m, uint64_t root, uint64_t parent, uint32_t value_size,
	uint64_t limit, struct thinbtree **ret, struct err *e)
{
	struct thinbtree *t = calloc(1, sizeof(*t));

	if (t)
		t->buffer = aligned_alloc(THINMETA_BLOCK, THINBTREE_DEPTH * (size_t)THINMETA_BLOCK);
	if (!t || !t->buffer) {
		free(t);
		return err_sys(e, ERR_FATAL, -ENOMEM, "metadata '%s'", m->name);
	}
	t->meta = m;
	t->root = root;
	t->parent = parent;
	t->limit = limit;
	t->value_size = value_size;
	for (unsigned i = 0; i < THINBTREE_DEPTH; i++)
		t->levels[i].node.raw = t->buffer + (size_t)i * THINMETA_BLOCK;
	*ret = t;
	return 0;
}

void thinbtree_close(struct thinbtree *t)
{
	if (t)
		free(t->buffer);
	free(t);
}

/* Skips what ends before t->from. */
static void skip(const struct thinbtree *t, struct level *l)
{
	l->next = thinbtree_below(&l->node, t->from);
	if (!l->node.is_leaf && l->next > 0 &&
		(l->next == l->node.count || thinbtree_key(&l->node, l->next) > t->from))
		l->next--;
}

void thinbtree_seek(struct thinbtree *t, uint64_t key)
{
	t->from = key;
	/* Levels that hold the key stay, so that reading on from near by reads no node again. */
	while (t->depth) {
		struct level *l = &t->levels[t->depth - 1];

		if (l->node.count && key >= thinbtree_key(&l->node, 0) && key < l->end)
			break;
		t->depth--;
	}
	for (unsigned i = 0; i < t->depth; i++) {
		skip(t, &t->levels[i]);
		/* The child is on the path already, unless this is the last level. */
		if (i + 1 < t->depth)
			t->levels[i].next++;
	}
	t->is_started = t->depth > 0;
}

static enum thinmeta_reason enter(struct thinbtree *t, uint64_t block, uint64_t begin, uint64_t end)
{
	if (t->depth == THINBTREE_DEPTH)
		return THINMETA_DEPTH;
	for (unsigned i = 0; i < t->depth; i++)
		if (t->levels[i].node.block == block)
			return THINMETA_CYCLE;
	struct level *l = &t->levels[t->depth];
	enum thinmeta_reason reason = thinbtree_load(t->meta, block, &l->node);
	if (reason == THINMETA_SOUND)
		reason = thinbtree_suits(&l->node, t->depth == 0, begin, end, t->value_size);
	if (reason != THINMETA_SOUND)
		return reason;
	l->end = end;
	skip(t, l);
	t->depth++;
	return THINMETA_SOUND;
}

/* True if the node is damaged: then *ret says so. */
static bool descend(struct thinbtree *t, uint64_t block, uint64_t begin, uint64_t end,
	struct thinbtree_item *ret)
{
	const uint64_t parent = t->depth ? t->levels[t->depth - 1].node.block : t->parent;
	enum thinmeta_reason reason = enter(t, block, begin, end);

	if (reason == THINMETA_SOUND)
		return false;
	*ret = (struct thinbtree_item){.damage = {.reason = reason,
					       .block = block,
					       .parent = parent,
					       .begin = begin,
					       .end = end}};
	return true;
}

bool thinbtree_next(struct thinbtree *t, struct thinbtree_item *ret)
{
	if (!t->is_started) {
		t->is_started = true;
		if (descend(t, t->root, 0, t->limit, ret))
			return true;
	}
	while (t->depth) {
		struct level *l = &t->levels[t->depth - 1];
		const struct thinbtree_node *n = &l->node;
		const uint32_t i = l->next++;

		if (i >= n->count) {
			t->depth--;
		} else if (n->is_leaf) {
			*ret = (struct thinbtree_item){.key = thinbtree_key(n, i),
				.value = thinbtree_value(n, i),
				.leaf = n->block};
			return true;
		} else if (descend(t, thinbtree_le64(thinbtree_value(n, i)), thinbtree_key(n, i),
				   i + 1 < n->count ? thinbtree_key(n, i + 1) : l->end, ret)) {
			return true;
		}
	}
	return false;
}
