/* SPDX-License-Identifier: Apache-2.0 */
/* A thin device's content from metadata and data, against an image that the mappings describe. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "thin_image.h"
#include "thinview.h"

#define SEED 777u
#define BLOCK (128u * 512u)
#define DATA_BLOCKS 400u
#define COUNT 150u

static char dir[] = "/tmp/thinark-test-XXXXXX", meta_path[64], data_path[64], out_path[64];
static struct mappings map;
static uint8_t *want; /* the device */
static size_t want_len;
static uint64_t root_node;

static void data_at(uint64_t block, uint8_t *out)
{
	struct random r = {block * 7919 + 13};

	for (size_t i = 0; i < BLOCK; i += 8)
		put_le(out + i, 8, random_next(&r));
}

/* The pool through thin_restore, and the device from the same mappings. */
static int make_pool(void **state)
{
	struct random r = {SEED};
	char path[64], command[256];
	struct image m;
	uint8_t block[BLOCK];

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(meta_path, sizeof(meta_path), "%s/meta", dir);
	(void)snprintf(data_path, sizeof(data_path), "%s/data", dir);
	(void)snprintf(out_path, sizeof(out_path), "%s/out", dir);
	(void)snprintf(path, sizeof(path), "%s/x.xml", dir);
	mappings_new(&map, COUNT);
	mappings_fill(&map, &r, COUNT, 9, DATA_BLOCKS - 1);
	FILE *f = fopen(path, "w");
	(void)fprintf(f,
		"<superblock uuid=\"\" time=\"5\" transaction=\"1\" data_block_size=\"128\" "
		"nr_data_blocks=\"%u\"><device dev_id=\"0\" mapped_blocks=\"0\" transaction=\"0\" "
		"creation_time=\"0\" snap_time=\"0\"/><device dev_id=\"7\" mapped_blocks=\"%u\" "
		"transaction=\"0\" creation_time=\"0\" snap_time=\"0\">\n",
		DATA_BLOCKS, COUNT);
	want_len = (map.keys[COUNT - 1] + 1) * BLOCK;
	want = calloc(want_len, 1);
	for (size_t i = 0; i < COUNT; i++) {
		const uint64_t v = get_le(map.values + 8 * i, 8);

		(void)fprintf(f,
			"<single_mapping origin_block=\"%" PRIu64 "\" data_block=\"%" PRIu64
			"\" time=\"%u\"/>\n",
			map.keys[i], v >> 24, (unsigned)(v & 0xFFFFFF));
		data_at(v >> 24, want + map.keys[i] * BLOCK);
	}
	(void)fprintf(f, "</device></superblock>\n");
	(void)fclose(f);
	(void)snprintf(command, sizeof(command),
		"cd %s && truncate -s 4M meta && thin_restore -q -i x.xml -o meta >out 2>&1", dir);
	shell(command);
	f = fopen(data_path, "w");
	for (uint64_t i = 0; i < DATA_BLOCKS; i++) {
		data_at(i, block);
		(void)fwrite(block, BLOCK, 1, f);
	}
	(void)fclose(f);
	/* Device 7's root: behind the only leaf of the upper tree. */
	image_load(&m, meta_path);
	const uint8_t *b = image_block(&m, get_le(image_block(&m, 0) + 320, 8));
	root_node = get_le(b + NODE_HEADER + 8 * get_le(b + 20, 4) + 8, 8);
	free(m.data);
	return 0;
}

