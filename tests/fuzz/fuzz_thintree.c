/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole metadata images with checksums that match, so that what lies behind them is reached.
 * Each piece of the input describes one block; what the reader delivers in different ways must
 * agree.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "thinmeta.h"

#define PIECE 144u /* 8 bytes of description, the rest keys and values */
#define BLOCKS 10u
#define DATA_BLOCKS 64u
#define ITEMS_MAX 100000u /* 10 nodes of at most 252 entries, in trees that may share them */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_so)
{
	if (!is_so)
		abort();
}

static void put(uint8_t *p, unsigned bytes, uint64_t v)
{
	for (unsigned i = 0; i < bytes; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

static void seal(uint8_t *b, uint32_t salt)
{
	put(b, 4, ~thinmeta_crc32c(b + 4, THINMETA_BLOCK - 4) ^ salt);
}

static void make_superblock(uint8_t *b, const uint8_t *piece)
{
	put(b + 32, 8, 27022010);
	put(b + 40, 4, 2);
	put(b + 56, 8, piece[2]);
	put(b + 64, 8, piece[4] ? DATA_BLOCKS : UINT64_MAX / 512 / 128);
	put(b + 192, 8, BLOCKS + piece[5] / 16);
	put(b + 320, 8, piece[0]);
	put(b + 328, 8, piece[1]);
	put(b + 336, 4, 128);
	seal(b, 160774);
}

/* flags, faults, count, max, value size; all of them small, or counts of 32 bits. */
static void make_node(uint8_t *b, uint64_t block, const uint8_t *piece)
{
	const uint8_t faults = piece[1];

	put(b + 4, 4, piece[0]);
	put(b + 8, 8, faults & 1 ? piece[5] : block);
	put(b + 16, 4, faults & 2 ? (uint32_t)piece[2] << 24 : piece[2]);
	put(b + 20, 4, faults & 4 ? (uint32_t)piece[3] << 24 : piece[3]);
	put(b + 24, 4, faults & 8 ? (uint32_t)piece[4] << 24 : piece[4]);
	memcpy(b + 32, piece + 8, PIECE - 8);
	/* A copy of a superblock is a metadata snapshot. */
	if (faults & 16) {
		make_superblock(b, piece + 8);
		put(b + 8, 8, block);
		seal(b, 160774);
	} else if (!(faults & 32)) {
		seal(b, 121107);
	}
}

struct totals {
	uint64_t mapped;
	bool is_damaged;
};

static uint8_t refs[DATA_BLOCKS]; /* how many mappings of all devices name it, up to 2 */

static struct totals read_runs(struct thinmeta *m, const struct thinmeta_device *d, size_t *items)
{
	struct thinmeta_runs *runs = NULL;
	struct thinmeta_run r;
	struct err e;
	struct totals t = {0};
	uint64_t at = 0;
	/* A part of it must be what the whole has there. */
	const uint64_t from = d->id * 7 % 40, to = from + d->id % 30;
	uint64_t within = 0, again = 0;

	if (thinmeta_runs_open(m, d, &runs, &e) < 0)
		return t;
	while (thinmeta_runs_next(runs, &r)) {
		const uint64_t end = r.virtual_begin + r.length;

		require(++*items < ITEMS_MAX && r.length > 0 && r.virtual_begin >= at &&
			end > r.virtual_begin);
		at = end;
		if (r.virtual_begin < to && end > from)
			within += (end < to ? end : to) -
				  (r.virtual_begin > from ? r.virtual_begin : from);
		if (r.damage.reason != THINMETA_SOUND) {
			char text[300];

			require(thinmeta_damage_text(m, &r.damage, text, sizeof(text)) > 0);
			t.is_damaged = true;
			continue;
		}
		require(r.data_begin + r.length <= thinmeta_superblock(m)->data_blocks);
		t.mapped += r.length;
		for (uint64_t b = r.data_begin; b < r.data_begin + r.length && b < DATA_BLOCKS; b++)
			refs[b] = (uint8_t)(refs[b] + (refs[b] < 2));
	}
	thinmeta_runs_seek(runs, from, to);
	while (thinmeta_runs_next(runs, &r)) {
		require(r.virtual_begin >= from && r.virtual_begin + r.length <= to);
		again += r.length;
	}
	require(again == within);
	thinmeta_runs_close(runs);
	return t;
}

struct check {
	struct thinmeta *meta;
	bool is_damaged;
	uint64_t exclusive;
};

static int check_usage(void *arg, const struct thinmeta_usage *u)
{
	struct check *c = arg;
	struct thinmeta_device d;
	struct err e;
	size_t items = 0;

	require(thinmeta_device_find(c->meta, u->id, &d, &e) == 0);
	struct totals t = read_runs(c->meta, &d, &items);
	require(u->is_damaged || (!t.is_damaged && t.mapped == u->mapped));
	require(u->exclusive <= u->mapped);
	c->exclusive += u->exclusive;
	return 0;
}

static void read_all(const uint8_t *image, uint64_t root)
{
	struct thinmeta *m = NULL;
	struct thinmeta_devices *devices = NULL;
	struct thinmeta_device d;
	struct err e;
	struct check c = {0};
	int64_t last = -1;
	size_t items = 0;
	uint64_t single = 0;
	bool is_damaged = false;

	if (thinmeta_open_image(image, (size_t)BLOCKS * THINMETA_BLOCK, "image", root, &m, &e) < 0)
		return;
	memset(refs, 0, sizeof(refs));
	if (thinmeta_devices_open(m, &devices, &e) == 0)
		while (thinmeta_devices_next(devices, &d)) {
			require(++items < ITEMS_MAX);
			if (d.damage.reason != THINMETA_SOUND)
				continue;
			require((int64_t)d.id > last);
			last = d.id;
			if (d.mappings == THINMETA_PRESENT)
				(void)read_runs(m, &d, &items);
		}
	thinmeta_devices_close(devices);
	for (size_t i = 0; i < DATA_BLOCKS; i++)
		single += refs[i] == 1;
	c.meta = m;
	if (thinmeta_usage(m, 1 << 20, check_usage, &c, &is_damaged, &e) == 0 && !is_damaged)
		require(c.exclusive == single);
	thinmeta_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t image[BLOCKS * THINMETA_BLOCK];

	memset(image, 0, sizeof(image));
	for (size_t i = 0; i < BLOCKS && size >= PIECE; i++, data += PIECE, size -= PIECE) {
		uint8_t *b = image + i * THINMETA_BLOCK;

		if (i == 0)
			make_superblock(b, data);
		else
			make_node(b, i, data);
	}
	read_all(image, THINMETA_MAIN);
	read_all(image, THINMETA_HELD);
	return 0;
}
