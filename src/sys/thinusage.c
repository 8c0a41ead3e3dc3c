/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many data blocks each device has for itself.  Snapshots share nodes, so that the devices
 * together may map far more than there are data blocks: a node that several devices reach is read
 * once for the first and once for the second of them, and from then on only its sums count.
 */
#include <errno.h>
#include <inttypes.h>

#include "scope.h"
#include "thinbtree.h"

#define TIME_BITS 24u

/* What is known of a node and all below it. */
struct memo {
	uint64_t last;   /* greatest key */
	uint32_t mapped; /* mappings: of one tree, so below 255 * 16320 * 255 */
	uint8_t seen;    /* by how many devices: 0, 1, or 2 for more */
	bool is_damaged;
};

struct usage {
	struct thinmeta *meta;
	uint64_t data_blocks;
	uint8_t *refs;      /* 2 bits a data block: 0, 1, or 2 for more */
	struct memo *memos; /* of each metadata block */
	uint8_t *buffer;    /* a node for each depth */
	bool is_counting;   /* second pass: what is exclusive? */
	uint64_t path[THINBTREE_DEPTH];
};

/* Sums of what lies below one reference. */
struct sum {
	uint64_t mapped, exclusive, last;
	bool is_damaged;
};

static unsigned get_ref(const struct usage *u, uint64_t block)
{
	return (unsigned)u->refs[block / 4] >> (block % 4 * 2) & 3u;
}

static void add_leaf(struct usage *u, const struct thinbtree_node *n, struct sum *s)
{
	for (uint32_t i = 0; i < n->count; i++) {
		const uint64_t block = thinbtree_le64(thinbtree_value(n, i)) >> TIME_BITS;

		if (block >= u->data_blocks) {
			s->is_damaged = true;
			continue;
		}
		const unsigned ref = get_ref(u, block);
		s->mapped++;
		if (u->is_counting)
			s->exclusive += ref == 1;
		else if (ref < 2)
			u->refs[block / 4] =
				(uint8_t)(u->refs[block / 4] + (1u << (block % 4 * 2)));
	}
	if (n->count)
		s->last = thinbtree_key(n, n->count - 1);
}

static void visit(struct usage *u, uint64_t block, unsigned depth, uint64_t begin, uint64_t end,
	struct sum *s);

static void add_node(struct usage *u, const struct thinbtree_node *n, unsigned depth, uint64_t end,
	struct sum *s)
{
	if (n->is_leaf) {
		add_leaf(u, n, s);
		return;
	}
	for (uint32_t i = 0; i < n->count; i++)
		visit(u, thinbtree_le64(thinbtree_value(n, i)), depth + 1, thinbtree_key(n, i),
			i + 1 < n->count ? thinbtree_key(n, i + 1) : end, s);
}

static bool is_sound(struct usage *u, struct thinbtree_node *n, uint64_t block, unsigned depth,
	uint64_t begin, uint64_t end)
{
	if (depth == THINBTREE_DEPTH || thinbtree_load(u->meta, block, n) != THINMETA_SOUND ||
		thinbtree_suits(n, depth == 0, begin, end, 8) != THINMETA_SOUND)
		return false;
	for (unsigned i = 0; i < depth; i++)
		if (u->path[i] == block)
			return false;
	u->path[depth] = block;
	/* A child's keys lie within its place: it can be entered at two places of one tree, or
	 * at different ones of two trees, only where something is damaged. */
	return u->memos[block].seen == 0 || u->memos[block].last < end;
}

/* Adds what block has to *s. */
static void visit(struct usage *u, uint64_t block, unsigned depth, uint64_t begin, uint64_t end,
	struct sum *s)
{
	struct thinbtree_node n = {.raw = u->buffer + (size_t)depth * THINMETA_BLOCK};

	if (!is_sound(u, &n, block, depth, begin, end)) {
		s->is_damaged = true;
		return;
	}
	struct memo *memo = &u->memos[block];
	if (memo->seen < 2) {
		struct sum mine = {.last = begin};

		if (!u->is_counting)
			memo->seen++;
		add_node(u, &n, depth, end, &mine);
		memo->mapped = (uint32_t)mine.mapped;
		memo->last = mine.last;
		memo->is_damaged = mine.is_damaged;
		s->exclusive += mine.exclusive;
	}
	s->mapped += memo->mapped;
	s->is_damaged |= memo->is_damaged;
	if (memo->last > s->last)
		s->last = memo->last;
}

static int each_device(struct usage *u, int (*fn)(void *arg, const struct thinmeta_usage *u),
	void *arg, bool *ret_damaged, struct err *e)
{
	const uint64_t limit = (uint64_t)INT64_MAX / thinmeta_block_bytes(u->meta);
	struct thinmeta_devices *devices = NULL;
	struct thinmeta_device d;
	int r = thinmeta_devices_open(u->meta, &devices, e);

	while (r == 0 && thinmeta_devices_next(devices, &d)) {
		struct sum s = {0};

		if (d.damage.reason != THINMETA_SOUND)
			*ret_damaged |= !d.is_details;
		if (d.damage.reason != THINMETA_SOUND || d.mappings != THINMETA_PRESENT)
			continue;
		visit(u, d.root, 0, 0, limit, &s);
		*ret_damaged |= s.is_damaged;
		if (u->is_counting)
			r = fn(arg, &(struct thinmeta_usage){.id = d.id,
					    .is_damaged = s.is_damaged,
					    .mapped = s.mapped,
					    .exclusive = s.exclusive});
	}
	thinmeta_devices_close(devices);
	return r;
}

int thinmeta_usage(struct thinmeta *m, size_t max_bytes,
	int (*fn)(void *arg, const struct thinmeta_usage *u), void *arg, bool *ret_damaged,
	struct err *e)
{
	struct usage u = {.meta = m, .data_blocks = m->sb.data_blocks};
	const uint64_t refs = u.data_blocks / 4 + 1, memos = m->blocks * sizeof(struct memo);

	*ret_damaged = false;
	if (refs > max_bytes || memos > max_bytes - refs)
		return err_set(e, ERR_POOL, -EFBIG,
			"metadata '%s': counting shared blocks needs %" PRIu64
			" bytes, %zu are allowed",
			m->name, refs + memos, max_bytes);
	AUTO_FREE uint8_t *ref_memory = calloc(refs, 1);
	AUTO_FREE struct memo *memo_memory = calloc(m->blocks, sizeof(struct memo));
	AUTO_FREE uint8_t *buffer =
		aligned_alloc(THINMETA_BLOCK, (THINBTREE_DEPTH + 1) * (size_t)THINMETA_BLOCK);
	if (!ref_memory || !memo_memory || !buffer)
		return err_sys(e, ERR_FATAL, -ENOMEM, "metadata '%s'", m->name);
	u.refs = ref_memory;
	u.memos = memo_memory;
	u.buffer = buffer;
	int r = each_device(&u, fn, arg, ret_damaged, e);
	u.is_counting = true;
	return r ? r : each_device(&u, fn, arg, ret_damaged, e);
}
