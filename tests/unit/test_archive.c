/* SPDX-License-Identifier: Apache-2.0 */
/* A nasty tree through walk -> pack -> frames, restored by GNU tar and bsdtar and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frames.h"
#include "pack.h"
#include "scope.h"
#include "walk.h"

static char top[64]; /* the test's folder */

struct out {
	int fd;
	uint64_t left; /* bytes until ENOSPC */
};

static int out_write(void *state, const void *data, size_t len, struct err *e)
{
	struct out *o = state;

	if (len > o->left)
		return err_sys(e, ERR_DEST, -ENOSPC, "out");
	o->left -= len;
	if (o->fd >= 0)
		assert_int_equal(write(o->fd, data, len), (ssize_t)len);
	return 0;
}

static int sh(const char *script)
{
	char *cmd = NULL;

	assert_true(asprintf(&cmd, "cd %s && { %s\n}", top, script) > 0);
	int rc = system(cmd);
	free(cmd);
	return rc;
}

static const char build[] =
	"set -e; mkdir src; cd src; echo hi > plain; : > empty; chmod 4755 plain\n"
	"head -c 8388608 /dev/urandom > big\n"
	"truncate -s 3M hole-head; printf x | dd of=hole-head bs=1 seek=2097152 conv=notrunc "
	"status=none\n"
	"truncate -s 4M hole-mid; printf x | dd of=hole-mid conv=notrunc status=none\n"
	"printf y | dd of=hole-mid bs=1 seek=4194303 conv=notrunc status=none\n"
	"printf x > hole-tail; truncate -s 5M hole-tail; truncate -s 1M hole-all\n"
	"cp --sparse=always hole-mid $(head -c 200 /dev/zero | tr '\\0' n)\n"
	"cp --sparse=always hole-mid $(printf 'sp\\303\\274rlich')\n"
	"ln plain hard1; mkdir d; ln plain d/hard2; ln -s plain sym; ln -s /no/where dangling\n"
	"ln -s $(head -c 4000 /dev/zero | tr '\\0' a) longlink; ln sym symhard\n"
	"mkfifo fifo; mknod chr c 1 3; mknod blk b 259 70000; mkdir -m 1777 sticky\n"
	"setfattr -n user.a -v 0x0001ff plain; setfattr -n trusted.t -v tt d\n"
	"setfattr -n user.empty plain; setfattr -h -n trusted.l -v v dangling\n"
	"setcap cap_net_raw+ep big; echo acl > acl; setfacl -m u:1234:rw,g:77:r acl\n"
	"mkdir acld; setfacl -m u:1234:rwx,d:u:99:r acld\n"
	"touch -- -dash; touch \"$(printf 'new\\nline')\" \"$(printf 'utf\\303\\2748')\" "
	"\"$(printf 'bad\\377x')\" \"$(printf 'sur\\355\\240\\201\\355\\260\\200')\"\n"
	"ln \"$(printf 'bad\\377x')\" \"$(printf 'zbad\\376link')\"\n"
	"touch $(head -c 255 /dev/zero | tr '\\0' L); chown 70000:5000000 empty\n"
	"touch -d '2001-02-03 04:05:06.123456789' empty; touch -d '1960-01-01' d/old; touch -hd "
	"'2005-01-01 00:00:00.5' sym; touch -d '1960-01-02 03:04:05.25' d/older; sync\n";

/* A chain of folders, made by descriptors: its path may be longer than PATH_MAX. */
static void make_deep(const char *name, unsigned levels, size_t len)
{
	char part[256];
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", top, name) > 0);
	AUTO_CLOSE int at = -1;
	(void)mkdir(path, 0755);
	at = open(path, O_RDONLY | O_DIRECTORY);
	free(path);
	memset(part, 'p', len);
	part[len] = '\0';
	for (unsigned i = 0; i < levels; i++) {
		assert_int_equal(mkdirat(at, part, 0755), 0);
		int next = openat(at, part, O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		(void)close(at);
		at = next;
	}
	int fd = openat(at, "leaf", O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, "leaf", 4), 4);
	(void)close(fd);
}

