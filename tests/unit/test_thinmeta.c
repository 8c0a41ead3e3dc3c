/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of dm-thin metadata against the reference tools: thin_restore makes, thin_dump and
 * thin_ls read, and we must read the same. */
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

#include "clock.h"
#include "thin_image.h"
#include "thinmeta.h"

#define SEED 20260217u

static char dir[] = "/tmp/thinark-test-XXXXXX";
static size_t compared_lines, compared_pools;

static FILE *oracle(const char *command)
{
	char line[512];
	FILE *f;

	(void)snprintf(line, sizeof(line), "cd %s && %s", dir, command);
	f = popen(line, "r");
	assert_non_null(f);
	return f;
}

/* The oracle's next line, without indentation, must be this one. */
static void expect(FILE *f, const char *fmt, ...)
{
	char want[512], got[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(want, sizeof(want), fmt, ap);
	va_end(ap);
	assert_non_null(fgets(got, sizeof(got), f));
	got[strcspn(got, "\n")] = '\0';
	for (size_t n = strlen(got); n && got[n - 1] == ' ';)
		got[--n] = '\0';
	assert_string_equal(got + strspn(got, " "), want);
	compared_lines++;
}

static void expect_end(FILE *f)
{
	char line[512];

	assert_null(fgets(line, sizeof(line), f));
	assert_int_equal(pclose(f), 0);
}

static void same_runs(FILE *f, struct thinmeta *m, const struct thinmeta_device *d)
{
	struct thinmeta_runs *runs = NULL;
	struct thinmeta_run r;
	struct err e = {0};
	uint64_t mapped = 0;

	assert_int_equal(thinmeta_runs_open(m, d, &runs, &e), 0);
	while (thinmeta_runs_next(runs, &r)) {
		assert_int_equal(r.damage.reason, THINMETA_SOUND);
		mapped += r.length;
		if (r.length == 1)
			expect(f,
				"<single_mapping origin_block=\"%" PRIu64 "\" data_block=\"%" PRIu64
				"\" time=\"%" PRIu32 "\"/>",
				r.virtual_begin, r.data_begin, r.time);
		else
			expect(f,
				"<range_mapping origin_begin=\"%" PRIu64 "\" data_begin=\"%" PRIu64
				"\" length=\"%" PRIu64 "\" time=\"%" PRIu32 "\"/>",
				r.virtual_begin, r.data_begin, r.length, r.time);
	}
	thinmeta_runs_close(runs);
	assert_int_equal(mapped, d->mapped_blocks);
}

/* All that thin_dump prints of dir/meta must come out of our reader, line for line. */
static size_t same_dump(uint64_t root, const char *dump)
{
	char path[64];
	struct thinmeta *m = NULL;
	struct thinmeta_devices *devices = NULL;
	struct thinmeta_device d;
	struct err e = {0};
	size_t count = 0;
	FILE *f = oracle(dump);

	(void)snprintf(path, sizeof(path), "%s/meta", dir);
	if (thinmeta_open(path, root, &m, &e) < 0)
		fail_msg("%s", e.text);
	const struct thinmeta_superblock *s = thinmeta_superblock(m);
	expect(f,
		"<superblock uuid=\"\" time=\"%" PRIu32 "\" transaction=\"%" PRIu64
		"\" flags=\"%" PRIu32 "\" version=\"%" PRIu32 "\" data_block_size=\"%" PRIu32
		"\" nr_data_blocks=\"%" PRIu64 "\">",
		s->time, s->transaction, s->flags, s->version, s->block_sectors,
		root == THINMETA_MAIN ? s->data_blocks : 0);
	assert_int_equal(thinmeta_devices_open(m, &devices, &e), 0);
	for (; thinmeta_devices_next(devices, &d); count++) {
		assert_int_equal(d.damage.reason, THINMETA_SOUND);
		assert_int_equal(d.details, THINMETA_PRESENT);
		assert_int_equal(d.mappings, THINMETA_PRESENT);
		expect(f,
			"<device dev_id=\"%" PRIu32 "\" mapped_blocks=\"%" PRIu64
			"\" transaction=\"%" PRIu64 "\" creation_time=\"%" PRIu32
			"\" snap_time=\"%" PRIu32 "\">",
			d.id, d.mapped_blocks, d.transaction, d.creation_time, d.snapshotted_time);
		same_runs(f, m, &d);
		expect(f, "</device>");
	}
	expect(f, "</superblock>");
	expect_end(f);
	thinmeta_devices_close(devices);
	thinmeta_close(m);
	compared_pools++;
	return count;
}

static int same_usage_line(void *arg, const struct thinmeta_usage *u)
{
	assert_false(u->is_damaged);
	expect(arg, "%" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64, u->id, u->mapped, u->exclusive,
		u->mapped - u->exclusive);
	return 0;
}

static void same_usage(void)
{
	char path[64];
	struct thinmeta *m = NULL;
	struct err e = {0};
	bool is_damaged = true;
	FILE *f = oracle("thin_ls --no-headers -o "
			 "DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS meta | tr -s ' '");

	(void)snprintf(path, sizeof(path), "%s/meta", dir);
	assert_int_equal(thinmeta_open(path, THINMETA_MAIN, &m, &e), 0);
	assert_int_equal(thinmeta_usage(m, 1 << 26, same_usage_line, f, &is_damaged, &e), 0);
	assert_false(is_damaged);
	expect_end(f);
	assert_int_equal(thinmeta_usage(m, 100, same_usage_line, f, &is_damaged, &e), -EFBIG);
	thinmeta_close(m);
}

/* One pool's XML for thin_restore. */
struct xml {
	FILE *file;
	struct random random;
	uint64_t data_blocks;
};

static void xml_begin(struct xml *x, unsigned sectors, uint64_t data_blocks)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/x.xml", dir);
	x->file = fopen(path, "w");
	x->data_blocks = data_blocks;
	assert_non_null(x->file);
	(void)fprintf(x->file,
		"<superblock uuid=\"\" time=\"77\" transaction=\"5\" data_block_size=\"%u\" "
		"nr_data_blocks=\"%" PRIu64 "\">\n",
		sectors, data_blocks);
}

