/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of bolt databases on files of a real containerd, on made ones, and on damaged ones. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "bolt.h"
#include "bolt_writer.h"
#include "scope.h"

#define GOLDEN SOURCE_DIR "/tests/golden/containerd/"

static uint8_t *unpack(const char *file, size_t *ret_len)
{
	char command[512];
	uint8_t *data = NULL;
	size_t len = 0, n;

	(void)snprintf(command, sizeof(command), "gzip -dc '" GOLDEN "%s.gz'", file);
	FILE *f = popen(command, "re");
	assert_non_null(f);
	do {
		data = realloc(data, len + 65536);
		assert_non_null(data);
		n = fread(data + len, 1, 65536, f);
		len += n;
	} while (n);
	assert_int_equal(pclose(f), 0);
	*ret_len = len;
	return data;
}

static struct bolt parse(uint8_t *data, size_t len)
{
	struct bolt b;
	struct err e = {0};

	if (bolt_parse(data, len, "f.db", &b, &e) < 0)
		fail_msg("%s", e.text);
	return b;
}

/* Everything below a bucket: how much, and a line for each item. */
struct seen {
	struct bolt *b;
	size_t items, buckets;
	int depth;
};

static int see(void *arg, const struct bolt_item *i, struct err *e)
{
	struct seen *s = arg;
	struct bolt_bucket in;
	volatile uint8_t sum = 0;

	for (size_t k = 0; k < i->key.len; k++)
		sum = (uint8_t)(sum + i->key.data[k]);
	for (size_t k = 0; k < i->value.len; k++)
		sum = (uint8_t)(sum + i->value.data[k]);
	s->items++;
	if (!i->is_bucket || s->depth == 12)
		return 0;
	s->buckets++;
	s->depth++;
	int r = bolt_enter(s->b, i, &in, e);
	if (r == 0)
		r = bolt_each(s->b, &in, see, s, e);
	s->depth--;
	return r;
}

static int see_all(struct bolt *b, struct seen *s, struct err *e)
{
	const struct bolt_bucket top = bolt_top(b);

	*s = (struct seen){.b = b};
	return bolt_each(b, &top, see, s, e);
}

/* The numbers are those of a reader of our own in another language. */
static void real_databases_are_read(void **state)
{
	static const struct {
		const char *file;
		size_t items, buckets;
		uint64_t transaction;
	} rows[] = {
		{"devpool.db", 12, 2, 39},
		{"metadata.db", 48, 13, 8},
		{"meta.db", 146, 53, 65},
		{"devpool-many.db", 146, 2, 368},
		{"metadata-many.db", 651, 147, 74},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {0};
		struct seen s;
		size_t len;
		uint8_t *data = unpack(rows[i].file, &len);
		AUTO_BOLT b = parse(data, len);

		assert_int_equal(see_all(&b, &s, &e), 0);
		print_message("%s: %zu items, %zu buckets, transaction %llu\n", rows[i].file,
			s.items, s.buckets, (unsigned long long)b.transaction);
		assert_int_equal(s.items, rows[i].items);
		assert_int_equal(s.buckets, rows[i].buckets);
		assert_int_equal(b.transaction, rows[i].transaction);
	}
}

/* What an iteration visits can be looked up, and its neighbours cannot. */
struct check {
	struct bolt *b;
	struct bolt_bucket in;
	size_t found;
};

static int look_up(void *arg, const struct bolt_item *i, struct err *e)
{
	struct check *c = arg;
	struct bolt_item item;
	char other[600];
	struct check below = {.b = c->b};

	assert_int_equal(bolt_find(c->b, &c->in, i->key, &item, e), 1);
	assert_ptr_equal(item.value.data, i->value.data);
	(void)snprintf(other, sizeof(other), "%.*s\x01", (int)i->key.len, i->key.data);
	assert_int_equal(bolt_find(c->b, &c->in, bolt_text(other), &item, e), 0);
	c->found++;
	if (!i->is_bucket)
		return 0;
	assert_int_equal(bolt_enter(c->b, i, &below.in, e), 0);
	int r = bolt_each(c->b, &below.in, look_up, &below, e);
	c->found += below.found;
	return r;
}