static int setup(void **state)
{
	(void)state;
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)snprintf(top, sizeof(top), "/var/tmp/thinark-test-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	if (geteuid() != 0)
		return 0;
	if (sh(build) != 0 ||
		sh("cd src; perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local=>\"sock\","
		   "Listen=>1) or die'") != 0)
		return -1;
	make_deep("src/deep", 18, 200); /* the tars cannot extract beyond PATH_MAX */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return sh("rm -rf -- \"$PWD\"");
}

struct run {
	struct pack_counts counts;
	struct trouble trouble;
	struct err e;
	uint64_t bytes;
	char sha[65];
};

static int archive(const char *src, const char *to, uint64_t space,
	const struct cfg_strings *exclude, struct run *r)
{
	struct out o = {.fd = -1, .left = space};
	struct sink sink = {out_write, &o};
	struct walk_options options = {.exclude = exclude};
	struct frames *f = NULL;
	struct pack *p = NULL;
	char path[512];

	*r = (struct run){0};
	(void)snprintf(path, sizeof(path), "%s/%s", top, src);
	AUTO_CLOSE int root = open(path, O_RDONLY | O_DIRECTORY);
	(void)snprintf(path, sizeof(path), "%s/%s", top, to ? to : "");
	if (to)
		o.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(frames_new(&sink, 1, &f, &r->e), 0);
	assert_int_equal(pack_new(f, &p, &r->e), 0);
	int rc = walk_tree(root, &options, p, &r->trouble, &r->e);
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
	if (o.fd >= 0)
		(void)close(o.fd);
	return rc;
}

/* One line for each entry with all that must come back; run inside a tree. */
#define LISTING                                                                                    \
	"{ find . -not -type s -not -type d -printf '%p %y %m %U %G %s %T@ %n %l\\0'; find . "     \
	"-type d "                                                                                 \
	"-printf '%p %y %m %U %G %T@\\0'; } | LC_ALL=C sort -z; find . -type c -o -type b | "      \
	"LC_ALL=C sort | xargs stat -c '%n %t %T'; find . -path ./deep -prune -o -type f -print0 " \
	"| "                                                                                       \
	"LC_ALL=C sort -z | xargs -0 sha256sum; LC_ALL=C; export LC_ALL; find . -path ./deep "     \
	"-prune "                                                                                  \
	"-o -not -type s -print0 | sort -z | xargs -0 getfattr -h -d -m - -e hex -- 2>/dev/null"

static void compare(const char *extract)
{
	char *cmd = NULL;

	assert_true(asprintf(&cmd,
			    "set -e; rm -rf out; mkdir out; %s\n"
			    "(cd src; %s) > want; (cd out; %s) > got; cmp -s want got || { diff -a "
			    "want got; exit 1; }\n"
			    "for f in hole-head hole-mid hole-tail hole-all sp*; do test $(stat -c "
			    "%%b out/$f) -le "
			    "64; done",
			    extract, LISTING, LISTING) > 0);
	int rc = sh(cmd);
	free(cmd);
	assert_int_equal(rc, 0);
}

static void test_restore(void **state)
{
	struct run a, b;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(archive("src", "a.tar.zst", UINT64_MAX, NULL, &a), 0);
	for (size_t i = 0; i < a.trouble.kept; i++)
		print_message("%s: %s: %s\n", a.trouble.items[i].path, a.trouble.items[i].what,
			strerror(a.trouble.items[i].error));
	assert_int_equal(a.trouble.count, 0);
	assert_true(a.counts.files >= 16 && a.counts.dirs >= 22 && a.counts.symlinks >= 3);
	assert_int_equal(a.counts.hardlinks, 4);
	assert_int_equal(a.counts.devices, 2);
	assert_int_equal(a.counts.fifos, 1);
	assert_int_equal(a.counts.sockets_skipped, 1);
	assert_true(a.counts.content_bytes > 8388608 + (13u << 20));
	assert_int_equal(archive("src", NULL, UINT64_MAX, NULL, &b), 0);
	assert_string_equal(a.sha, b.sha);
	assert_int_equal(sh("zstd -tq a.tar.zst"), 0);
	char sum[128];
	(void)snprintf(sum, sizeof(sum), "echo '%s  a.tar.zst' | sha256sum -c --quiet", a.sha);
	assert_int_equal(sh(sum), 0);
}