static void xml_device(struct xml *x, uint64_t id, const struct mappings *m)
{
	(void)fprintf(x->file,
		"<device dev_id=\"%" PRIu64 "\" mapped_blocks=\"%zu\" transaction=\"%" PRIu64
		"\" creation_time=\"%u\" snap_time=\"%u\">\n",
		id, m->count, id % 5, (unsigned)(id % 60), (unsigned)(id % 70));
	for (size_t i = 0; i < m->count; i++) {
		const uint64_t v = get_le(m->values + 8 * i, 8);

		(void)fprintf(x->file,
			"<single_mapping origin_block=\"%" PRIu64 "\" data_block=\"%" PRIu64
			"\" time=\"%u\"/>\n",
			m->keys[i], v >> 24, (unsigned)(v & 0xFFFFFF));
	}
	(void)fprintf(x->file, "</device>\n");
}

static void xml_restore(struct xml *x, unsigned mib)
{
	char command[256];

	(void)fprintf(x->file, "</superblock>\n");
	assert_int_equal(fclose(x->file), 0);
	(void)snprintf(command, sizeof(command),
		"cd %s && rm -f meta && truncate -s %uM meta && "
		"thin_restore -q -i x.xml -o meta >out 2>&1",
		dir, mib);
	shell(command);
}