static void every_key_is_found(void **state)
{
	static const char *const files[] = {
		"devpool.db", "metadata.db", "meta.db", "devpool-many.db", "metadata-many.db"};
	static const char *const path[] = {"v1", "default", "containers", "web"};
	size_t total = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct err e = {0};
		size_t len;
		uint8_t *data = unpack(files[i], &len);
		AUTO_BOLT b = parse(data, len);
		struct check c = {.b = &b, .in = bolt_top(&b)};
		struct bolt_bucket in;
		struct bolt_item item;

		assert_int_equal(bolt_each(&b, &c.in, look_up, &c, &e), 0);
		total += c.found;
		if (strcmp(files[i], "meta.db") != 0)
			continue;
		assert_int_equal(bolt_descend(&b, &c.in, path, 4, &in, &e), 1);
		assert_int_equal(bolt_find(&b, &in, bolt_text("snapshotter"), &item, &e), 1);
		assert_true(bolt_is(item.value, "devmapper"));
		assert_int_equal(bolt_find(&b, &c.in, bolt_text(""), &item, &e), 0);
	}
	print_message("%zu keys\n", total);
	assert_true(total >= 1000);
}

/* Any message has to name the file and the byte. */
static bool is_located(const struct err *e)
{
	unsigned long at;

	return e->kind == ERR_STORE && e->code == -EBADMSG &&
	       sscanf(e->text, "f.db: byte %lu: ", &at) == 1;
}

static void every_byte_may_be_wrong(void **state)
{
	static const uint8_t flips[] = {0x01, 0x80, 0xff};
	size_t len, wrong = 0, runs = 0;
	AUTO_FREE uint8_t *good = unpack("devpool.db", &len);

	(void)state;
	for (size_t at = 0; at < len; at++)
		for (size_t k = 0; k < sizeof(flips); k++) {
			uint8_t *data = malloc(len);
			struct err e = {0};
			struct bolt b = {0};
			struct seen s;

			assert_non_null(data);
			memcpy(data, good, len);
			data[at] ^= flips[k];
			int r = bolt_parse(data, len, "f.db", &b, &e);
			if (r == 0)
				r = see_all(&b, &s, &e);
			if (r < 0 && !is_located(&e))
				fail_msg("byte %zu ^ %u: %s", at, flips[k], e.text);
			wrong += r < 0;
			runs++;
			bolt_done(&b);
		}
	print_message("%zu damaged files, %zu of them refused\n", runs, wrong);
	assert_true(runs >= 60000);
	assert_true(wrong >= 200);
}

static void every_length_may_be_wrong(void **state)
{
	size_t len, wrong = 0;
	AUTO_FREE uint8_t *good = unpack("devpool.db", &len);

	(void)state;
	for (size_t cut = 0; cut < len; cut += 7) {
		uint8_t *data = malloc(cut + 1);
		struct err e = {0};
		struct bolt b = {0};
		struct seen s;

		assert_non_null(data);
		memcpy(data, good, cut);
		int r = bolt_parse(data, cut, "f.db", &b, &e);
		if (r == 0)
			r = see_all(&b, &s, &e);
		if (r < 0 && !is_located(&e))
			fail_msg("%zu bytes: %s", cut, e.text);
		wrong += r < 0;
		bolt_done(&b);
	}
	print_message("%zu cut files refused\n", wrong);
	assert_true(wrong >= 500);
}

