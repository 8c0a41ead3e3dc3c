/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of dm-thin metadata and what they map; see thinmeta.h. */
#include <errno.h>
#include <inttypes.h>

#include "scope.h"
#include "thinbtree.h"

#define MAPPING_SIZE 8u
#define TIME_BITS 24u

/* One of the two upper trees, and its next item. */
struct side {
	struct thinbtree *tree;
	struct thinbtree_item item;
	bool has_item;
	uint64_t lost_end; /* keys before this one are lost, from the last damage on */
};

struct thinmeta_devices {
	struct side details, mappings;
};

int thinmeta_devices_open(struct thinmeta *m, struct thinmeta_devices **ret, struct err *e)
{
	struct thinmeta_devices *d = calloc(1, sizeof(*d));
	const uint64_t limit = (uint64_t)THINMETA_ID_MAX + 1;

	if (!d)
		return err_sys(e, ERR_FATAL, -ENOMEM, "metadata '%s'", m->name);
	int r = thinbtree_open(m, m->sb.details_root, m->root_block, THINMETA_DETAILS_SIZE, limit,
		&d->details.tree, e);
	if (r == 0)
		r = thinbtree_open(m, m->sb.mapping_root, m->root_block, MAPPING_SIZE, limit,
			&d->mappings.tree, e);
	if (r < 0) {
		thinmeta_devices_close(d);
		return r;
	}
	*ret = d;
	return 0;
}

void thinmeta_devices_close(struct thinmeta_devices *d)
{
	if (!d)
		return;
	thinbtree_close(d->details.tree);
	thinbtree_close(d->mappings.tree);
	free(d);
}

static uint64_t side_peek(struct side *s)
{
	if (!s->has_item)
		s->has_item = thinbtree_next(s->tree, &s->item);
	if (!s->has_item)
		return UINT64_MAX;
	return s->item.value ? s->item.key : s->item.damage.begin;
}

static bool side_take_damage(struct side *s, uint64_t at, struct thinmeta_damage *ret)
{
	if (!s->has_item || s->item.value || s->item.damage.begin != at)
		return false;
	*ret = s->item.damage;
	s->lost_end = s->item.damage.end;
	s->has_item = false;
	return true;
}

static enum thinmeta_part side_take(struct side *s, uint64_t id, const uint8_t **ret)
{
	if (s->has_item && s->item.value && s->item.key == id) {
		*ret = s->item.value;
		s->has_item = false;
		return THINMETA_PRESENT;
	}
	return id < s->lost_end ? THINMETA_LOST : THINMETA_MISSING;
}

bool thinmeta_devices_next(struct thinmeta_devices *d, struct thinmeta_device *ret)
{
	const uint64_t a = side_peek(&d->details), b = side_peek(&d->mappings);
	const uint64_t at = a < b ? a : b;
	const uint8_t *v = NULL, *root = NULL;

	if (at == UINT64_MAX)
		return false;
	*ret = (struct thinmeta_device){0};
	ret->is_details = side_take_damage(&d->details, at, &ret->damage);
	if (ret->is_details || side_take_damage(&d->mappings, at, &ret->damage))
		return true;
	ret->id = (uint32_t)at;
	ret->details = side_take(&d->details, at, &v);
	if (v) {
		ret->mapped_blocks = thinbtree_le64(v);
		ret->transaction = thinbtree_le64(v + 8);
		ret->creation_time = thinbtree_le32(v + 16);
		ret->snapshotted_time = thinbtree_le32(v + 20);
	}
	ret->parent = d->mappings.item.leaf;
	ret->mappings = side_take(&d->mappings, at, &root);
	if (root)
		ret->root = thinbtree_le64(root);
	return true;
}

static int find(struct thinmeta *m, struct thinmeta_devices *d, uint32_t id,
	struct thinmeta_device *ret, struct err *e)
{
	struct thinmeta_damage lost = {0};
	char text[512];

	thinbtree_seek(d->details.tree, id);
	thinbtree_seek(d->mappings.tree, id);
	for (bool more = true; more;) {
		more = thinmeta_devices_next(d, ret);
		if (more && ret->damage.reason != THINMETA_SOUND) {
			if (!ret->is_details && ret->damage.begin <= id)
				lost = ret->damage;
			continue;
		}
		if (more && ret->id == id && ret->mappings == THINMETA_PRESENT)
			return 0;
		if (more && ret->id == id && ret->mappings == THINMETA_MISSING)
			return err_set(e, ERR_POOL, -EUCLEAN,
				"metadata '%s': thin device %" PRIu32 " has no mappings", m->name,
				id);
		more = false;
	}
	if (lost.reason == THINMETA_SOUND)
		return err_set(e, ERR_POOL, -ENOENT,
			"metadata '%s': there is no thin device %" PRIu32, m->name, id);
	(void)thinmeta_damage_text(m, &lost, text, sizeof(text));
	return err_set(e, ERR_POOL, -EUCLEAN, "thin device %" PRIu32 ": metadata %s", id, text);
}

