/* SPDX-License-Identifier: Apache-2.0 */
/* Each kind of damage to a mapping tree is named for what it is, with its place and its keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "thin_image.h"
#include "thinmeta.h"

#define BLOCKS 256u
#define DATA_BLOCKS 70000u
#define MAX NODE_MAX(8)
#define COUNT (3 * MAX)
#define KEYS 10u /* key of entry i is KEYS * i */

/* One device of three full leaves below one root, and what is found in it. */
static struct {
	struct image image;
	uint64_t root, leaf; /* leaf: the one in the middle */
	size_t len;
} w;

static int make(void **state)
{
	char dir[] = "/tmp/thinark-test-XXXXXX", command[64];
	static uint64_t keys[COUNT];
	static uint8_t values[8 * COUNT];
	const uint64_t mapped = COUNT;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	image_frame(&w.image, dir, BLOCKS, DATA_BLOCKS, 128);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	shell(command);
	/* Values ascend and exceed all keys, as if keys went on in them. */
	for (size_t i = 0; i < COUNT; i++) {
		keys[i] = KEYS * i;
		put_mapping(values + 8 * i, 1 + 2 * i, 1);
	}
	w.root = image_tree(&w.image, keys, values, COUNT, 8, MAX);
	w.leaf = w.root - 2;
	image_devices(&w.image, &w.root, &mapped, 1, 126, 252);
	w.len = BLOCKS * (size_t)THINMETA_BLOCK;
	return 0;
}

static int drop(void **state)
{
	(void)state;
	free(w.image.data);
	return 0;
}

static void put_node(uint64_t block, size_t at, unsigned bytes, uint64_t value)
{
	put_le(image_block(&w.image, block) + at, bytes, value);
	image_seal(&w.image, block, NODE_SALT);
}

static size_t key_at(size_t i)
{
	return NODE_HEADER + 8 * i;
}

static size_t value_at(size_t i)
{
	return NODE_HEADER + 8 * MAX + 8 * i;
}

/* The device has exactly this damage, and all other mappings. */
static void expect(
	enum thinmeta_reason reason, uint64_t block, uint64_t parent, uint64_t begin, uint64_t end)
{
	struct thinmeta *m = NULL;
	struct thinmeta_device d;
	struct thinmeta_runs *runs = NULL;
	struct thinmeta_run r;
	struct err e = {0};
	size_t damages = 0, mapped = 0, lost = 0;
	/* Exactly as long, so that a sanitizer sees whoever reads on. */
	uint8_t *copy = malloc(w.len);

	assert_non_null(copy);
	memcpy(copy, w.image.data, w.len);
	assert_int_equal(thinmeta_open_image(copy, w.len, "image", THINMETA_MAIN, &m, &e), 0);
	assert_int_equal(thinmeta_device_find(m, 1, &d, &e), 0);
	assert_int_equal(thinmeta_runs_open(m, &d, &runs, &e), 0);
	while (thinmeta_runs_next(runs, &r)) {
		mapped += r.damage.reason == THINMETA_SOUND ? r.length : 0;
		if (r.damage.reason == THINMETA_SOUND)
			continue;
		damages++;
		assert_int_equal(r.damage.reason, reason);
		assert_int_equal(r.damage.block, block);
		assert_int_equal(r.damage.parent, parent);
		assert_int_equal(r.damage.begin, begin);
		assert_int_equal(r.damage.end, end);
	}
	assert_int_equal(damages, reason != THINMETA_SOUND);
	for (size_t i = 0; i < COUNT; i++)
		lost += damages && KEYS * i >= begin && KEYS * i < end;
	assert_int_equal(mapped, COUNT - lost);
	thinmeta_runs_close(runs);
	thinmeta_close(m);
	free(copy);
}

static void expect_leaf(enum thinmeta_reason reason)
{
	expect(reason, w.leaf, w.root, (uint64_t)KEYS * MAX, (uint64_t)KEYS * 2 * MAX);
}

static void a_sound_one_has_none(void **state)
{
	(void)state;
	expect(THINMETA_SOUND, 0, 0, 0, 0);
}

static void checksum(void **state)
{
	(void)state;
	image_block(&w.image, w.leaf)[4000] ^= 1;
	expect_leaf(THINMETA_CHECKSUM);
}