static uint8_t *made(size_t *ret_len)
{
	struct bolt_writer w;

	writer_begin(&w);
	writer_enter(&w, "a");
	writer_text(&w, "k", "v");
	writer_enter(&w, "s");
	writer_text(&w, "in", "line");
	writer_leave(&w, true);
	writer_leave(&w, false);
	writer_text(&w, "b", "");
	return writer_end(&w, ret_len);
}

static void the_newer_valid_meta_page_counts(void **state)
{
	size_t len;
	uint8_t *data = made(&len);
	AUTO_BOLT b = parse(data, len);

	(void)state;
	assert_int_equal(b.transaction, 9);
	/* The newer one torn: the older one is good. */
	data = made(&len);
	data[WRITER_PAGE + 16 + 20] ^= 1;
	AUTO_BOLT torn = parse(data, len);
	assert_int_equal(torn.transaction, 8);
	/* The first gone: the second is found without knowing the size of a page. */
	data = made(&len);
	memset(data, 0, WRITER_PAGE);
	AUTO_BOLT second = parse(data, len);
	assert_int_equal(second.transaction, 9);
	assert_int_equal(second.page_size, WRITER_PAGE);
}

static void swap(uint8_t *at, size_t size)
{
	for (size_t i = 0; i < size / 2; i++) {
		uint8_t t = at[i];

		at[i] = at[size - 1 - i];
		at[size - 1 - i] = t;
	}
}

/* As a machine of the other byte order writes an empty bucket and a key. */
static void the_other_byte_order_is_read(void **state)
{
	struct bolt_writer w;
	struct bolt_item item;
	struct err e = {0};
	size_t len;

	(void)state;
	writer_begin(&w);
	writer_text(&w, "key", "value");
	uint8_t *data = writer_end(&w, &len);
	static const struct {
		size_t at, size;
	} meta[] = {{16, 4}, {20, 4}, {24, 4}, {32, 8}, {48, 8}, {56, 8}, {64, 8}},
	  page[] = {{0, 8}, {8, 2}, {10, 2}, {12, 4}, {20, 4}, {24, 4}, {28, 4}};
	for (size_t m = 0; m < 2; m++) {
		for (size_t i = 0; i < ARRAY_LEN(meta); i++)
			swap(data + m * WRITER_PAGE + meta[i].at, meta[i].size);
		writer_seal(data + m * WRITER_PAGE);
		swap(data + m * WRITER_PAGE + 72, 8);
	}
	for (size_t i = 0; i < ARRAY_LEN(page); i++)
		swap(data + (size_t)2 * WRITER_PAGE + page[i].at, page[i].size);
	AUTO_BOLT b = parse(data, len);
	const struct bolt_bucket top = bolt_top(&b);
	assert_int_equal(bolt_find(&b, &top, bolt_text("key"), &item, &e), 1);
	assert_true(bolt_is(item.value, "value"));
}