/* Devices of a pool made by thin_restore; a third of them are copies that share most blocks. */
static void restored(uint64_t seed, size_t devices, size_t mappings, uint64_t longest,
	unsigned sectors, uint64_t id_step)
{
	struct xml x = {.random = {seed}};
	struct mappings m;

	mappings_new(&m, mappings + 1);
	xml_begin(&x, sectors, 1 + 4 * mappings * (devices < 100 ? devices : 100));
	for (size_t i = 0; i < devices; i++) {
		if (i % 3 != 2)
			mappings_fill(&m, &x.random,
				mappings ? random_below(&x.random, mappings + 1) : 0, longest,
				x.data_blocks);
		else
			for (size_t k = 0; k < m.count; k += 1 + random_below(&x.random, 20))
				put_mapping(m.values + 8 * k,
					random_below(&x.random, x.data_blocks), 70);
		xml_device(&x, i * id_step, &m);
	}
	xml_restore(&x, 32);
	mappings_free(&m);
	assert_int_equal(same_dump(THINMETA_MAIN, "thin_dump meta"), devices);
	same_usage();
}

static void pools_of_thin_restore_read_the_same(void **state)
{
	(void)state;
	restored(SEED, 0, 0, 1, 128, 1);
	restored(SEED + 1, 1, 0, 1, 128, 1);
	restored(SEED + 2, 1, 1, 1, 2097152, 1);
	restored(SEED + 3, 5, 20000, 1, 128, 1);
	restored(SEED + 4, 5, 20000, 50, 256, 0x300000);
	restored(SEED + 5, 3000, 12, 3, 1024, 5591);
	for (uint64_t i = 0; i < 12; i++)
		restored(SEED + 100 + i, 1 + i * 3, 40 * i * i, 1 + i, 128, 1 + i * 100);
	print_message("%zu pools, %zu lines as the reference tools print them\n", compared_pools,
		compared_lines);
	assert_true(compared_pools >= 18);
	assert_true(compared_lines >= 50000);
}

static void save(const struct image *m)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/meta", dir);
	image_save(m, path);
}

/* Thin nodes make deep trees; copies of paths make snapshots that share the rest. */
static void deep_and_shared_trees_read_the_same(void **state)
{
	static const uint32_t maxima[] = {3, 6, 9, 30, 252};
	struct random r = {SEED};
	size_t before = compared_pools;

	(void)state;
	for (size_t k = 0; k < 5; k++) {
		struct image m;
		struct mappings map;
		uint64_t roots[12], mapped[12];
		const size_t count = k == 0 ? 6000 : 12000;

		image_frame(&m, dir, 24000, 50000, 128);
		mappings_new(&map, count);
		mappings_fill(&map, &r, count, 4, 50000);
		roots[0] = image_tree(&m, map.keys, map.values, count, 8, maxima[k]);
		roots[1] = roots[0]; /* a snapshot that nobody has written to */
		for (size_t i = 2; i < 12; i++) {
			roots[i] = roots[random_below(&r, i)];
			for (uint64_t n = random_below(&r, 40); n--;) {
				uint8_t v[8];

				put_mapping(v, random_below(&r, 50000), 71);
				roots[i] = image_cow(
					&m, roots[i], map.keys[random_below(&r, count)], v, 8);
			}
		}
		for (size_t i = 0; i < 12; i++)
			mapped[i] = count;
		image_devices(&m, roots, mapped, 12, k == 0 ? 3 : 126, maxima[k]);
		save(&m);
		assert_int_equal(same_dump(THINMETA_MAIN, "thin_dump meta"), 12);
		same_usage();
		mappings_free(&map);
		free(m.data);
	}
	print_message(
		"%zu pools with shared nodes, up to 8 levels deep\n", compared_pools - before);
	assert_int_equal(compared_pools - before, 5);
}