static void test_gnu_tar(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	compare("tar --zstd --xattrs --xattrs-include='*' --acls --numeric-owner -xpf a.tar.zst -C "
		"out");
}

static void test_bsdtar(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	/*
	 * It leaves the time of a "." that exists as it is, also in archives of its own; and it
	 * adds a fraction to negative seconds where pax has it subtracted.
	 */
	compare("LC_ALL=C.UTF-8 bsdtar --numeric-owner --acls --xattrs -xpf a.tar.zst -C out; "
		"test $(stat -c %.2Y out/d/older) = -315521753.25; "
		"touch -r src/d/older out/d/older; touch -r src/d out/d; touch -r src out");
}

static void test_no_space(void **state)
{
	struct run all, r;
	unsigned failed = 0;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(archive("src", NULL, UINT64_MAX, NULL, &all), 0);
	for (uint64_t n = 0; n < all.bytes; n += all.bytes / 24) {
		assert_true(archive("src", NULL, n, NULL, &r) < 0);
		assert_int_equal(r.e.kind, ERR_DEST);
		assert_int_equal(r.e.code, -ENOSPC);
		assert_int_equal(r.trouble.count, 0);
		failed++;
	}
	assert_true(archive("src", NULL, all.bytes - 1, NULL, &r) < 0);
	assert_int_equal(r.e.kind, ERR_DEST);
	assert_true(failed >= 24);
}

static void test_exclude(void **state)
{
	char p1[] = "d/**", p2[] = "hole*", p3[] = "deep", p4[] = "**/acl?";
	char *items[] = {p1, p2, p3, p4};
	struct cfg_strings x = {items, 4};
	struct run r;

	(void)state;
	assert_true(walk_excluded(&x, "d/a") && walk_excluded(&x, "d/a/b"));
	assert_false(walk_excluded(&x, "d"));
	assert_true(walk_excluded(&x, "hole-x"));
	assert_false(walk_excluded(&x, "hole-x/y"));
	assert_true(walk_excluded(&x, "acld") && walk_excluded(&x, "x/y/acl1"));
	assert_false(walk_excluded(&x, "x/yacl1"));
	if (geteuid() != 0)
		return;
	assert_int_equal(archive("src", "x.tar.zst", UINT64_MAX, &x, &r), 0);
	assert_int_equal(r.trouble.count, 0);
	assert_int_equal(r.counts.excluded, 9);
	assert_int_equal(sh("tar --zstd -tf x.tar.zst >x.list 2>/dev/null; grep -qx d/ x.list && "
			    "! grep -qE 'hole|deep|acld|d/h' x.list"),
		0);
}

static void test_depth(void **state)
{
	struct run r;

	(void)state;
	make_deep("depth", 1023, 1);
	assert_int_equal(archive("depth", NULL, UINT64_MAX, NULL, &r), 0);
	assert_int_equal(r.trouble.count, 0);
	assert_int_equal(r.counts.dirs, 1024);
	assert_int_equal(r.counts.files, 1);
	make_deep("deeper", 1030, 1);
	assert_int_equal(archive("deeper", NULL, UINT64_MAX, NULL, &r), 0);
	assert_int_equal(r.trouble.count, 1);
	assert_int_equal(r.trouble.items[0].error, ELOOP);
	assert_int_equal(r.counts.files, 0);
	trouble_done(&r.trouble);
}

static void test_long_path(void **state)
{
	struct run r;

	(void)state;
	make_deep("long", 24, 200);
	assert_int_equal(archive("long", "l.tar.zst", UINT64_MAX, NULL, &r), 0);
	assert_int_equal(r.trouble.count, 0);
	assert_int_equal(
		sh("test $(tar --zstd -tf l.tar.zst | awk '/leaf$/ {print length($0)}') -eq "
		   "$((24 * 201 + 4)) && bsdtar -tf l.tar.zst | awk '/leaf$/ {n = length($0)} "
		   "END {exit n != 24 * 201 + 4}'"),
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restore),
		cmocka_unit_test(test_gnu_tar),
		cmocka_unit_test(test_bsdtar),
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_exclude),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_long_path),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