/* What a page at its start may say, and what the reader answers. */
static void hostile_pages(void **state)
{
	static const struct {
		size_t at; /* in page 2, which is bucket "a" with a key and an inline bucket */
		uint8_t size;
		uint32_t value;
		const char *why;
	} rows[] = {
		{0, 1, 3, "number of another"},
		{8, 1, 3, "neither branch nor leaf"},
		{8, 1, 0, "neither branch nor leaf"},
		{10, 2, 0xffff, "more elements"},
		{12, 4, 0xffffffff, "longer than the file"},
		{12, 4, 99, "longer than the file"},
		{20, 4, 0xffffffff, "leaves its page"},
		{24, 4, 0xffffffff, "leaves its page"},
		{24, 4, 0, "impossible key"},
		{28, 4, 0xffffffff, "leaves its page"},
		{16, 1, 1, "a bucket that is cut"},
		{16 + 16 + 12, 4, 12, "a bucket that is cut"},
		{16 + 16 + 12, 4, 20, "a bucket without its page"},
		{16 + 16 + 4, 4, 0x10, "out of order"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {0};
		struct seen s;
		size_t len;
		uint8_t *data = made(&len);

		for (size_t k = 0; k < rows[i].size; k++)
			data[2 * WRITER_PAGE + rows[i].at + k] =
				(uint8_t)(rows[i].value >> (8 * k));
		AUTO_BOLT b = parse(data, len);
		if (see_all(&b, &s, &e) == 0 || !strstr(e.text, rows[i].why) || !is_located(&e))
			fail_msg("row %zu: '%s' lacks '%s'", i, e.text, rows[i].why);
	}
}

/* Page 2 a branch whose children are all page 2, or a leaf whose bucket is page 2. */
static void cycles_end(void **state)
{
	struct err e = {0};
	struct seen s;
	struct bolt_item item;
	size_t len;
	uint8_t *data = made(&len), *p = data + (size_t)2 * WRITER_PAGE;

	(void)state;
	p[8] = 1;
	for (size_t i = 0; i < 2; i++) {
		uint8_t *x = p + 16 + 16 * i;

		memset(x, 0, 16);
		x[0] = (uint8_t)(64 - 16 * i + i);
		x[4] = 1;
		x[8] = 2;
	}
	p[16 + 64] = 'a';
	p[16 + 65] = 'b';
	AUTO_BOLT b = parse(data, len);
	assert_true(see_all(&b, &s, &e) < 0);
	assert_true(is_located(&e));
	const struct bolt_bucket in = {.root = 2};
	assert_true(bolt_find(&b, &in, bolt_text("k"), &item, &e) < 0);
	assert_non_null(strstr(e.text, "too deep"));

	/* A bucket that has itself: as deep as anybody looks, but no further than the budget. */
	struct bolt_writer w;
	writer_begin(&w);
	writer_enter(&w, "self");
	writer_enter(&w, "self");
	writer_leave(&w, false);
	data = writer_end(&w, &len);
	for (size_t i = 0; i < len; i += WRITER_PAGE)
		if (i >= (size_t)3 * WRITER_PAGE && data[i] == 3)
			data[i + 16 + 16 + 4] = 3;
	AUTO_BOLT self = parse(data, len);
	assert_int_equal(see_all(&self, &s, &e), 0);
	int r = 0;
	for (size_t i = 0; i < 1000 && r == 0; i++)
		r = see_all(&self, &s, &e);
	assert_true(r < 0);
	assert_non_null(strstr(e.text, "share their pages"));
}

static void files_that_are_none(void **state)
{
	char path[] = "/tmp/test-bolt-XXXXXX";
	AUTO_CLOSE int fd = mkstemp(path);
	struct bolt b = {0};
	struct err e = {0};
	size_t len;
	AUTO_FREE uint8_t *data = made(&len);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bolt_read(fd, "f.db", &b, &e), -EBADMSG);
	assert_true(is_located(&e));
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(bolt_read(fd, "f.db", &b, &e), 0);
	assert_int_equal(b.transaction, 9);
	bolt_done(&b);
	AUTO_CLOSE int null = open("/dev/null", O_RDONLY);
	assert_int_equal(bolt_read(null, "f.db", &b, &e), -EINVAL);
}

/* -- while it is written to
 * ------------------------------------------------------------------------ */

#define BUSY_PAGES 8192u