int thinmeta_device_find(
	struct thinmeta *m, uint32_t id, struct thinmeta_device *ret, struct err *e)
{
	struct thinmeta_devices *d = NULL;
	int r = thinmeta_devices_open(m, &d, e);

	if (r < 0)
		return r;
	r = find(m, d, id, ret, e);
	thinmeta_devices_close(d);
	return r;
}

struct thinmeta_runs {
	struct thinbtree *tree;
	uint64_t begin, end;  /* virtual blocks that are wanted */
	uint64_t data_blocks; /* of the pool, as far as a file offset can express them */
	bool is_done, has_pending;
	struct thinmeta_run pending; /* read, but no part of the run before */
};

int thinmeta_runs_open(struct thinmeta *m, const struct thinmeta_device *d,
	struct thinmeta_runs **ret, struct err *e)
{
	const uint64_t limit = (uint64_t)INT64_MAX / thinmeta_block_bytes(m);
	struct thinmeta_runs *r = calloc(1, sizeof(*r));

	if (!r)
		return err_sys(e, ERR_FATAL, -ENOMEM, "metadata '%s'", m->name);
	r->end = limit;
	r->data_blocks = m->sb.data_blocks < limit ? m->sb.data_blocks : limit;
	int rc = thinbtree_open(m, d->root, d->parent, MAPPING_SIZE, limit, &r->tree, e);
	if (rc < 0) {
		free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

void thinmeta_runs_close(struct thinmeta_runs *r)
{
	if (r)
		thinbtree_close(r->tree);
	free(r);
}

void thinmeta_runs_seek(struct thinmeta_runs *r, uint64_t begin, uint64_t end)
{
	thinbtree_seek(r->tree, begin);
	r->begin = begin;
	r->end = end;
	r->is_done = r->has_pending = false;
}

/* The next mapping or damage, cut to what is wanted. */
static bool fetch(struct thinmeta_runs *r, struct thinmeta_run *ret)
{
	struct thinbtree_item item;

	if (r->is_done || !thinbtree_next(r->tree, &item)) {
		r->is_done = true;
		return false;
	}
	*ret = (struct thinmeta_run){.damage = item.damage, .virtual_begin = item.key, .length = 1};
	if (item.value) {
		const uint64_t v = thinbtree_le64(item.value);

		ret->data_begin = v >> TIME_BITS;
		ret->time = (uint32_t)(v & ((1u << TIME_BITS) - 1));
		if (ret->data_begin >= r->data_blocks)
			ret->damage = (struct thinmeta_damage){.reason = THINMETA_VALUE,
				.block = item.leaf,
				.parent = item.leaf,
				.begin = item.key,
				.end = item.key + 1};
	}
	struct thinmeta_damage *d = &ret->damage;
	if (d->reason != THINMETA_SOUND) {
		d->begin = d->begin < r->begin ? r->begin : d->begin;
		d->end = d->end > r->end ? r->end : d->end;
		ret->virtual_begin = d->begin;
		ret->length = d->end - d->begin;
		ret->data_begin = ret->time = 0;
	}
	if (ret->virtual_begin >= r->end)
		r->is_done = true;
	return !r->is_done;
}

/* Makes b a part of a if it goes on where a ends. */
static bool join(struct thinmeta_run *a, const struct thinmeta_run *b)
{
	if (a->virtual_begin + a->length != b->virtual_begin ||
		a->damage.reason != b->damage.reason)
		return false;
	if (a->damage.reason == THINMETA_SOUND) {
		if (a->data_begin + a->length != b->data_begin || a->time != b->time)
			return false;
	} else {
		if (a->damage.block != b->damage.block || a->damage.parent != b->damage.parent)
			return false;
		a->damage.end = b->damage.end;
	}
	a->length += b->length;
	return true;
}

bool thinmeta_runs_next(struct thinmeta_runs *r, struct thinmeta_run *ret)
{
	if (r->has_pending)
		*ret = r->pending;
	else if (!fetch(r, ret))
		return false;
	do {
		r->has_pending = fetch(r, &r->pending);
	} while (r->has_pending && join(ret, &r->pending));
	return true;
}