static int remove_pool(void **state)
{
	char command[64];

	(void)state;
	mappings_free(&map);
	free(want);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static struct thinmeta *open_meta(void)
{
	struct thinmeta *m = NULL;
	struct err e = {0};

	assert_int_equal(thinmeta_open(meta_path, THINMETA_MAIN, &m, &e), 0);
	return m;
}

static struct thinview *open_view(struct thinmeta *m, uint32_t id)
{
	struct thinview *v = NULL;
	struct err e = {0};

	assert_int_equal(thinview_open(m, id, data_path, &v, &e), 0);
	return v;
}

static void any_range_reads_as_mapped(void **state)
{
	struct thinmeta *m = open_meta();
	struct thinview *v = open_view(m, 7), *empty = open_view(m, 0), *none = NULL;
	struct random r = {SEED + 1};
	struct err e = {0};
	uint8_t *buf = malloc(3u << 20);
	size_t bytes = 0;

	(void)state;
	assert_non_null(buf);
	for (int i = 0; i < 2000; i++) {
		uint64_t from = random_below(&r, want_len);
		size_t len = random_below(&r, i % 20 ? 200000 : 3u << 20);

		len = len < want_len - from ? len : want_len - from;
		memset(buf, 0xEE, len);
		assert_int_equal(thinview_pread(v, buf, len, from, &e), 0);
		assert_memory_equal(buf, want + from, len);
		bytes += len;
	}
	/* Behind the last block, and of a device without any, all is zero. */
	memset(buf, 0xEE, 4096);
	assert_int_equal(thinview_pread(v, buf, 4096, want_len + 17, &e), 0);
	assert_int_equal(buf[0] | buf[4095], 0);
	memset(buf, 0xEE, 4096);
	assert_int_equal(thinview_pread(empty, buf, 4096, 12345, &e), 0);
	assert_int_equal(buf[0] | buf[4095], 0);
	assert_int_equal(thinview_pread(v, buf, 4096, INT64_MAX - 5, &e), -EINVAL);
	assert_int_equal(thinview_open(m, 6, data_path, &none, &e), -ENOENT);
	assert_int_equal(thinview_open(m, 7, "/dev/null", &none, &e), -ENOTBLK);
	print_message("2000 ranges, %zu MiB\n", bytes >> 20);
	free(buf);
	thinview_close(v);
	thinview_close(empty);
	thinmeta_close(m);
}

struct losses {
	uint64_t count, bytes;
	char why[600];
	uint64_t progress;
};

static void note_loss(void *arg, uint64_t offset, uint64_t len, const char *why)
{
	struct losses *l = arg;

	(void)offset;
	l->count++;
	l->bytes += len;
	(void)snprintf(l->why, sizeof(l->why), "%s", why);
}

static void note_progress(void *arg, uint64_t mapped_bytes)
{
	struct losses *l = arg;

	assert_true(mapped_bytes > l->progress);
	l->progress = mapped_bytes;
}

static int copy(uint64_t size, struct thinview_copied *ret, struct losses *l)
{
	const struct thinview_events events = {note_loss, note_progress, l};
	struct thinmeta *m = open_meta();
	struct thinview *v = open_view(m, 7);
	struct err e = {0};
	int fd = open(out_path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	*l = (struct losses){0};
	assert_int_equal(thinview_copy(v, fd, size, &events, ret, &e), 0);
	assert_int_equal(l->progress, ret->mapped_bytes);
	assert_int_equal(ret->losses, l->count);
	assert_int_equal(ret->lost_bytes, l->bytes);
	thinview_close(v);
	thinmeta_close(m);
	return fd;
}

/* The image must be size bytes, those of the device where is_lost is false, else zero. */
static void compare(int fd, uint64_t size, uint64_t lost_from, uint64_t lost_to)
{
	struct stat st;
	uint8_t block[BLOCK];

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, size);
	for (uint64_t at = 0; at < size; at += BLOCK) {
		const size_t n = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
		static const uint8_t zeros[BLOCK];
		const bool is_zero = at >= want_len || (at >= lost_from && at < lost_to);

		assert_int_equal(pread(fd, block, n, (off_t)at), n);
		assert_memory_equal(block, is_zero ? zeros : want + at, n);
	}
	(void)close(fd);
}

static void images_are_the_device_and_sparse(void **state)
{
	struct thinview_copied sum;
	struct losses l;
	struct stat st;
	int fd = copy(0, &sum, &l);

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(sum.mapped_bytes, (uint64_t)COUNT * BLOCK);
	assert_true((uint64_t)st.st_blocks * 512 <= sum.mapped_bytes + (1u << 20));
	assert_true(want_len > sum.mapped_bytes + (16u << 20));
	print_message("%zu bytes, %" PRIu64 " mapped, %lld on disk\n", want_len, sum.mapped_bytes,
		(long long)st.st_blocks * 512);
	compare(fd, want_len, 0, 0);
	fd = copy(want_len + 12345, &sum, &l);
	compare(fd, want_len + 12345, 0, 0);
	const uint64_t part = (map.keys[COUNT / 2] * BLOCK) + 1000;
	fd = copy(part, &sum, &l);
	compare(fd, part, 0, 0);
	assert_int_equal(l.count, 0);
}

/* A short data file and a bad node cost what they hold; the reader is told, never given zeros. */
static void what_is_lost_is_told(void **state)
{
	struct thinview_copied sum;
	struct losses l;
	struct err e = {0};
	uint8_t byte = 0;
	const uint64_t short_len = 200 * (uint64_t)BLOCK + 777;
	uint64_t whole_bytes = 0, lost = 0;

	(void)state;
	assert_int_equal(truncate(data_path, (off_t)short_len), 0);
	int fd = copy(0, &sum, &l);
	for (size_t i = 0; i < COUNT; i++) {
		const uint64_t at = (get_le(map.values + 8 * i, 8) >> 24) * BLOCK;
		const uint64_t n = at >= short_len          ? 0
				   : short_len - at < BLOCK ? short_len - at
							    : BLOCK;

		whole_bytes += n;
		lost += BLOCK - n;
	}
	assert_int_equal(sum.mapped_bytes, whole_bytes);
	assert_int_equal(l.bytes, lost);
	assert_non_null(strstr(l.why, "is behind its end"));
	assert_true(l.count > 0 && whole_bytes > 0);
	(void)close(fd);
	struct thinmeta *m = open_meta();
	struct thinview *v = open_view(m, 7);
	size_t refused = 0;
	for (size_t i = 0; i < COUNT; i++) {
		const bool is_there = (get_le(map.values + 8 * i, 8) >> 24) <= 199;

		if ((get_le(map.values + 8 * i, 8) >> 24) == 200)
			continue;
		int r = thinview_pread(v, &byte, 1, map.keys[i] * BLOCK + BLOCK - 1, &e);
		assert_int_equal(r, is_there ? 0 : -EIO);
		refused += r < 0;
	}
	assert_true(refused > 20);
	assert_non_null(strstr(e.text, data_path));
	thinview_close(v);
	thinmeta_close(m);
	/* The root of the device: all of it is lost, as far as anybody can tell. */
	fd = open(meta_path, O_RDWR);
	byte = 0x55;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)(root_node * THINMETA_BLOCK + 40)), 1);
	(void)close(fd);
	fd = copy(want_len, &sum, &l);
	assert_int_equal(sum.lost_bytes, want_len);
	assert_int_equal(sum.mapped_bytes, 0);
	assert_non_null(strstr(l.why, "checksum"));
	compare(fd, want_len, 0, want_len);
	m = open_meta();
	v = open_view(m, 7);
	assert_int_equal(thinview_pread(v, &byte, 1, 0, &e), -EIO);
	assert_non_null(strstr(e.text, "checksum"));
	thinview_close(v);
	thinmeta_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_range_reads_as_mapped),
		cmocka_unit_test(images_are_the_device_and_sparse),
		cmocka_unit_test(what_is_lost_is_told),
	};

	return cmocka_run_group_tests(tests, make_pool, remove_pool);
}
