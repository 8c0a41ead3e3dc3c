/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container may leave in its tree, and a stranger in an engine's folder: each case ends as a
 * whole archive, as one entry of the trouble list, or as an error that names the place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "clock.h"
#include "dest.h"
#include "frames.h"
#include "pack.h"
#include "scope.h"
#include "store.h"
#include "walk.h"

#define CASES_MIN 60
#define ENTRIES 100000u
#define LINKS 65000u

static unsigned cases;
static ino_t bad_file; /* pread of it fails; 0: none */

/* The linker's --wrap. */
ssize_t __real_pread64(int fd, void *buf, size_t len, off_t at);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t at);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t at)
{
	struct stat st;

	if (bad_file && fstat(fd, &st) == 0 && st.st_ino == bad_file) {
		errno = EIO;
		return -1;
	}
	return __real_pread64(fd, buf, len, at);
}

struct tree {
	char root[64];
	int fd;
	struct trouble trouble;
	struct pack_counts counts;
	uint64_t bytes;
	struct err e;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int setup(void **state)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return -1;
	/* A tmpfs: it takes files of petabytes, and names of any bytes. */
	(void)strcpy(t->root, "/dev/shm/thinark-hostile-XXXXXX");
	*state = t;
	if (!mkdtemp(t->root))
		return -1;
	t->fd = open(t->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return t->fd < 0 ? -1 : 0;
}

static void forget(struct tree *t)
{
	trouble_done(&t->trouble);
	t->trouble = (struct trouble){0};
}

static int teardown(void **state)
{
	struct tree *t = *state;

	bad_file = 0;
	forget(t);
	(void)close(t->fd);
	(void)nftw(t->root, remove_one, 64, FTW_DEPTH | FTW_PHYS);
	free(t);
	return 0;
}

static int count_bytes(void *state, const void *data, size_t len, struct err *e)
{
	(void)data;
	(void)e;
	*(uint64_t *)state += len;
	return 0;
}

/* Archives the tree; troubles must be as many, the first about path. */
static void archive(struct tree *t, uint64_t entries, uint64_t troubles, const char *path)
{
	struct sink sink = {count_bytes, &t->bytes};
	const struct walk_options o = {0};
	struct frames *f = NULL;
	struct pack *p = NULL;

	forget(t);
	t->bytes = 0;
	assert_int_equal(frames_new(&sink, 1, &f, &t->e), 0);
	assert_int_equal(pack_new(f, &p, &t->e), 0);
	int r = walk_tree(t->fd, &o, p, &t->trouble, &t->e);
	if (r == 0)
		r = pack_finish(p, &t->e);
	if (r == 0)
		r = frames_finish(f, &t->e);
	t->counts = *pack_counts(p);
	pack_free(p);
	frames_free(f);
	if (r < 0)
		fail_msg("%s", t->e.text);
	if (t->trouble.count != troubles)
		fail_msg("%llu troubles, first: %s: %s", (unsigned long long)t->trouble.count,
			t->trouble.count ? t->trouble.items[0].path : "-",
			t->trouble.count ? t->trouble.items[0].what : "-");
	if (troubles)
		assert_string_equal(t->trouble.items[0].path, path);
	assert_int_equal(t->counts.entries, entries);
	cases++;
}

static void make(const struct tree *t, const char *name, const char *text)
{
	AUTO_CLOSE int fd = openat(t->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void test_names(void **state)
{
	static const char *const names[] = {"new\nline", "\033[2J\033]0;title\007", "\r", "\t", " ",
		"-rf", "...", "..x", "\\", "%s%n", "a\xff\xfe", "\xed\xa0\x80", "\xe2\x80\xae",
		"\x7f", "\xc2\x9b", "a=b%", "$(reboot)", "`id`", "'\"", "*",
		"con:", "\xf4\x90\x80\x80"};
	struct tree *t = *state;
	char all[256], longest[256];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		make(t, names[i], "x");
		archive(t, 2, 0, NULL);
		assert_int_equal(t->counts.files, 1);
		assert_int_equal(unlinkat(t->fd, names[i], 0), 0);
	}
	for (int c = 1, n = 0; c < 256; c++)
		if (c != '/') {
			all[n++] = (char)c;
			all[n] = '\0';
		}
	make(t, all, "x");
	memset(longest, 'l', 255);
	longest[255] = '\0';
	make(t, longest, "x");
	archive(t, 3, 0, NULL);
}

static void test_many(void **state)
{
	struct tree *t = *state;
	struct rusage usage;
	char name[32];

	for (unsigned i = 0; i < ENTRIES; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(mknodat(t->fd, name, S_IFREG | 0600, 0), 0);
	}
	archive(t, ENTRIES + 1, 0, NULL);
	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	(void)printf(
		"%u entries in one folder: %ld MiB at most\n", ENTRIES, usage.ru_maxrss / 1024);
}

static void test_links(void **state)
{
	struct tree *t = *state;
	char name[32];

	make(t, "0", "x");
	for (unsigned i = 1; i < LINKS; i++) {
		(void)snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(linkat(t->fd, "0", t->fd, name, 0), 0);
	}
	archive(t, LINKS + 1, 0, NULL);
	assert_int_equal(t->counts.hardlinks, LINKS - 1);
}

static void test_sizes(void **state)
{
	static const off_t sizes[] = {(off_t)1 << 40, (off_t)1 << 50, (off_t)3 << 50};
	struct tree *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		const uint64_t start = clock_ns();
		make(t, "huge", "x");
		AUTO_CLOSE int fd = openat(t->fd, "huge", O_WRONLY | O_CLOEXEC);
		assert_int_equal(ftruncate(fd, sizes[i]), 0);
		assert_int_equal(pwrite(fd, "y", 1, sizes[i] / 2 + 1), 1);
		archive(t, 2, 0, NULL);
		assert_true(t->bytes < 1 << 20);
		/* At the speed of memory a petabyte would take a day. */
		assert_true(clock_ns() - start < 60000000000u);
		assert_int_equal(unlinkat(t->fd, "huge", 0), 0);
	}
}

static void test_special(void **state)
{
	struct tree *t = *state;
	struct sockaddr_un name = {.sun_family = AF_UNIX};

	assert_int_equal(mkfifoat(t->fd, "fifo", 0600), 0);
	archive(t, 2, 0, NULL);
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(name.sun_path, sizeof(name.sun_path), "%s/sock", t->root);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	archive(t, 2, 0, NULL);
	assert_int_equal(t->counts.sockets_skipped, 1);
	/* Links lead anywhere: none is followed. */
	assert_int_equal(symlinkat("/dev/zero", t->fd, "zero"), 0);
	assert_int_equal(symlinkat("loop", t->fd, "loop"), 0);
	assert_int_equal(symlinkat("..", t->fd, "up"), 0);
	archive(t, 5, 0, NULL);
	assert_int_equal(t->counts.symlinks, 3);
	if (geteuid() != 0)
		return;
	/* Opening these would rewind a tape or hang. */
	assert_int_equal(mknodat(t->fd, "tape", S_IFCHR | 0600, 9 << 8), 0);
	assert_int_equal(mknodat(t->fd, "disk", S_IFBLK | 0600, 254 << 8), 0);
	archive(t, 7, 0, NULL);
	assert_int_equal(t->counts.devices, 2);
}

static void test_unreadable(void **state)
{
	struct tree *t = *state;
	struct stat st;

	make(t, "a", "first");
	make(t, "bad", "some text");
	make(t, "c", "last");
	assert_int_equal(fstatat(t->fd, "bad", &st, 0), 0);
	bad_file = st.st_ino;
	archive(t, 4, 1, "bad");
	assert_int_equal(t->trouble.items[0].error, EIO);
	bad_file = 0;
	archive(t, 4, 0, NULL);
}

static void test_xattrs(void **state)
{
	static char value[65536];
	struct tree *t = *state;
	char name[16];

	memset(value, 'v', sizeof(value));
	make(t, "x", "x");
	AUTO_CLOSE int fd = openat(t->fd, "x", O_RDONLY | O_CLOEXEC);
	/* Where the file system or a missing right refuses them there is nothing to be tried. */
	if (fsetxattr(fd, "trusted.big", value, sizeof(value), 0) < 0)
		return;
	archive(t, 2, 0, NULL);
	for (int i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "trusted.=%%%d", i);
		assert_int_equal(fsetxattr(fd, name, value, 100, 0), 0);
	}
	archive(t, 2, 0, NULL);
}

