/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damaged and hostile dm-thin metadata, made from one sound image by a seeded generator.  Where
 * checksums give the damage away, every mapping must be delivered as it was or lie in a range
 * that is reported as lost; where they were made to match, all devices that do not use the
 * changed blocks must be delivered whole.  Nothing may take long.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "thin_image.h"
#include "thinmeta.h"

#define SEED 31337u
#define DEVICES 30u
#define BLOCKS 4096u
#define DATA_BLOCKS 20000u
#define MAPPINGS 400u
#define NODE 12u

/* Shadow memory and quarantine of a sanitizer are not ours. */
#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_MAX_KIB (1024 * 1024)
#elif defined(__clang__)
#if __has_feature(address_sanitizer)
#define MEMORY_MAX_KIB (1024 * 1024)
#endif
#endif
#ifndef MEMORY_MAX_KIB
#define MEMORY_MAX_KIB (128 * 1024)
#endif

enum owner { OWNER_UPPER = DEVICES, OWNER_DETAILS, OWNERS };

static struct {
	struct image sound, work;
	struct mappings maps[DEVICES];
	uint8_t uses[OWNERS][BLOCKS]; /* does this tree use the block? */
	uint64_t used[BLOCKS];        /* blocks of any tree */
	size_t used_count;
	uint64_t touched[4]; /* what the case has changed */
	size_t touched_count;
	struct random random;
} w;

static struct {
	size_t cases, refused, damages, whole_devices, lost_mappings;
	uint64_t worst_ns;
} sum;

/* Of the processor: a busy machine is not the reader's fault. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void collect(uint64_t block, uint8_t *uses)
{
	const uint8_t *b = image_block(&w.sound, block);
	const uint32_t count = (uint32_t)get_le(b + 16, 4), max = (uint32_t)get_le(b + 20, 4);

	uses[block] = 1;
	for (uint32_t i = 0; get_le(b + 4, 4) == 1 && i < count; i++)
		collect(get_le(b + NODE_HEADER + 8 * (size_t)(max + i), 8), uses);
}

static int make_world(void **state)
{
	char dir[] = "/tmp/thinark-test-XXXXXX", command[64];
	uint64_t roots[DEVICES], mapped[DEVICES];

	(void)state;
	w.random.state = SEED;
	if (!mkdtemp(dir))
		return -1;
	image_frame(&w.sound, dir, BLOCKS, DATA_BLOCKS, 128);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	shell(command);
	/* The upper trees lie in front, so that truncation takes devices away one by one. */
	const uint64_t front = w.sound.next;
	w.sound.next += 64;
	for (size_t i = 0; i < DEVICES; i++) {
		struct mappings *m = &w.maps[i];

		mappings_new(m, MAPPINGS);
		mappings_fill(m, &w.random, MAPPINGS, 5, DATA_BLOCKS);
		mapped[i] = MAPPINGS;
		if (i % 3 != 2) {
			roots[i] = image_tree(&w.sound, m->keys, m->values, MAPPINGS, 8, NODE);
			continue;
		}
		/* A snapshot of the one before, with some blocks of its own. */
		memcpy(m->keys, w.maps[i - 1].keys, 8 * MAPPINGS);
		memcpy(m->values, w.maps[i - 1].values, 8 * MAPPINGS);
		roots[i] = roots[i - 1];
		for (size_t n = i % 5; n--;) {
			size_t k = random_below(&w.random, MAPPINGS);

			put_mapping(m->values + 8 * k, random_below(&w.random, DATA_BLOCKS), 90);
			roots[i] = image_cow(&w.sound, roots[i], m->keys[k], m->values + 8 * k, 8);
		}
	}
	const uint64_t end = w.sound.next;
	w.sound.next = front;
	image_devices(&w.sound, roots, mapped, DEVICES, 6, 6);
	if (w.sound.next > front + 64)
		return -1;
	w.sound.next = end;
	for (size_t i = 0; i < DEVICES; i++)
		collect(roots[i], w.uses[i]);
	collect(get_le(image_block(&w.sound, 0) + 320, 8), w.uses[OWNER_UPPER]);
	collect(get_le(image_block(&w.sound, 0) + 328, 8), w.uses[OWNER_DETAILS]);
	for (uint64_t b = 0; b < BLOCKS; b++)
		for (size_t i = 0; i < OWNERS; i++)
			if (w.uses[i][b]) {
				w.used[w.used_count++] = b;
				break;
			}
	w.work = w.sound;
	w.work.data = malloc(BLOCKS * (size_t)THINMETA_BLOCK);
	if (!w.work.data)
		return -1;
	memcpy(w.work.data, w.sound.data, BLOCKS * (size_t)THINMETA_BLOCK);
	return 0;
}