/* What was held stays readable while the main tree goes on. */
static void metadata_snapshots_are_read(void **state)
{
	struct image m;
	struct mappings map;
	struct random r = {SEED + 9};
	struct thinmeta *t = NULL;
	struct err e = {0};
	uint64_t roots[2], mapped[2] = {500, 500};
	char path[64], command[64];
	uint8_t v[8];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/meta", dir);
	image_frame(&m, dir, 1024, 5000, 128);
	mappings_new(&map, 500);
	mappings_fill(&map, &r, 500, 3, 5000);
	roots[0] = roots[1] = image_tree(&m, map.keys, map.values, 500, 8, 252);
	image_devices(&m, roots, mapped, 2, 126, 252);
	save(&m);
	assert_int_equal(thinmeta_open(path, THINMETA_HELD, &t, &e), -ENODATA);
	assert_non_null(strstr(e.text, path));
	const uint64_t held = m.next++;
	uint8_t *h = image_block(&m, held);
	memcpy(h, image_block(&m, 0), THINMETA_BLOCK);
	put_le(h + 8, 8, held);
	memset(h + 64, 0, 256);
	image_seal(&m, held, SUPERBLOCK_SALT);
	put_mapping(v, 4999, 98);
	roots[1] = image_cow(&m, roots[1], map.keys[123], v, 8);
	image_devices(&m, roots, mapped, 2, 126, 252);
	put_le(image_block(&m, 0) + 56, 8, held);
	put_le(image_block(&m, 0) + 48, 8, 4711); /* transaction */
	image_seal(&m, 0, SUPERBLOCK_SALT);
	save(&m);
	assert_int_equal(same_dump(THINMETA_MAIN, "thin_dump meta"), 2);
	assert_int_equal(same_dump(THINMETA_HELD, "thin_dump -m meta"), 2);
	(void)snprintf(command, sizeof(command), "thin_dump -m%" PRIu64 " meta", held);
	assert_int_equal(same_dump(held, command), 2);
	/* Any other block is no root. */
	for (uint64_t b = 1; b < m.next; b++)
		if (b != held)
			assert_true(thinmeta_open(path, b, &t, &e) < 0);
	assert_true(thinmeta_open(path, 1024, &t, &e) < 0);
	mappings_free(&map);
	free(m.data);
}

static void ranges_and_single_devices_are_found(void **state)
{
	struct image m;
	struct mappings map;
	struct random r = {SEED + 20};
	struct thinmeta *t = NULL;
	struct thinmeta_device d;
	struct thinmeta_runs *runs = NULL;
	struct thinmeta_run run;
	struct err e = {0};
	uint64_t roots[40], mapped[40], asked = 0;

	(void)state;
	image_frame(&m, dir, 4096, 90000, 128);
	mappings_new(&map, 3000);
	mappings_fill(&map, &r, 3000, 6, 90000);
	for (size_t i = 0; i < 40; i++) {
		roots[i] = i ? roots[0] : image_tree(&m, map.keys, map.values, 3000, 8, 9);
		mapped[i] = 3000;
	}
	image_devices(&m, roots, mapped, 40, 6, 6);
	assert_int_equal(thinmeta_open_image(
				 m.data, m.blocks * THINMETA_BLOCK, "image", THINMETA_MAIN, &t, &e),
		0);
	for (uint32_t id = 0; id < 130; id++) {
		int want = id % 3 == 1 && id < 120 ? 0 : -ENOENT;

		assert_int_equal(thinmeta_device_find(t, id, &d, &e), want);
		if (want == 0)
			assert_int_equal(d.transaction, id / 3);
	}
	assert_int_equal(thinmeta_device_find(t, 1, &d, &e), 0);
	assert_int_equal(thinmeta_runs_open(t, &d, &runs, &e), 0);
	for (int i = 0; i < 20000; i++) {
		uint64_t top = map.keys[2999] + 10, begin = random_below(&r, top);
		uint64_t end = begin + random_below(&r, i % 10 ? 20 : top);
		size_t k = 0;

		while (k < 3000 && map.keys[k] < begin)
			k++;
		thinmeta_runs_seek(runs, begin, end);
		while (thinmeta_runs_next(runs, &run)) {
			assert_int_equal(run.damage.reason, THINMETA_SOUND);
			for (uint64_t j = 0; j < run.length; j++, k++) {
				assert_int_equal(map.keys[k], run.virtual_begin + j);
				assert_int_equal(get_le(map.values + 8 * k, 8),
					(run.data_begin + j) << 24 | run.time);
			}
			/* Sometimes the next range begins before this one is read out. */
			if (random_below(&r, 8) == 0) {
				end = 0;
				break;
			}
		}
		assert_true(end == 0 || k == 3000 || map.keys[k] >= end);
		asked++;
	}
	print_message("%" PRIu64 " ranges\n", asked);
	thinmeta_runs_close(runs);
	thinmeta_close(t);
	mappings_free(&map);
	free(m.data);
}

