/* SPDX-License-Identifier: Apache-2.0 */
/* The threads of the archive stage: same bytes with any number of them, and a clean end always. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "frames.h"
#include "budget.h"
#include "pack.h"
#include "scope.h"
#include "stop.h"
#include "walk.h"

static char top[64];
static unsigned threads_before;

static int sh(const char *script)
{
	char *cmd = NULL;

	assert_true(asprintf(&cmd, "cd %s && { %s\n}", top, script) > 0);
	int rc = system(cmd);
	free(cmd);
	return rc;
}

/* Small files in many folders, large ones with and without holes, hard links far apart. */
static const char build[] =
	"set -e; cd src\n"
	"head -c 20000000 /dev/urandom > large; head -c 3000000 /dev/urandom > mid\n"
	"truncate -s 60M sparse; for i in 0 7 13 40 59; do\n"
	"dd if=/dev/urandom of=sparse bs=1M seek=$i count=1 conv=notrunc status=none; done\n"
	"truncate -s 40M hole; truncate -s 300K small-hole\n"
	"printf x | dd of=small-hole bs=1 seek=200000 conv=notrunc status=none\n"
	"mkdir cache nocache mark; echo x > cache/x; echo x > nocache/x; mkdir cache/sub\n"
	"printf 'Signature: 8a477f597d28d172789f06886806bc55\\nby hand' > cache/CACHEDIR.TAG\n"
	"printf 'Signature: none' > nocache/CACHEDIR.TAG; : > mark/.nobackup; echo x > mark/x\n";

static unsigned threads(void)
{
	AUTO_DIR DIR *d = opendir("/proc/self/task");
	unsigned count = 0;

	for (const struct dirent *x; d && (x = readdir(d));)
		count += x->d_name[0] != '.';
	return count;
}

static void put(const char *path, unsigned len)
{
	static const char data[65536] = "x";
	int fd = open(path, O_WRONLY | O_CREAT, 0644);

	assert_int_equal(write(fd, data, len), (ssize_t)len);
	(void)close(fd);
}

static void small_files(void)
{
	char path[256];

	for (unsigned d = 1; d <= 40; d++) {
		(void)snprintf(path, sizeof(path), "%s/src/d%u", top, d);
		assert_int_equal(mkdir(path, 0755), 0);
		(void)snprintf(path, sizeof(path), "%s/src/d%u/sub", top, d);
		assert_int_equal(mkdir(path, 0755), 0);
		for (unsigned f = 1; f <= 25; f++) {
			(void)snprintf(path, sizeof(path), "%s/src/d%u/f%u", top, d, f);
			put(path, f);
			(void)snprintf(path, sizeof(path), "%s/src/d%u/sub/z%u", top, d, f);
			put(path, d * f * 37);
		}
	}
}

static void hard_links(void)
{
	static const char *const links[][2] = {
		{"large", "zlarge"}, {"mid", "amid"}, {"d40/f1", "zz"}};
	char from[256], to[256];

	for (unsigned d = 1; d <= 40; d++)
		for (size_t i = 0; i < ARRAY_LEN(links); i++) {
			(void)snprintf(from, sizeof(from), "%s/src/%s", top, links[i][0]);
			(void)snprintf(to, sizeof(to), "%s/src/d%u/%s", top, d, links[i][1]);
			assert_int_equal(link(from, to), 0);
		}
}

static int setup(void **state)
{
	(void)state;
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)snprintf(top, sizeof(top), "/var/tmp/thinark-test-XXXXXX");
	if (!mkdtemp(top) || sh("mkdir src") != 0)
		return -1;
	small_files();
	if (sh(build) != 0)
		return -1;
	hard_links();
	/* The index says where the blocks are, which is not decided before. */
	if (sh("sync -f .") != 0)
		return -1;
	threads_before = threads();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return sh("rm -rf -- \"$PWD\"");
}

struct out {
	int fd;
	uint64_t left;
	unsigned delay_ms;
};

static int out_write(void *state, const void *data, size_t len, struct err *e)
{
	struct out *o = state;

	if (o->delay_ms)
		clock_sleep_ms(o->delay_ms);
	if (len > o->left)
		return err_sys(e, ERR_DEST, -ENOSPC, "out");
	o->left -= len;
	if (o->fd >= 0 && write(o->fd, data, len) != (ssize_t)len)
		return err_sys(e, ERR_DEST, -EIO, "out");
	return 0;
}

struct run {
	struct pack_counts counts;
	struct trouble trouble;
	struct err e;
	uint64_t bytes;
	char sha[65];
};

static int archive(const char *to, struct out out, const struct walk_options *o, unsigned workers,
	struct run *r)
{
	struct sink sink = {out_write, &out};
	struct frames *f = NULL;
	struct pack *p = NULL;
	char path[512];

	*r = (struct run){0};
	(void)snprintf(path, sizeof(path), "%s/src", top);
	AUTO_CLOSE int root = open(path, O_RDONLY | O_DIRECTORY);
	(void)snprintf(path, sizeof(path), "%s/%s", top, to ? to : "");
	out.fd = to ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
	assert_int_equal(frames_new(&sink, 1, &f, &r->e), 0);
	frames_limit(f, workers, o->memory);
	assert_int_equal(pack_new(f, &p, &r->e), 0);
	int rc = walk_tree(root, o, p, &r->trouble, &r->e);
	if (rc == 0)
		rc = pack_finish(p, &r->e);
	if (rc == 0)
		rc = frames_finish(f, &r->e);
	r->counts = *pack_counts(p);
	r->bytes = frames_bytes_out(f);
	if (rc == 0)
		frames_sha256(f, r->sha);
	pack_free(p);
	frames_free(f);
	if (out.fd >= 0)
		(void)close(out.fd);
	return rc;
}