static int free_world(void **state)
{
	(void)state;
	for (size_t i = 0; i < DEVICES; i++)
		mappings_free(&w.maps[i]);
	free(w.sound.data);
	free(w.work.data);
	return 0;
}

static void touch(uint64_t block)
{
	w.touched[w.touched_count++] = block;
}

static void restore(void)
{
	while (w.touched_count) {
		uint64_t b = w.touched[--w.touched_count];

		memcpy(image_block(&w.work, b), image_block(&w.sound, b), THINMETA_BLOCK);
	}
}

static bool is_touched(size_t owner)
{
	for (size_t i = 0; i < w.touched_count; i++)
		if (w.touched[i] == 0 || w.uses[owner][w.touched[i]])
			return true;
	return false;
}

static void note(const struct thinmeta *t, const struct thinmeta_damage *d)
{
	char text[512];

	assert_true(d->begin < d->end);
	assert_true(thinmeta_damage_text(t, d, text, sizeof(text)) > 40);
	assert_non_null(strstr(text, "'image': block "));
	sum.damages++;
}

/* Everything is as it was or reported as lost, in order. */
static void check_exactly(struct thinmeta *t, const struct thinmeta_device *d, bool may_lose)
{
	const struct mappings *m = &w.maps[(d->id - 1) / 3];
	struct thinmeta_runs *runs = NULL;
	struct thinmeta_run r;
	struct err e = {0};
	size_t k = 0;

	assert_int_equal(thinmeta_runs_open(t, d, &runs, &e), 0);
	while (thinmeta_runs_next(runs, &r)) {
		if (r.damage.reason != THINMETA_SOUND) {
			note(t, &r.damage);
			assert_true(may_lose);
			assert_true(k == m->count || m->keys[k] >= r.virtual_begin);
			for (; k < m->count && m->keys[k] < r.damage.end; k++)
				sum.lost_mappings++;
			continue;
		}
		for (uint64_t i = 0; i < r.length; i++, k++) {
			assert_true(k < m->count);
			assert_int_equal(m->keys[k], r.virtual_begin + i);
			assert_int_equal(
				get_le(m->values + 8 * k, 8), (r.data_begin + i) << 24 | r.time);
		}
	}
	assert_int_equal(k, m->count);
	thinmeta_runs_close(runs);
	sum.whole_devices += !may_lose;
}

/* The content may be wrong; order and bounds must not. */
static void check_bounds(struct thinmeta *t, const struct thinmeta_device *d)
{
	struct thinmeta_runs *runs = NULL;
	struct thinmeta_run r;
	struct err e = {0};
	uint64_t at = 0;

	assert_int_equal(thinmeta_runs_open(t, d, &runs, &e), 0);
	while (thinmeta_runs_next(runs, &r)) {
		assert_true(r.virtual_begin >= at && r.length > 0);
		at = r.virtual_begin + r.length;
		if (r.damage.reason != THINMETA_SOUND)
			note(t, &r.damage);
		else
			assert_true(r.data_begin + r.length <= thinmeta_superblock(t)->data_blocks);
	}
	thinmeta_runs_close(runs);
}

static int count_usage(void *arg, const struct thinmeta_usage *u)
{
	(void)arg;
	assert_true(u->exclusive <= u->mapped);
	return 0;
}