static void put64(uint8_t *at, uint64_t v)
{
	for (size_t i = 0; i < 8; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

/* A leaf page with one element, whose value is 16 bytes long. */
static void leaf(uint8_t page[WRITER_PAGE], uint64_t id, char key, bool is_bucket, uint64_t value)
{
	memset(page, 0, WRITER_PAGE);
	put64(page, id);
	page[8] = 2;
	page[10] = 1;
	page[16] = is_bucket;
	page[20] = 16;
	page[24] = 1;
	page[28] = 16;
	page[32] = (uint8_t)key;
	put64(page + 33, value);
}

/*
 * Commits as bbolt does: pages that the newest transaction does not have, then the older meta page.
 * The root's bucket and the number in it lie far apart.
 */
static void commit(int fd, uint64_t t)
{
	const uint64_t root = 2 + t % 2, below = BUSY_PAGES - 1 - t % 2;
	uint8_t page[WRITER_PAGE];

	leaf(page, below, 't', false, t);
	assert_int_equal(pwrite(fd, page, 500, (off_t)(below * WRITER_PAGE)), 500);
	assert_int_equal(
		pwrite(fd, page + 500, WRITER_PAGE - 500, (off_t)(below * WRITER_PAGE) + 500),
		WRITER_PAGE - 500);
	leaf(page, root, 'b', true, below);
	assert_int_equal(pwrite(fd, page, WRITER_PAGE, (off_t)(root * WRITER_PAGE)), WRITER_PAGE);
	memset(page, 0, WRITER_PAGE);
	put64(page, t % 2);
	page[8] = 4;
	put64(page + 16, 0xED0CDAED | 2ull << 32);
	put64(page + 24, WRITER_PAGE);
	put64(page + 32, root);
	put64(page + 56, BUSY_PAGES);
	put64(page + 64, t);
	writer_seal(page);
	assert_int_equal(pwrite(fd, page, WRITER_PAGE, (off_t)(t % 2 * WRITER_PAGE)), WRITER_PAGE);
}

static _Noreturn void write_for_ever(int fd)
{
	(void)alarm(200);
	for (uint64_t t = 3;; t++) {
		commit(fd, t);
		if (t % 4 == 0)
			(void)usleep((useconds_t)(t * 7919 % 10000));
	}
}

static void a_copy_is_of_one_transaction(void **state)
{
	static const char *const path[] = {"b"};
	char file[] = "/tmp/test-bolt-XXXXXX";
	AUTO_CLOSE int fd = mkstemp(file);
	size_t good = 0, busy = 0, transactions = 0;
	uint64_t last = 0;

	(void)state;
	assert_true(fd >= 0);
	AUTO_CLOSE int reader = open(file, O_RDONLY);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(ftruncate(fd, (off_t)BUSY_PAGES * WRITER_PAGE), 0);
	commit(fd, 1);
	commit(fd, 2);
	pid_t writer = fork();
	assert_true(writer >= 0);
	if (writer == 0)
		write_for_ever(fd);
	/* A busy machine may stop the writer, or us, for long: only what was seen ends it. */
	while (good < 200 || transactions < 20) {
		AUTO_BOLT b = {0};
		struct err e = {0};
		struct bolt_bucket top, in;
		struct bolt_item item;
		uint64_t got = 0;
		int r = bolt_read(reader, "f.db", &b, &e);

		if (r == -EAGAIN) {
			busy++;
			continue;
		}
		assert_int_equal(r, 0);
		top = bolt_top(&b);
		assert_int_equal(bolt_descend(&b, &top, path, 1, &in, &e), 1);
		if (bolt_find(&b, &in, bolt_text("t"), &item, &e) != 1)
			fail_msg("%s", e.text);
		memcpy(&got, item.value.data, 8);
		assert_int_equal(got, b.transaction);
		transactions += got != last;
		last = got;
		good++;
	}
	assert_int_equal(kill(writer, SIGKILL), 0);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	print_message(
		"%zu copies of %zu transactions, %zu times too busy\n", good, transactions, busy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_databases_are_read),
		cmocka_unit_test(every_key_is_found),
		cmocka_unit_test(every_byte_may_be_wrong),
		cmocka_unit_test(every_length_may_be_wrong),
		cmocka_unit_test(the_newer_valid_meta_page_counts),
		cmocka_unit_test(the_other_byte_order_is_read),
		cmocka_unit_test(hostile_pages),
		cmocka_unit_test(cycles_end),
		cmocka_unit_test(files_that_are_none),
		cmocka_unit_test(a_copy_is_of_one_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