/* Makes a chain of folders by descriptors. */
static void chain(const struct tree *t, unsigned levels, size_t len)
{
	char part[256];
	int at = dup(t->fd);

	memset(part, 'd', len);
	part[len] = '\0';
	for (unsigned i = 0; i < levels; i++) {
		assert_int_equal(mkdirat(at, part, 0700), 0);
		int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)close(at);
		at = next;
		assert_true(at >= 0);
	}
	(void)close(at);
}

static void unchain(const struct tree *t)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s/d*", t->root);
	assert_int_equal(system(command), 0);
}

static void test_deep(void **state)
{
	struct tree *t = *state;

	chain(t, 40, 250); /* a path of 10,000 bytes */
	archive(t, 41, 0, NULL);
	unchain(t);
	chain(t, WALK_DEPTH_MAX + 10, 1);
	char path[2 * WALK_DEPTH_MAX];
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'd';
	path[sizeof(path) - 1] = '\0';
	archive(t, WALK_DEPTH_MAX + 1, 1, path);
	unchain(t);
}

/* The destination's folder: what others left there is neither listed nor removed. */
static void test_dest(void **state)
{
	struct tree *t = *state;
	struct cfg_dest cfg = {.name = (char *)"d", .type = (char *)"directory", .path = t->root};
	static const char *const names[] = {".x.part-0123456789abcdeg", ".x.part-0123",
		"x.part-0123456789abcdef", ".part", "x.json", "y.tar.zst", ".z.json", "\n.json",
		".-", "-"};
	struct dest_list list;
	struct dest_writer *w = NULL;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		make(t, names[i], "{}");
		assert_int_equal(dest_directory.sweep(&cfg, &t->e), 0);
		assert_int_equal(dest_directory.list(&cfg, &list, &t->e), 0);
		assert_int_equal(list.count, 0);
		dest_list_done(&list);
		assert_int_equal(faccessat(t->fd, names[i], F_OK, 0), 0);
		cases++;
	}
	/* A folder that is a link out, and a name that is one. */
	assert_int_equal(symlinkat("/tmp", t->fd, "web"), 0);
	assert_true(dest_directory.begin(&cfg, "web/a", &w, &t->e) < 0);
	assert_non_null(strstr(t->e.text, "web"));
	assert_int_equal(symlinkat("/etc/passwd", t->fd, "v.tar.zst"), 0);
	assert_int_equal(dest_directory.begin(&cfg, "v", &w, &t->e), -EEXIST);
	assert_int_equal(mkfifoat(t->fd, "q.json", 0600), 0);
	make(t, "q.tar.zst", "");
	assert_int_equal(dest_directory.list(&cfg, &list, &t->e), 0);
	assert_int_equal(list.count, 0);
	dest_list_done(&list);
	cases += 3;
}