static void place(void **state)
{
	(void)state;
	put_node(w.leaf, 8, 8, w.leaf + 1);
	expect_leaf(THINMETA_PLACE);
}

static void shape(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
	} wrong[] = {{4, 0}, {4, 3}, {4, 4}, {16, MAX + 1}, {16, 2 * MAX}, {16, UINT32_MAX},
		{20, 255}, {20, UINT32_MAX}, {24, 0}, {24, 4}, {24, 9}, {24, UINT32_MAX}};
	uint8_t sound[THINMETA_BLOCK];

	(void)state;
	memcpy(sound, image_block(&w.image, w.leaf), sizeof(sound));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		put_node(w.leaf, wrong[i].at, 4, wrong[i].value);
		expect_leaf(THINMETA_SHAPE);
		memcpy(image_block(&w.image, w.leaf), sound, sizeof(sound));
	}
	expect(THINMETA_SOUND, 0, 0, 0, 0);
	/* Products of 32 bits that are small again. */
	put_node(w.leaf, 20, 4, 1u << 31);
	put_node(w.leaf, 24, 4, (1u << 31) - 8);
	expect_leaf(THINMETA_SHAPE);
}

static void order(void **state)
{
	(void)state;
	put_node(w.leaf, key_at(5), 8, KEYS * (MAX + 4));
	expect_leaf(THINMETA_ORDER);
}

static void range_below(void **state)
{
	(void)state;
	put_node(w.leaf, key_at(0), 8, KEYS * MAX - 1);
	expect_leaf(THINMETA_RANGE);
}

static void range_above(void **state)
{
	(void)state;
	put_node(w.leaf, key_at(MAX - 1), 8, KEYS * 2 * MAX);
	expect_leaf(THINMETA_RANGE);
}

static void child(void **state)
{
	(void)state;
	put_node(w.root, value_at(1), 8, BLOCKS);
	expect(THINMETA_CHILD, BLOCKS, w.root, (uint64_t)KEYS * MAX, (uint64_t)KEYS * 2 * MAX);
	put_node(w.root, value_at(1), 8, 0);
	expect(THINMETA_CHILD, 0, w.root, (uint64_t)KEYS * MAX, (uint64_t)KEYS * 2 * MAX);
}

static void cycle(void **state)
{
	(void)state;
	put_node(w.root, value_at(1), 8, w.root);
	expect(THINMETA_CYCLE, w.root, w.root, (uint64_t)KEYS * MAX, (uint64_t)KEYS * 2 * MAX);
}

/* The middle leaf lies below nodes of one entry: as many as are allowed, and one more. */
static void depth(void **state)
{
	const uint64_t key = KEYS * MAX;
	uint64_t at = w.leaf;
	uint8_t value[8];

	(void)state;
	for (int i = 0; i < 15; i++) {
		put_le(value, 8, at);
		if (i == 14) {
			put_node(w.root, value_at(1), 8, at);
			expect(THINMETA_SOUND, 0, 0, 0, 0);
		}
		at = image_node(&w.image, 1, &key, value, 1, 8, MAX);
	}
	put_node(w.root, value_at(1), 8, at);
	expect(THINMETA_DEPTH, w.leaf, w.image.next - 15, (uint64_t)KEYS * MAX,
		(uint64_t)KEYS * 2 * MAX);
}

static void empty(void **state)
{
	(void)state;
	put_node(w.leaf, 16, 4, 0);
	expect_leaf(THINMETA_EMPTY);
}

static void value(void **state)
{
	(void)state;
	put_node(w.leaf, value_at(7), 8, (uint64_t)(DATA_BLOCKS - 1) << 24);
	expect(THINMETA_SOUND, 0, 0, 0, 0);
	put_node(w.leaf, value_at(7), 8, (uint64_t)DATA_BLOCKS << 24);
	expect(THINMETA_VALUE, w.leaf, w.leaf, KEYS * (MAX + 7), KEYS * (MAX + 7) + 1);
}

static void unreadable(void **state)
{
	(void)state;
	put_node(w.root, value_at(1), 8, BLOCKS - 1);
	w.len -= 1;
	expect(THINMETA_UNREADABLE, BLOCKS - 1, w.root, (uint64_t)KEYS * MAX,
		(uint64_t)KEYS * 2 * MAX);
}

