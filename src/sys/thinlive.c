/* SPDX-License-Identifier: Apache-2.0 */
/* Details of one device, and what all map, in the metadata of an active pool; see thinmeta.h. */
#include <errno.h>
#include <inttypes.h>

#include "clock.h"
#include "scope.h"
#include "stop.h"
#include "thinbtree.h"

#define TRIES 50u
#define PAUSE_MS 20u
/* Of whole trees.  What takes longer than that will hardly ever find the pool unchanged. */
#define READINGS 3u
#define READING_NS 1000000000ull

static int damaged(const struct thinmeta *m, const struct thinmeta_damage *d, struct err *e)
{
	char text[300];

	(void)thinmeta_damage_text(m, d, text, sizeof(text));
	return err_set(e, ERR_POOL, -EUCLEAN, "metadata %s", text);
}

static int find(struct thinmeta *m, uint32_t id, struct thinmeta_live *ret, struct err *e)
{
	struct thinbtree *t = NULL;
	struct thinbtree_item item;
	int r = thinbtree_open(m, m->sb.details_root, 0, THINMETA_DETAILS_SIZE,
		(uint64_t)THINMETA_ID_MAX + 1, &t, e);

	if (r < 0)
		return r;
	thinbtree_seek(t, id);
	const bool more = thinbtree_next(t, &item);
	if (more && !item.value && item.damage.begin <= id) {
		r = damaged(m, &item.damage, e);
	} else if (!more || !item.value || item.key != id) {
		r = err_set(e, ERR_POOL, -ENODATA,
			"metadata '%s': there is no thin device %" PRIu32, m->name, id);
	} else {
		ret->mapped_blocks = thinbtree_le64(item.value);
		ret->transaction = thinbtree_le64(item.value + 8);
		ret->creation_time = thinbtree_le32(item.value + 16);
		ret->snapshotted_time = thinbtree_le32(item.value + 20);
	}
	thinbtree_close(t);
	return r;
}

/*
 * Two commits can bring the roots back to the blocks that they were in; but not also all counters
 * of the space maps, and over those goes the checksum.
 */
static bool is_same(const struct thinmeta_superblock *a, const struct thinmeta_superblock *b)
{
	return a->checksum == b->checksum && a->details_root == b->details_root &&
	       a->mapping_root == b->mapping_root && a->time == b->time &&
	       a->transaction == b->transaction;
}

/* -EAGAIN: the pool committed meanwhile. */
static int find_once(const char *path, uint32_t id, struct thinmeta_live *ret, struct err *e)
{
	struct thinmeta_superblock after;
	struct thinmeta *m = NULL;
	int r = thinmeta_open(path, THINMETA_LIVE, &m, e);

	if (r < 0)
		return r;
	ret->sb = m->sb;
	r = find(m, id, ret, e);
	thinmeta_close(m);
	struct err mine = {0};
	int again = thinmeta_superblock_read(path, &after, &mine);
	if (again < 0) {
		*e = mine;
		return again;
	}
	return is_same(&ret->sb, &after) ? r : -EAGAIN;
}

int thinmeta_live_find(const char *path, uint32_t id, struct thinmeta_live *ret, struct err *e)
{
	struct err mine = {0};
	int r = -EAGAIN;

	for (unsigned i = 0; i < TRIES; i++) {
		if (i)
			clock_sleep_ms(PAUSE_MS);
		*ret = (struct thinmeta_live){0};
		r = find_once(path, id, ret, &mine);
		/* A superblock that is just being written may have the wrong checksum. */
		if (r != -EAGAIN && r != -EBADMSG)
			break;
	}
	if (r == -EAGAIN)
		return err_set(e, ERR_POOL, r, "metadata '%s' keeps changing", path);
	if (r < 0 && e)
		*e = mine;
	return r;
}

struct collector {
	struct thinmeta_usages *to;
	size_t cap;
};

static int collect(void *arg, const struct thinmeta_usage *u)
{
	struct collector *c = arg;
	struct thinmeta_usages *to = c->to;

	if (to->count == c->cap) {
		const size_t cap = c->cap ? 2 * c->cap : 64;
		void *more = reallocarray(to->items, cap, sizeof(*to->items));

		if (!more)
			return -ENOMEM;
		to->items = more;
		c->cap = cap;
	}
	to->items[to->count++] = *u;
	return stop_asked() ? -ECANCELED : 0;
}

static int read_usages(const char *path, uint64_t root, size_t max_bytes,
	struct thinmeta_usages *ret, struct err *e)
{
	struct thinmeta_superblock after;
	struct collector c = {.to = ret};
	struct thinmeta *m = NULL;
	int r = thinmeta_open(path, root, &m, e);

	if (r < 0)
		return r;
	const struct thinmeta_superblock before = m->sb;
	ret->block_bytes = thinmeta_block_bytes(m);
	r = thinmeta_usage(m, max_bytes, collect, &c, &ret->is_damaged, e);
	thinmeta_close(m);
	if (r == -ENOMEM)
		(void)err_sys(e, ERR_FATAL, r, "metadata '%s'", path);
	if (r == -ECANCELED)
		return stop_check(e);
	if (root != THINMETA_LIVE)
		return r;
	struct err mine = {0};
	int again = thinmeta_superblock_read(path, &after, &mine);
	if (again < 0) {
		*e = mine;
		return again;
	}
	return is_same(&before, &after) ? r : -EAGAIN;
}

int thinmeta_usages_read(const char *path, uint64_t root, size_t max_bytes,
	struct thinmeta_usages *ret, struct err *e)
{
	const bool is_live = root == THINMETA_MAIN;
	uint64_t took = 0;
	int r = -EAGAIN;

	for (unsigned i = 0; i < (is_live ? READINGS : 1) && took < READING_NS; i++) {
		const uint64_t begin = clock_ns();

		*ret = (struct thinmeta_usages){0};
		r = read_usages(path, is_live ? THINMETA_LIVE : root, max_bytes, ret, e);
		if (r == 0)
			return 0;
		thinmeta_usages_done(ret);
		/* A superblock that is just being written may have the wrong checksum. */
		if (r != -EAGAIN && r != -EBADMSG)
			return r;
		took = clock_ns() - begin;
	}
	return r == -EAGAIN ? err_set(e, ERR_POOL, r, "metadata '%s' keeps changing", path) : r;
}

static int compare_ids(const void *key, const void *item)
{
	const uint32_t a = *(const uint32_t *)key, b = ((const struct thinmeta_usage *)item)->id;

	return (a > b) - (a < b);
}

const struct thinmeta_usage *thinmeta_usages_find(const struct thinmeta_usages *u, uint32_t id)
{
	return u->count ? bsearch(&id, u->items, u->count, sizeof(*u->items), compare_ids) : NULL;
}

void thinmeta_usages_done(struct thinmeta_usages *u)
{
	free(u->items);
	*u = (struct thinmeta_usages){0};
}