/* The highest resident size since the last call, in KiB. */
static long peak_kib(void)
{
	char line[128];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "VmHWM: %ld", &kib);
	(void)fclose(f);
	f = fopen("/proc/self/clear_refs", "w");
	assert_non_null(f);
	(void)fputs("5", f);
	assert_int_equal(fclose(f), 0);
	return kib;
}

static void make_two_million(size_t count)
{
	struct image m;
	struct mappings map;
	uint64_t root, mapped = count;

	image_frame(&m, dir, 32768, 4000000, 128);
	mappings_new(&map, count);
	for (size_t i = 0; i < count; i++) {
		map.keys[i] = i;
		put_mapping(map.values + 8 * i, (i * 1999993) % 4000000, (uint32_t)(i % 9));
	}
	root = image_tree(&m, map.keys, map.values, count, 8, 126);
	image_devices(&m, &root, &mapped, 1, 126, 252);
	save(&m);
	free(m.data);
	mappings_free(&map);
}

/* Two million mappings, none of which continues the one before. */
static void two_million_mappings_are_quick(void **state)
{
	const size_t count = 2000000;
	struct thinmeta *t = NULL;
	struct thinmeta_device d;
	struct thinmeta_runs *runs = NULL;
	struct thinmeta_run r;
	struct err e = {0};
	uint64_t n = 0;
	char path[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/meta", dir);
	make_two_million(count);
	(void)peak_kib();
	const long before = peak_kib();
	const clock_t cpu = clock();
	uint64_t start = clock_ns();
	assert_int_equal(thinmeta_open(path, THINMETA_MAIN, &t, &e), 0);
	assert_int_equal(thinmeta_device_find(t, 1, &d, &e), 0);
	assert_int_equal(thinmeta_runs_open(t, &d, &runs, &e), 0);
	while (thinmeta_runs_next(runs, &r))
		n += r.length;
	const long more = peak_kib() - before;
	print_message("2 million mappings: %" PRIu64 " ms, %ld ms of processor, %ld KiB more\n",
		(clock_ns() - start) / 1000000, (long)((clock() - cpu) / (CLOCKS_PER_SEC / 1000)),
		more);
	assert_int_equal(n, count);
	assert_true(more < 1024);
	thinmeta_runs_close(runs);
	thinmeta_close(t);
	start = clock_ns();
	assert_int_equal(same_dump(THINMETA_MAIN, "thin_dump meta"), 1);
	same_usage();
	print_message("compared with the reference tools in %" PRIu64 " ms\n",
		(clock_ns() - start) / 1000000);
}

/* The table must agree with the definition, bit by bit. */
static void crc32c_follows_its_definition(void **state)
{
	struct random r = {SEED};
	uint8_t data[300];
	size_t checked = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)random_next(&r);
	for (size_t from = 0; from < 9; from++) {
		uint32_t crc = ~0u;

		for (size_t len = 0; from + len < sizeof(data); len++, checked++) {
			assert_int_equal(thinmeta_crc32c(data + from, len), ~crc);
			crc ^= data[from + len];
			for (int k = 0; k < 8; k++)
				crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
		}
	}
	assert_true(checked > 2600);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[64];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_follows_its_definition),
		cmocka_unit_test(pools_of_thin_restore_read_the_same),
		cmocka_unit_test(deep_and_shared_trees_read_the_same),
		cmocka_unit_test(metadata_snapshots_are_read),
		cmocka_unit_test(ranges_and_single_devices_are_found),
		cmocka_unit_test(two_million_mappings_are_quick),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
