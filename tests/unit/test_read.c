/* SPDX-License-Identifier: Apache-2.0 */
/* What reads archives, piece by piece: index, tar members, ACLs, paths, the manifest's seal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acl_text.h"
#include "below.h"
#include "index.h"
#include "manifest.h"
#include "restore.h"
#include "scope.h"
#include "untar.h"
#include "unframe.h"

static const struct index_entry rich = {.path = "a/b",
	.link = "a/first",
	.has = INDEX_HARDLINK | INDEX_XATTRS | INDEX_EXTENTS | INDEX_GENERATION,
	.mode = S_IFREG | 04755,
	.uid = UINT32_MAX - 1,
	.gid = 1,
	.generation = 7,
	.size = INT64_MAX,
	.inode = UINT64_MAX,
	.mtime = {-1, 999999999},
	.ctime = {INT64_MIN, 0},
	.header = 512,
	.data = 1024,
	.end = INT64_MAX,
	.xattrs = {1, 2},
	.extents = {3, 4}};

static void test_index(void **state)
{
	AUTO_STRBUF part = {0};
	const struct frame_info frame = {.packed = 5, .raw = UINT32_MAX, .sha256 = {9}};
	struct index x = {0};
	struct err e = {0};
	unsigned cut = 0;

	(void)state;
	index_part_begin(&part);
	index_put_entry(&part, &rich);
	index_put_frame(&part, &frame);
	index_put_end(&part, 1, 1, INT64_MAX);
	assert_int_equal(index_part_read(part.data, part.len, &x, &e), 0);
	assert_int_equal(index_check(&x, &e), 0);
	assert_int_equal(x.count, 1);
	struct index_entry got = x.entries[0];
	assert_string_equal(got.path, rich.path);
	assert_string_equal(got.link, rich.link);
	got.path = rich.path;
	got.link = rich.link;
	assert_memory_equal(&got, &rich, sizeof(got));
	assert_memory_equal(&x.frames[0], &frame, sizeof(frame));
	index_done(&x);
	/* Cut anywhere it is refused, or it lacks its end. */
	for (size_t n = 0; n < part.len; n++, cut++) {
		int rc = index_part_read(part.data, n, &x, &e);

		assert_true(rc < 0 || index_check(&x, &e) < 0);
		assert_int_equal(e.kind, ERR_DAMAGED);
		index_done(&x);
	}
	assert_true(cut > 100);
}

/* Of many entries one path: the last of two that have it, and nothing of the others is kept. */
static void test_index_of_one(void **state)
{
	static const char *const paths[] = {"a", "a/b", "a/bc", "a", "a/b"};
	AUTO_STRBUF part = {0};
	struct err e = {0};

	(void)state;
	index_part_begin(&part);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct index_entry one = rich;

		one.path = paths[i];
		one.header = one.data = 1024 * i;
		one.end = 1024 * (i + 1);
		index_put_entry(&part, &one);
	}
	index_put_end(&part, ARRAY_LEN(paths), 0, 1024 * ARRAY_LEN(paths));
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct index x = {.only = paths[i]};

		assert_int_equal(index_part_read(part.data, part.len, &x, &e), 0);
		assert_int_equal(index_check(&x, &e), 0);
		assert_int_equal(x.seen, ARRAY_LEN(paths));
		assert_int_equal(x.count, i == 2 ? 1 : 2);
		for (size_t k = 0; k < x.count; k++)
			assert_string_equal(x.entries[k].path, paths[i]);
		index_done(&x);
	}
	struct index none = {.only = "a/"};
	assert_int_equal(index_part_read(part.data, part.len, &none, &e), 0);
	assert_int_equal(none.count, 0);
	index_done(&none);
	/* One that begins before another's end. */
	struct index twice = {0};
	assert_int_equal(index_part_read(part.data, part.len, &twice, &e), 0);
	twice.ended = false;
	assert_int_equal(index_part_read(part.data, part.len, &twice, &e), 0);
	twice.want_entries = twice.seen;
	assert_int_equal(index_check(&twice, &e), -EBADMSG);
	assert_non_null(strstr(e.text, "entry 5 lies outside its place"));
	index_done(&twice);
}

static void test_index_later(void **state)
{
	/* Kind 9, which nobody knows, and an entry with bytes behind its fields. */
	static const char later[] = "thinark-index\0\1\x9\2zz"
				    "\1\x15\0\1p\xa4\x83\2\0\0\0\0\0\0\0\0\0\0\0\xa\0zz"
				    "\3\3\1\0\xa";
	struct index x = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(index_part_read(later, sizeof(later) - 1, &x, &e), 0);
	assert_int_equal(index_check(&x, &e), 0);
	assert_string_equal(x.entries[0].path, "p");
	assert_int_equal(x.entries[0].mode, S_IFREG | 0644);
	index_done(&x);
	assert_int_equal(index_part_read("thinark-index\0\2", 15, &x, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "version 2"));
}

static void test_paths(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} rows[] = {{"a", "a"}, {"./a//b/./c/", "a/b/c"}, {".", "."}, {"./", "."}, {"..a", "..a"},
		{"a..", "a.."}, {"...", "..."}, {"", NULL}, {"/", NULL}, {"/a", NULL}, {"..", NULL},
		{"a/..", NULL}, {"a/../b", NULL}, {"./..", NULL}, {"../", NULL}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *path = strdup(rows[i].in);
		bool is_good = tar_path_clean(path);

		assert_int_equal(is_good, rows[i].out != NULL);
		if (is_good)
			assert_string_equal(path, rows[i].out);
	}
}

