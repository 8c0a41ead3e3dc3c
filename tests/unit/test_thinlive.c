/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up a device in metadata that is in use: found, absent, damaged, and while it changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "scope.h"
#include "thin_image.h"

#define DEVICES 3000u /* ids 1, 4, 7 ...: three levels of at most 20 keys */
#define LOOKUPS_MIN 300u
#define SEEN_MIN 20u /* of each of the two trees */
#define USERS 10u
#define MAPPED 20u

static char dir[] = "/tmp/thinark-live-XXXXXX";
static char path[64];

/* Details of device i, told apart by the version. */
static uint64_t put_tree(struct image *m, uint32_t version)
{
	static uint64_t ids[DEVICES];
	static uint8_t details[24 * DEVICES];

	for (uint32_t i = 0; i < DEVICES; i++) {
		ids[i] = 1 + 3 * (uint64_t)i;
		put_details(details + 24 * (size_t)i, 100 + i, version, 2 * i + version, i);
	}
	return image_tree(m, ids, details, DEVICES, 24, 21);
}

static int setup(void **state)
{
	static struct image m;

	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/meta", dir);
	image_frame(&m, dir, 1024, 4096, 128);
	*state = &m;
	return 0;
}

static int teardown(void **state)
{
	const struct image *m = *state;
	char command[64];

	free(m->data);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static void test_find(void **state)
{
	struct image m = *(struct image *)*state;
	struct thinmeta_live l;
	struct err e = {0};
	unsigned found = 0, absent = 0;

	image_roots(&m, get_le(image_block(&m, 0) + 320, 8), put_tree(&m, 1));
	image_save(&m, path);
	for (uint32_t id = 0; id < 3 * DEVICES + 3; id += id < 40 ? 1 : 37) {
		int r = thinmeta_live_find(path, id, &l, &e);
		const uint32_t i = (id - 1) / 3;

		assert_int_equal(l.sb.time, 99);
		if (id % 3 != 1 || i >= DEVICES) {
			assert_int_equal(r, -ENODATA);
			absent++;
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(l.mapped_blocks, 100 + i);
		assert_int_equal(l.transaction, 1);
		assert_int_equal(l.creation_time, 2 * i + 1);
		assert_int_equal(l.snapshotted_time, i);
		found++;
	}
	assert_true(found > 70 && absent > 150);
	assert_int_equal(thinmeta_live_find("/nonexistent", 1, &l, &e), -ENOENT);
}

/* What is lost is not absent. */
static void test_damage(void **state)
{
	struct image m = *(struct image *)*state;
	struct thinmeta_live l;
	struct err e = {0};
	const uint64_t root = put_tree(&m, 1);
	uint64_t leaf = root;

	while (get_le(image_block(&m, leaf) + 4, 4) == 1)
		leaf = get_le(image_block(&m, leaf) + NODE_HEADER + 8 * 21, 8);
	image_roots(&m, get_le(image_block(&m, 0) + 320, 8), root);
	image_block(&m, leaf)[2000] ^= 1;
	image_save(&m, path);
	assert_int_equal(thinmeta_live_find(path, 1, &l, &e), -EUCLEAN);
	assert_non_null(strstr(e.text, "checksum"));
	assert_int_equal(thinmeta_live_find(path, 2, &l, &e), -EUCLEAN);
	assert_int_equal(thinmeta_live_find(path, 3 * DEVICES - 2, &l, &e), 0);
	image_block(&m, 0)[100] ^= 1;
	image_save(&m, path);
	assert_int_equal(thinmeta_live_find(path, 1, &l, &e), -EBADMSG);
}

struct writer {
	const struct image *m;
	uint64_t begin[2], roots[2]; /* of two trees, of which one is committed */
	bool is_mappings;            /* these, not details */
	unsigned pause_us;
	size_t tree_bytes;
	atomic_bool stop;
	atomic_int commits;
};

/* As a pool does it: the new tree is written, then the superblock; the old one is overwritten. */
static void *write_on(void *arg)
{
	struct writer *w = arg;
	static uint8_t garbage[1 << 20];
	uint8_t *sb = image_block(w->m, 0);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	/* No time is that of the image as it was saved. */
	for (unsigned i = 1000; fd >= 0 && !w->stop; i++) {
		const unsigned next = i % 2;

		if (pwrite(fd, image_block(w->m, w->begin[next]), w->tree_bytes,
			    (off_t)(w->begin[next] * THINMETA_BLOCK)) != (ssize_t)w->tree_bytes)
			break;
		put_le(sb + 44, 4, i);
		image_roots((struct image *)(uintptr_t)w->m,
			w->is_mappings ? w->roots[next] : get_le(sb + 320, 8),
			w->is_mappings ? get_le(sb + 328, 8) : w->roots[next]);
		if (pwrite(fd, sb, THINMETA_BLOCK, 0) != THINMETA_BLOCK ||
			pwrite(fd, garbage, w->tree_bytes,
				(off_t)(w->begin[!next] * THINMETA_BLOCK)) !=
				(ssize_t)w->tree_bytes)
			break;
		w->commits++;
		(void)usleep(w->pause_us);
	}
	return NULL;
}

static void test_changing(void **state)
{
	struct image m = *(struct image *)*state;
	struct writer w = {.m = &m, .pause_us = 1000};
	unsigned seen[2] = {0}, busy = 0;
	pthread_t thread;

	for (unsigned i = 0; i < 2; i++) {
		w.begin[i] = m.next;
		w.roots[i] = put_tree(&m, i);
		w.tree_bytes = (m.next - w.begin[i]) * THINMETA_BLOCK;
	}
	assert_true(w.tree_bytes <= 1 << 20);
	image_roots(&m, get_le(image_block(&m, 0) + 320, 8), w.roots[1]);
	image_save(&m, path);
	assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
	/* A busy machine may stop the writer for long: so the end is not a number of lookups alone.
	 */
	for (unsigned n = 0;
		n < LOOKUPS_MIN || w.commits < 100 || seen[0] < SEEN_MIN || seen[1] < SEEN_MIN;
		n++) {
		const uint32_t i = n * 7 % DEVICES;
		struct thinmeta_live l;
		struct err e = {0};
		int r = thinmeta_live_find(path, 1 + 3 * i, &l, &e);

		if (r == -EAGAIN) {
			busy++;
			continue;
		}
		if (r < 0)
			fail_msg("lookup %u: %s", n, e.text);
		assert_true(l.transaction < 2);
		assert_int_equal(l.creation_time, 2 * i + l.transaction);
		seen[l.transaction]++;
	}
	w.stop = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("%u and %u lookups between %d commits, %u given up\n", seen[0], seen[1],
		w.commits, busy);
}

/* Device i maps MAPPED + version blocks of its own, and as many that all have. */
static uint64_t put_mappings(struct image *m, uint32_t version)
{
	static uint64_t ids[USERS], keys[2 * (MAPPED + 1)];
	static uint8_t roots[8 * USERS], values[8 * 2 * (MAPPED + 1)];
	const uint32_t count = MAPPED + version;

	for (uint32_t i = 0; i < USERS; i++) {
		for (uint32_t k = 0; k < 2 * count; k++) {
			keys[k] = k;
			put_mapping(values + 8 * (size_t)k,
				k < count ? k : count + i * (uint64_t)count + k - count, 1);
		}
		ids[i] = 5 + 3 * (uint64_t)i;
		put_le(roots + 8 * (size_t)i, 8, image_tree(m, keys, values, 2 * count, 8, 6));
	}
	return image_tree(m, ids, roots, USERS, 8, 6);
}

/* The version that the figures are of; all of them are, and no device is missing. */
static unsigned check_usages(const struct thinmeta_usages *u)
{
	const uint64_t version = u->items ? u->items[0].exclusive - MAPPED : 2;

	assert_true(version < 2);
	assert_false(u->is_damaged);
	assert_int_equal(u->count, USERS);
	assert_int_equal(u->block_bytes, 65536);
	for (size_t i = 0; i < u->count; i++) {
		const struct thinmeta_usage *x = &u->items[i];

		assert_int_equal(x->id, 5 + 3 * i);
		assert_false(x->is_damaged);
		assert_int_equal(x->mapped, 2 * (MAPPED + version));
		assert_int_equal(x->exclusive, MAPPED + version);
		assert_ptr_equal(thinmeta_usages_find(u, x->id), x);
		assert_null(thinmeta_usages_find(u, x->id + 1));
	}
	return (unsigned)version;
}

static void test_usages(void **state)
{
	struct image m = *(struct image *)*state;
	struct writer w = {.m = &m, .is_mappings = true, .pause_us = 10000};
	unsigned seen[2] = {0}, busy = 0;
	struct thinmeta_usages u;
	struct err e = {0};
	pthread_t thread;

	for (unsigned i = 0; i < 2; i++) {
		w.begin[i] = m.next;
		w.roots[i] = put_mappings(&m, i);
		w.tree_bytes = (m.next - w.begin[i]) * THINMETA_BLOCK;
	}
	assert_true(w.tree_bytes <= 1 << 20);
	image_roots(&m, w.roots[1], get_le(image_block(&m, 0) + 328, 8));
	image_save(&m, path);
	assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
	while (w.commits < 100 || seen[0] < SEEN_MIN || seen[1] < SEEN_MIN) {
		int r = thinmeta_usages_read(path, THINMETA_MAIN, 1 << 20, &u, &e);

		if (r < 0 && r != -EAGAIN)
			fail_msg("%s", e.text);
		busy += r < 0;
		if (r == 0)
			seen[check_usages(&u)]++;
		thinmeta_usages_done(&u);
	}
	w.stop = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("%u and %u readings between %d commits, %u given up\n", seen[0], seen[1],
		w.commits, busy);
	assert_int_equal(thinmeta_usages_read(path, THINMETA_MAIN, 100, &u, &e), -EFBIG);
	assert_int_equal(thinmeta_usages_read(path, THINMETA_HELD, 1 << 20, &u, &e), -ENODATA);
	assert_null(thinmeta_usages_find(&u, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_find),
		cmocka_unit_test(test_damage), cmocka_unit_test(test_changing),
		cmocka_unit_test(test_usages)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