/* with_truth: checksums tell all that was changed, so nothing false may come out. */
static void check_image(struct thinmeta *t, bool with_truth)
{
	struct thinmeta_devices *devices = NULL;
	struct thinmeta_device d;
	struct err e = {0};
	bool is_damaged;
	uint32_t next = 0; /* index of the device expected */
	int64_t last = -1;
	const bool is_upper = is_touched(OWNER_UPPER);

	assert_int_equal(thinmeta_devices_open(t, &devices, &e), 0);
	while (thinmeta_devices_next(devices, &d)) {
		if (d.damage.reason != THINMETA_SOUND) {
			note(t, &d.damage);
			assert_true(is_touched(d.is_details ? OWNER_DETAILS : OWNER_UPPER));
			continue;
		}
		assert_true((int64_t)d.id > last && d.id <= THINMETA_ID_MAX);
		last = d.id;
		const uint32_t i = (d.id - 1) / 3;
		if (with_truth || !is_upper) {
			/* One of both trees has each device, even if the other one lost it. */
			if (d.mappings == THINMETA_PRESENT) {
				assert_true(i < DEVICES && i >= next && d.id % 3 == 1);
				if (!is_upper)
					assert_int_equal(i, next);
				next = i + 1;
				if (with_truth || !is_touched(i))
					check_exactly(t, &d, is_touched(i));
				else
					check_bounds(t, &d);
			} else if (with_truth) {
				assert_int_equal(d.mappings, THINMETA_LOST);
			}
		} else if (d.mappings == THINMETA_PRESENT) {
			check_bounds(t, &d);
		}
	}
	if (!is_upper)
		assert_int_equal(next, DEVICES);
	thinmeta_devices_close(devices);
	int r = thinmeta_usage(t, 1 << 26, count_usage, NULL, &is_damaged, &e);
	assert_true(r == 0 || r == -EFBIG);
}

/* Reads the first len bytes; may_refuse: the superblock may be what is damaged. */
static void run_case(size_t len, bool with_truth, bool may_refuse)
{
	struct thinmeta *t = NULL;
	struct err e = {0};
	const uint64_t start = cpu_ns();
	const size_t damages = sum.damages;
	bool is_cut = len < BLOCKS * (size_t)THINMETA_BLOCK;
	/* Exactly as long, so that a sanitizer sees whoever reads on. */
	uint8_t *image = is_cut ? malloc(len + 1) : w.work.data;

	assert_non_null(image);
	if (is_cut)
		memcpy(image, w.work.data, len);
	int r = thinmeta_open_image(image, len, "image", THINMETA_MAIN, &t, &e);
	if (r == 0) {
		check_image(t, with_truth);
		thinmeta_close(t);
	} else {
		assert_true(may_refuse);
		assert_non_null(strstr(e.text, "metadata 'image': superblock: "));
		sum.refused++;
	}
	/* Damage that a checksum gives away is never passed over. */
	if (with_truth && w.touched_count && w.touched[0] != 0)
		assert_true(sum.damages > damages);
	if (is_cut)
		free(image);
	const uint64_t ns = cpu_ns() - start;
	sum.worst_ns = ns > sum.worst_ns ? ns : sum.worst_ns;
	sum.cases++;
	restore();
}

static uint64_t any_node(void)
{
	return w.used[random_below(&w.random, w.used_count)];
}

static uint64_t any_node_of(uint32_t flags)
{
	for (;;) {
		uint64_t b = any_node();

		if (get_le(image_block(&w.sound, b) + 4, 4) == flags)
			return b;
	}
}