struct counted {
	struct thinmeta_usage of[3];
	size_t count;
};

static int count(void *arg, const struct thinmeta_usage *u)
{
	struct counted *c = arg;

	c->of[c->count++] = *u;
	return c->count == 3;
}

/*
 * Three devices share a node; in the second one's tree its place ends too early for what lies
 * below it.  That is the second one's damage and nobody else's.
 */
static void a_shared_node_at_a_wrong_place(void **state)
{
	uint64_t keys[3] = {0, KEYS * MAX, KEYS * 2 * MAX}, roots[3];
	const uint64_t mapped[3] = {COUNT, COUNT, COUNT};
	uint8_t values[24];
	struct thinmeta *m = NULL;
	struct counted c = {0};
	struct err e = {0};
	bool is_damaged = false;

	(void)state;
	put_le(values, 8, w.leaf);
	const uint64_t node = image_node(&w.image, 1, keys + 1, values, 1, 8, MAX);
	put_le(values, 8, w.leaf - 1);
	put_le(values + 8, 8, node);
	put_le(values + 16, 8, w.leaf + 1);
	roots[0] = roots[2] = image_node(&w.image, 1, keys, values, 3, 8, MAX);
	keys[2] = KEYS * (MAX + 5);
	roots[1] = image_node(&w.image, 1, keys, values, 3, 8, MAX);
	image_devices(&w.image, roots, mapped, 3, 126, 252);
	assert_int_equal(
		thinmeta_open_image(w.image.data, w.len, "image", THINMETA_MAIN, &m, &e), 0);
	assert_int_equal(thinmeta_usage(m, 1 << 20, count, &c, &is_damaged, &e), 1);
	assert_true(is_damaged);
	assert_int_equal(c.of[0].mapped, COUNT);
	assert_int_equal(c.of[1].mapped, COUNT - MAX);
	assert_int_equal(c.of[2].mapped, COUNT);
	assert_false(c.of[0].is_damaged);
	assert_true(c.of[1].is_damaged);
	assert_false(c.of[2].is_damaged);
	thinmeta_close(m);
}

/* Opens it as root says; how many mappings device 1 has then, -1 if it is refused. */
static long mapped_when(uint64_t root, struct err *e)
{
	struct thinmeta *t = NULL;
	struct thinmeta_device d;
	struct thinmeta_runs *runs = NULL;
	struct thinmeta_run run;
	long count = 0;

	if (thinmeta_open_image(w.image.data, w.len, "image", root, &t, e) < 0)
		return -1;
	if (thinmeta_device_find(t, 1, &d, e) == 0 && thinmeta_runs_open(t, &d, &runs, e) == 0)
		while (thinmeta_runs_next(runs, &run))
			count += run.damage.reason == THINMETA_SOUND ? (long)run.length : 0;
	thinmeta_runs_close(runs);
	thinmeta_close(t);
	return count;
}

/* Bit by bit: refused, unless somebody wants to read on; then never more than there is. */
static void a_doubtful_superblock(void **state)
{
	size_t whole = 0, flips = 0;

	(void)state;
	for (size_t bit = 0; bit < 8 * (size_t)THINMETA_BLOCK; bit += 3, flips++) {
		struct err e = {0};

		w.image.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(mapped_when(THINMETA_MAIN, &e), -1);
		assert_non_null(strstr(e.text, "superblock: block 0 (byte 0): "));
		const long count = mapped_when(THINMETA_DOUBTFUL, &e);
		assert_true(count <= (long)COUNT);
		whole += count == (long)COUNT;
		w.image.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	print_message("%zu bit flips, %zu times everything is read\n", flips, whole);
	assert_true(flips >= 10000 && whole >= flips - 150);
	/* What is none at all stays none. */
	struct err e = {0};
	memset(w.image.data, 0x5a, THINMETA_BLOCK);
	assert_int_equal(mapped_when(THINMETA_DOUBTFUL, &e), -1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_sound_one_has_none),
		CASE(checksum),
		CASE(place),
		CASE(shape),
		CASE(order),
		CASE(range_below),
		CASE(range_above),
		CASE(child),
		CASE(cycle),
		CASE(depth),
		CASE(empty),
		CASE(value),
		CASE(unreadable),
		CASE(a_shared_node_at_a_wrong_place),
		CASE(a_doubtful_superblock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