static void test_select(void **state)
{
	char a[] = "a/b", c[] = "c";
	char *paths[] = {a, c};
	bool found[2] = {false, false};

	(void)state;
	assert_true(restore_selects(paths, 2, "a", true, found));
	assert_false(restore_selects(paths, 2, "a", false, found));
	assert_true(restore_selects(paths, 2, ".", true, found) == false);
	assert_false(restore_selects(paths, 2, "a/bc", false, found));
	assert_false(found[0] || found[1]);
	assert_true(restore_selects(paths, 2, "a/b/x", false, found));
	assert_true(found[0] && !found[1]);
	assert_true(restore_selects(NULL, 0, "x", false, NULL));
}

static void test_acl(void **state)
{
	static const struct {
		const char *text;
		size_t entries; /* 0: refused */
	} rows[] = {{"user::rw-,group::r--,other::---", 3},
		{"user::rwx\nuser:alice:r--:5\ngroup::r--\nmask::r--\nother::r--\n", 5},
		{"u::7", 0}, {"user::rw-,user:alice:r--", 0}, {"u::rw-,g::r--,m:r--,o:r--", 4},
		{"", 0}, {"other::", 0}, {"other", 0}, {"mask:5:r--", 0},
		{"user:4294967295:r--", 0}, {"user:4294967294:r--", 1}, {"what::r--", 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned char *raw = NULL;
		size_t len = 0;
		int rc = acl_from_text(rows[i].text, strlen(rows[i].text), &raw, &len);

		assert_int_equal(rc, rows[i].entries ? 0 : -EINVAL);
		assert_int_equal(len, rows[i].entries ? 4 + rows[i].entries * 8 : 0);
		free(raw);
	}
}

static void test_seal(void **state)
{
	AUTO_STRBUF text = {0};
	struct manifest_facts facts;
	struct err e = {0};
	char zeros[65], one[65];

	(void)state;
	memset(zeros, '0', 64);
	memset(one, '1', 64);
	zeros[64] = one[64] = '\0';
	strbuf_printf(&text,
		"{\n  \"format\": \"thinark-manifest\", \"version\": 1, \"complete\": true,\n"
		"  \"archive\": {\"sha256\": \"%s\", \"index_sha256\": \"%s\", \"bytes\": 1, "
		"\"tar_bytes\": 2},\n  \"counts\": {\"entries\": 3, \"files\": 1, \"dirs\": 1, "
		"\"symlinks\": 0, \"hardlinks\": 0, \"devices\": 0, \"fifos\": 1, "
		"\"content_bytes\": 9}\n}\n",
		zeros, one);
	size_t plain = text.len;
	assert_int_equal(manifest_covered(&text), plain - 3);
	assert_int_equal(manifest_read(text.data, text.len, "m", &facts, &e), 0);
	assert_int_equal(facts.covered, 0);
	assert_int_equal(manifest_seal(&text, one, &e), 0);
	assert_int_equal(manifest_read(text.data, text.len, "m", &facts, &e), 0);
	assert_int_equal(facts.covered, plain - 3);
	assert_string_equal(facts.seal, one);
	assert_string_equal(facts.sha256, zeros);
	assert_true(facts.is_complete && facts.entries == 3 && facts.tar_bytes == 2);
	text.data[text.len - 1] = ' ';
	assert_int_equal(manifest_read(text.data, text.len, "m", &facts, &e), 0);
	assert_int_equal(facts.covered, 0);
	assert_int_equal(manifest_read("{}", 2, "m", &facts, &e), -EBADMSG);
	assert_int_equal(e.kind, ERR_DAMAGED);
}

static void test_below(void **state)
{
	char top[] = "/tmp/thinark-below-XXXXXX", path[300];
	const char *name;
	struct below b;

	(void)state;
	assert_non_null(mkdtemp(top));
	AUTO_CLOSE int root = open(top, O_RDONLY | O_DIRECTORY);
	below_init(&b, root);
	/* Deeper than the folders kept open, and back. */
	for (size_t i = 0; i < 70; i++)
		memcpy(path + 2 * i, i == 69 ? "f" : "d/", 2);
	path[139] = '\0';
	int fd = below_parent(&b, path, true, &name);
	assert_true(fd >= 0);
	assert_string_equal(name, "f");
	assert_int_equal(mkdirat(fd, name, 0700), 0);
	assert_true(below_parent(&b, path, false, &name) == fd);
	assert_true(below_parent(&b, "d/d/x", false, &name) >= 0);
	fd = below_parent(&b, path, false, &name);
	assert_int_equal(faccessat(fd, "f", F_OK, 0), 0);
	assert_int_equal(below_parent(&b, "e/x", false, &name), -ENOENT);
	assert_int_equal(symlinkat("d", root, "s"), 0);
	assert_int_equal(below_parent(&b, "s/x", true, &name), -ENOTDIR);
	assert_int_equal(below_parent(&b, "s/d/x", true, &name), -ENOTDIR);
	int link = below_open(&b, "s", 0);
	assert_true(link >= 0);
	(void)close(link);
	assert_int_equal(below_parent(&b, ".", false, &name), root);
	below_done(&b);
	(void)snprintf(path, sizeof(path), "rm -rf -- %s", top);
	assert_int_equal(system(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_index_of_one),
		cmocka_unit_test(test_index_later),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_acl),
		cmocka_unit_test(test_seal),
		cmocka_unit_test(test_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