static void flip(uint64_t block, size_t from, size_t to)
{
	size_t bit = 8 * from + random_below(&w.random, 8 * (to - from));

	image_block(&w.work, block)[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static const size_t whole = BLOCKS * (size_t)THINMETA_BLOCK;

static void flipped_bits_are_seen(void **state)
{
	const size_t before = sum.cases;

	(void)state;
	for (int i = 0; i < 400; i++) {
		touch(any_node());
		flip(w.touched[0], 0, THINMETA_BLOCK);
		run_case(whole, true, false);
	}
	for (int i = 0; i < 40; i++) {
		touch(0);
		flip(0, 0, THINMETA_BLOCK);
		run_case(whole, true, true);
	}
	/* Torn and misdirected writes: one half is rubbish, or all of it is another block. */
	for (uint32_t i = 0; i < 60; i++) {
		touch(any_node());
		memset(image_block(&w.work, w.touched[0]) + THINMETA_BLOCK / 2 * (i % 2),
			i % 3 ? 0xFF : (int)random_below(&w.random, 256), THINMETA_BLOCK / 2);
		run_case(whole, true, false);
	}
	for (int i = 0; i < 60; i++) {
		uint64_t from = any_node();

		touch(any_node());
		if (from == w.touched[0])
			from = 0;
		memcpy(image_block(&w.work, w.touched[0]), image_block(&w.sound, from),
			THINMETA_BLOCK);
		run_case(whole, true, false);
	}
	print_message("%zu cases\n", sum.cases - before);
	assert_int_equal(sum.cases - before, 560);
}

/* A field of a random node is changed, and the checksum made to match. */
static void forge(uint64_t block, size_t at, unsigned bytes, uint64_t value)
{
	touch(block);
	put_le(image_block(&w.work, block) + at, bytes, value);
	image_seal(&w.work, block, NODE_SALT);
}

static uint64_t odd_number(void)
{
	static const uint64_t odd[] = {0, 1, 2, 3, 126, 252, 253, 254, 255, 4095, 4096, 0x7FFFFFFF,
		0x80000000, 0xFFFFFFFF, UINT64_MAX, UINT64_MAX >> 1, 1ull << 40, BLOCKS - 1,
		BLOCKS};

	return odd[random_below(&w.random, sizeof(odd) / sizeof(odd[0]))];
}

static void forged_nodes_are_bounded(void **state)
{
	static const struct {
		size_t at;
		unsigned bytes;
	} fields[] = {{4, 4}, {8, 8}, {16, 4}, {20, 4}, {24, 4}};
	const size_t before = sum.cases;

	(void)state;
	for (int i = 0; i < 300; i++) {
		touch(any_node());
		flip(w.touched[0], 4, NODE_HEADER + 32 * NODE);
		image_seal(&w.work, w.touched[0], NODE_SALT);
		run_case(whole, false, false);
	}
	for (size_t i = 0; i < 200; i++) {
		forge(any_node(), fields[i % 5].at, fields[i % 5].bytes, odd_number());
		run_case(whole, false, false);
	}
	/* Keys and values; in the upper trees these are ids and roots. */
	for (size_t i = 0; i < 300; i++) {
		size_t slot = random_below(&w.random, 2 * NODE);

		forge(i % 3 ? any_node() : any_node_of(1), NODE_HEADER + 8 * slot, 8, odd_number());
		run_case(whole, false, false);
	}
	print_message("%zu cases\n", sum.cases - before);
	assert_int_equal(sum.cases - before, 800);
}

/* Pointers to ancestors, to the node itself, and to any other node. */
static void cycles_end(void **state)
{
	const size_t before = sum.cases;

	(void)state;
	for (uint32_t i = 0; i < 150; i++) {
		uint64_t block = any_node_of(1), to = i % 3 == 0 ? block : any_node_of(1 + i % 2);
		const uint8_t *b = image_block(&w.sound, block);
		size_t count = get_le(b + 16, 4), max = get_le(b + 20, 4);

		/* With one entry the child's range is the node's own: nothing else stops it. */
		if (i % 2) {
			put_le(image_block(&w.work, block) + 16, 4, 1);
			count = 1;
		}
		forge(block, NODE_HEADER + 8 * (max + random_below(&w.random, count)), 8, to);
		run_case(whole, false, false);
	}
	/* Two nodes of one entry that name each other. */
	for (int i = 0; i < 20; i++) {
		uint64_t a = any_node_of(1), b = any_node_of(1);
		const size_t max = NODE;

		if (a == b || get_le(image_block(&w.sound, a) + 20, 4) != max ||
			get_le(image_block(&w.sound, b) + 20, 4) != max)
			continue;
		memcpy(image_block(&w.work, b) + NODE_HEADER, image_block(&w.work, a) + NODE_HEADER,
			8);
		put_le(image_block(&w.work, a) + 16, 4, 1);
		put_le(image_block(&w.work, b) + 16, 4, 1);
		forge(a, NODE_HEADER + 8 * max, 8, b);
		forge(b, NODE_HEADER + 8 * max, 8, a);
		run_case(whole, false, false);
	}
	print_message("%zu cases\n", sum.cases - before);
	assert_true(sum.cases - before > 155);
}

static void forged_superblocks_are_bounded(void **state)
{
	static const struct {
		size_t at;
		unsigned bytes;
	} fields[] = {{320, 8}, {328, 8}, {64, 8}, {192, 8}, {336, 4}, {56, 8}, {40, 4}, {360, 4}};
	const size_t before = sum.cases;

	(void)state;
	for (size_t i = 0; i < 160; i++) {
		touch(0);
		put_le(image_block(&w.work, 0) + fields[i % 8].at, fields[i % 8].bytes,
			i < 80 ? odd_number() : any_node());
		image_seal(&w.work, 0, SUPERBLOCK_SALT);
		run_case(whole, false, true);
	}
	print_message("%zu cases\n", sum.cases - before);
	assert_int_equal(sum.cases - before, 160);
}

static void truncated_images_give_what_is_left(void **state)
{
	const size_t before = sum.cases, devices = sum.whole_devices;

	(void)state;
	for (int i = 0; i < 120; i++) {
		size_t len = random_below(&w.random, w.sound.next * THINMETA_BLOCK);
		struct thinmeta *t = NULL;
		struct err e = {0};

		/* All that lies behind counts as changed. */
		uint8_t saved[OWNERS];
		for (size_t k = 0; k < OWNERS; k++) {
			saved[k] = w.uses[k][BLOCKS - 1];
			for (uint64_t b = len / THINMETA_BLOCK; b < BLOCKS; b++)
				w.uses[k][BLOCKS - 1] |= w.uses[k][b];
		}
		if (i < 8)
			len = (size_t)i * 512;
		if (len >= THINMETA_BLOCK) {
			w.touched[w.touched_count++] = BLOCKS - 1;
			run_case(len, true, false);
		} else {
			assert_true(thinmeta_open_image(
					    w.work.data, len, "image", THINMETA_MAIN, &t, &e) < 0);
			assert_non_null(strstr(
				e.text, "metadata 'image': superblock: block 0 (byte 0): read"));
			sum.cases++;
			sum.refused++;
		}
		for (size_t k = 0; k < OWNERS; k++)
			w.uses[k][BLOCKS - 1] = saved[k];
	}
	print_message(
		"%zu cases, %zu devices whole\n", sum.cases - before, sum.whole_devices - devices);
	assert_int_equal(sum.cases - before, 120);
}

/* As many pointers as fit: to a bad block, and to a good one at the wrong place. */
static void many_pointers_to_one_block_are_quick(void **state)
{
	(void)state;
	for (unsigned is_good = 0; is_good < 2; is_good++) {
		struct image m = w.sound;
		struct thinmeta *t = NULL;
		struct thinmeta_device d;
		struct thinmeta_runs *runs = NULL;
		struct thinmeta_run r;
		struct err e = {0};
		uint64_t root, mapped = 0;
		size_t pointers;
		bool is_damaged;

		m.data = malloc(whole);
		assert_non_null(m.data);
		memcpy(m.data, w.sound.data, whole);
		root = image_fan(&m, is_good ? w.used[0] : BLOCKS - 2, &pointers);
		image_devices(&m, &root, &mapped, 1, 126, 252);
		const uint64_t start = cpu_ns();
		assert_int_equal(
			thinmeta_open_image(m.data, whole, "image", THINMETA_MAIN, &t, &e), 0);
		assert_int_equal(thinmeta_device_find(t, 1, &d, &e), 0);
		assert_int_equal(thinmeta_runs_open(t, &d, &runs, &e), 0);
		while (thinmeta_runs_next(runs, &r))
			assert_true(r.length > 0);
		assert_int_equal(thinmeta_usage(t, 1 << 26, count_usage, NULL, &is_damaged, &e), 0);
		assert_true(is_damaged);
		thinmeta_runs_close(runs);
		thinmeta_close(t);
		free(m.data);
		const uint64_t ms = (cpu_ns() - start) / 1000000;
		print_message("%zu pointers to a %s block: %" PRIu64 " ms\n", pointers,
			is_good ? "misplaced" : "bad", ms);
		assert_true(pointers > 500000);
		assert_true(ms < 2000);
	}
}

static void all_of_it_was_bounded(void **state)
{
	char line[128];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "VmHWM: %ld", &kib);
	(void)fclose(f);
	print_message(
		"%zu cases, %zu refused, %zu damages reported, %zu mappings lost; %zu devices "
		"whole; worst case %" PRIu64 " ms, %ld MiB at most with three images\n",
		sum.cases, sum.refused, sum.damages, sum.lost_mappings, sum.whole_devices,
		sum.worst_ns / 1000000, kib / 1024);
	assert_true(sum.cases >= 1700);
	assert_true(sum.damages >= 2000);
	assert_true(sum.whole_devices >= 20000);
	assert_true(sum.worst_ns < 2000000000u);
	assert_true(kib < MEMORY_MAX_KIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flipped_bits_are_seen),
		cmocka_unit_test(forged_nodes_are_bounded),
		cmocka_unit_test(cycles_end),
		cmocka_unit_test(forged_superblocks_are_bounded),
		cmocka_unit_test(truncated_images_give_what_is_left),
		cmocka_unit_test(many_pointers_to_one_block_are_quick),
		cmocka_unit_test(all_of_it_was_bounded),
	};

	return cmocka_run_group_tests(tests, make_world, free_world);
}