/* Docker's files: the store lists the container with a problem that names the file. */
static void test_store(void **state)
{
	static const struct {
		const char *config, *record;
	} files[] = {{"{\"Driver\":\"devicemapper\"", NULL}, {"[]", NULL}, {"{\"Driver\":7}", NULL},
		{"", NULL}, {"\xff\xfe", NULL}, {"{}{}", NULL}, {"null", NULL},
		{NULL, "{\"device_id\":16777216,\"size\":512}"},
		{NULL, "{\"device_id\":-1,\"size\":512}"},
		{NULL, "{\"device_id\":1e3,\"size\":512}"}, {NULL, "{\"device_id\":1,\"size\":1}"},
		{NULL, "{\"device_id\":1,\"size\":18446744073709551616}"},
		{NULL, "{\"device_id\":\"1\"}"}, {NULL, "{\"device_id\":1,\"size\":512"},
		{NULL, "{}"}, {NULL, "[[[["}};
	static const char id[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct tree *t = *state;
	struct cfg_store cfg = {.name = (char *)"s", .type = (char *)"docker", .root = t->root};
	char config[160], record[160], good[160];

	assert_int_equal(mkdirat(t->fd, "containers", 0700), 0);
	assert_int_equal(mkdirat(t->fd, "devicemapper", 0700), 0);
	assert_int_equal(mkdirat(t->fd, "devicemapper/metadata", 0700), 0);
	(void)snprintf(config, sizeof(config), "containers/%s", id);
	assert_int_equal(mkdirat(t->fd, config, 0700), 0);
	(void)snprintf(config, sizeof(config), "containers/%s/config.v2.json", id);
	(void)snprintf(record, sizeof(record), "devicemapper/metadata/%s", id);
	(void)snprintf(good, sizeof(good), "{\"ID\":\"%s\",\"Driver\":\"devicemapper\"}", id);
	for (size_t i = 0; i < ARRAY_LEN(files) + 2; i++) {
		struct container_list list = {0};
		AUTO_STRBUF notes = {0};
		const bool is_link = i >= ARRAY_LEN(files);
		const char *at =
			i == ARRAY_LEN(files) || (!is_link && files[i].config) ? config : record;

		make(t, config, !is_link && files[i].config ? files[i].config : good);
		make(t, record,
			!is_link && files[i].record ? files[i].record
						    : "{\"device_id\":1,\"size\":512}");
		if (is_link) {
			assert_int_equal(unlinkat(t->fd, at, 0), 0);
			assert_int_equal(symlinkat("/etc/passwd", t->fd, at), 0);
		}
		assert_int_equal(store_docker.list(&cfg, &list, &notes, &t->e), 0);
		assert_int_equal(list.count, 1);
		if (!list.items[0].problem || !strstr(list.items[0].problem, at))
			fail_msg("case %zu: '%s' does not name %s", i, list.items[0].problem, at);
		container_list_done(&list);
		assert_int_equal(unlinkat(t->fd, config, 0), 0);
		assert_int_equal(unlinkat(t->fd, record, 0), 0);
		cases++;
	}
}

static void test_floor(void **state)
{
	(void)state;
	(void)printf("%u hostile cases\n", cases);
	assert_true(cases >= CASES_MIN);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	(void)setlocale(LC_CTYPE, "C.UTF-8"); /* as the program does */
	const struct CMUnitTest tests[] = {CASE(test_names), CASE(test_many), CASE(test_links),
		CASE(test_sizes), CASE(test_special), CASE(test_unreadable), CASE(test_xattrs),
		CASE(test_deep), CASE(test_dest), CASE(test_store), cmocka_unit_test(test_floor)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