static const struct out anywhere = {.left = UINT64_MAX};

static void test_same_bytes(void **state)
{
	static const struct {
		unsigned readers, workers;
		size_t memory;
	} ways[] = {{1, 1, MEMORY_MIN}, {2, 4, 0}, {16, 2, 0}, {16, 1, 512u << 20}, {40, 16, 0},
		{16, 3, 1u << 20}};
	struct run first, r;
	struct walk_options o = {0};
	unsigned count = 0;

	(void)state;
	assert_int_equal(archive("a.tar.zst", anywhere, &o, 0, &first), 0);
	assert_int_equal(first.trouble.count, 0);
	assert_int_equal(first.counts.hardlinks, 120);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		o.readers = ways[i].readers;
		o.memory = ways[i].memory;
		assert_int_equal(archive(NULL, anywhere, &o, ways[i].workers, &r), 0);
		assert_string_equal(r.sha, first.sha);
		assert_int_equal(threads(), threads_before);
		count++;
	}
	print_message("%u ways of reading and compressing\n", count);
	assert_true(count >= 6);
	assert_int_equal(sh("zstd -tq a.tar.zst && mkdir out && tar --zstd -xf a.tar.zst -C out && "
			    "diff -r src out && test $(stat -c %b out/sparse) -le 10300 && "
			    "test out/large -ef out/d7/zlarge"),
		0);
}

/* With few descriptors the ring is shorter, that is all. */
static void test_few_files(void **state)
{
	struct rlimit old, few;
	struct run all, r;
	struct walk_options o = {0};

	(void)state;
	assert_int_equal(archive(NULL, anywhere, &o, 1, &all), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = 320;
	if (geteuid() == 0)
		few.rlim_max = 320;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(archive(NULL, anywhere, &o, 2, &r), 0);
	(void)setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(r.trouble.count, 0);
	assert_string_equal(r.sha, all.sha);
}

static void test_errors_stop_all(void **state)
{
	struct run all, r;
	const struct walk_options o = {0};
	unsigned failed = 0;

	(void)state;
	assert_int_equal(archive(NULL, anywhere, &o, 2, &all), 0);
	for (uint64_t n = 0; n < all.bytes; n += all.bytes / 16 + 1) {
		struct out out = {.left = n, .delay_ms = 2};

		assert_int_equal(archive(NULL, out, &o, 3, &r), -ENOSPC);
		assert_int_equal(r.e.kind, ERR_DEST);
		assert_int_equal(threads(), threads_before);
		failed++;
	}
	print_message("%u places to fail\n", failed);
	assert_true(failed >= 16);
}

static void *cancel(void *arg)
{
	(void)arg;
	clock_sleep_ms(40);
	(void)kill(getpid(), SIGTERM);
	return NULL;
}

/* A destination that hangs for long, and somebody who does not want to wait for it. */
static void test_signal_stops_all(void **state)
{
	const struct walk_options o = {0};
	struct out slow = {.left = UINT64_MAX, .delay_ms = 100};
	sigset_t all, before;
	pthread_t t;
	struct run r;

	(void)state;
	stop_init();
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	assert_int_equal(pthread_create(&t, NULL, cancel, NULL), 0);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	const uint64_t begin = clock_ns();
	assert_int_equal(archive(NULL, slow, &o, 1, &r), -ECANCELED);
	assert_true(clock_ns() - begin < 5000000000u);
	assert_int_equal(r.e.kind, ERR_INTERRUPTED);
	(void)pthread_join(t, NULL);
	assert_int_equal(threads(), threads_before);
}

static void test_tags(void **state)
{
	char mark[] = ".nobackup";
	char *items[] = {mark};
	const struct cfg_strings marks = {items, 1};
	struct walk_options o = {.exclude_caches = true};
	struct run r;

	(void)state;
	assert_int_equal(archive("c.tar.zst", anywhere, &o, 1, &r), 0);
	assert_int_equal(r.counts.excluded, 1);
	assert_int_equal(sh("tar --zstd -tf c.tar.zst > c; ! grep -q '^cache' c && "
			    "grep -qx nocache/x c && grep -qx mark/x c"),
		0);
	o = (struct walk_options){.exclude_if_present = &marks};
	assert_int_equal(archive("c.tar.zst", anywhere, &o, 1, &r), 0);
	assert_int_equal(r.counts.excluded, 1);
	assert_int_equal(sh("tar --zstd -tf c.tar.zst > c; ! grep -q '^mark' c && "
			    "grep -qx cache/x c"),
		0);
}

/* The disk of a container that is smaller than it says, and what cannot be opened at all. */
static void test_unreadable(void **state)
{
	const struct walk_options o = {0};
	struct run r;

	(void)state;
	if (geteuid() == 0) {
		assert_int_equal(sh("cd src; mkdir m; mount -t tmpfs none m"), 0);
		assert_int_equal(archive(NULL, anywhere, &o, 2, &r), 0);
		assert_int_equal(sh("cd src; umount m; rmdir m"), 0);
		assert_int_equal(r.trouble.items[0].error, EXDEV);
	} else {
		assert_int_equal(sh("cd src; chmod 0 d3/f3"), 0);
		assert_int_equal(archive(NULL, anywhere, &o, 2, &r), 0);
		assert_int_equal(sh("cd src; chmod 644 d3/f3"), 0);
		assert_int_equal(r.trouble.items[0].error, EACCES);
	}
	assert_int_equal(r.trouble.count, 1);
	trouble_done(&r.trouble);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_bytes),
		cmocka_unit_test(test_few_files),
		cmocka_unit_test(test_errors_stop_all),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_signal_stops_all),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
