/* SPDX-License-Identifier: Apache-2.0 */
/* What every destination promises, checked on the folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "dest.h"
#include "file.h"
#include "scope.h"

static char dir[] = "/tmp/thinark-dest-XXXXXX";
static const struct cfg_dest cfg = {.path = dir};
static const struct dest_ops *const ops = &dest_directory;

static int sh(const char *script)
{
	char *cmd = NULL;

	assert_true(asprintf(&cmd, "cd %s && { %s\n}", dir, script) > 0);
	int rc = system(cmd);
	free(cmd);
	return rc;
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/thinark-dest-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	/* The ledger, hidden, since it is no part of the destination. */
	char *ledger = NULL;
	int rc = asprintf(&ledger, "%s.state", dir) < 0 ? -1
							: setenv("THINARK_STATE_DIR", ledger, 1);
	free(ledger);
	return rc;
}

static int teardown(void **state)
{
	(void)state;
	return sh("rm -rf -- \"$PWD\" \"$PWD.state\"");
}

static struct dest_writer *start(const char *name)
{
	struct dest_writer *w = NULL;
	struct err e = {0};

	assert_int_equal(ops->begin(&cfg, name, &w, &e), 0);
	struct sink *s = ops->sink(w);
	assert_int_equal(s->write(s->state, "data", 4, &e), 0);
	return w;
}

static void finish(const char *name)
{
	struct dest_writer *w = start(name);
	struct err e = {0};

	assert_int_equal(ops->seal(w, "{}\n", 3, &e), 0);
	assert_int_equal(ops->abort(w, &e), 0);
}

static size_t listed(void)
{
	struct dest_list l;
	struct err e = {0};

	assert_int_equal(ops->list(&cfg, &l, &e), 0);
	size_t n = l.count;
	dest_list_done(&l);
	return n;
}

static void test_seal(void **state)
{
	struct dest_writer *w = start("web/2026/a");
	struct dest_list l;
	struct err e = {0};

	(void)state;
	assert_int_equal(listed(), 0);
	assert_int_equal(sh("! find . -name '[!.]*' -type f | grep -q ."), 0);
	assert_int_equal(ops->seal(w, "{}\n", 3, &e), 0);
	assert_int_equal(ops->abort(w, &e), 0);
	finish("b");
	finish("web/2026.x");
	assert_int_equal(ops->list(&cfg, &l, &e), 0);
	assert_int_equal(l.count, 3);
	assert_string_equal(l.items[0].name, "b");
	assert_string_equal(l.items[1].name, "web/2026.x");
	assert_string_equal(l.items[2].name, "web/2026/a");
	assert_string_equal(l.items[2].manifest, "{}\n");
	assert_int_equal(l.items[2].file_bytes, 4);
	dest_list_done(&l);
	assert_int_equal(sh("test $(find . -type f -perm 600 | wc -l) = 6"), 0);
	assert_int_equal(sh("! find . -type d -path './?*' -not -perm 700 | grep -q ."), 0);
}

static void test_abort(void **state)
{
	struct err e = {0};

	(void)state;
	assert_int_equal(sh("mkdir old"), 0);
	assert_int_equal(ops->abort(start("old/new/newer/a"), &e), 0);
	assert_int_equal(sh("test \"$(find .)\" = \".\n./old\""), 0);
	assert_int_equal(ops->abort(start("old/a"), &e), 0);
	assert_int_equal(sh("test \"$(find .)\" = \".\n./old\""), 0);
}

static void test_exists(void **state)
{
	struct dest_writer *w = NULL;
	struct err e = {0};

	(void)state;
	finish("a");
	assert_int_equal(ops->begin(&cfg, "a", &w, &e), -EEXIST);
	assert_int_equal(e.kind, ERR_DEST);
	/* Two at once: the second to seal loses and leaves the first alone. */
	struct dest_writer *x = start("b"), *y = start("b");
	assert_int_equal(ops->seal(x, "1", 1, &e), 0);
	assert_int_equal(ops->seal(y, "2", 1, &e), -EEXIST);
	assert_int_equal(ops->abort(x, &e), 0);
	assert_int_equal(ops->abort(y, &e), 0);
	assert_int_equal(sh("test $(cat b.json) = 1 && test $(ls -A | wc -l) = 4"), 0);
}

/* Whoever takes a final name between our look at it and our rename keeps it. */
static void test_rename(void **state)
{
	AUTO_CLOSE int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(
		sh("echo old >taken; echo new >part; ln -s nowhere link; mkdir folder"), 0);
	assert_int_equal(file_rename_new(at, "part", "taken"), -EEXIST);
	assert_int_equal(file_rename_new(at, "part", "link"), -EEXIST);
	assert_int_equal(file_rename_new(at, "part", "folder"), -EEXIST);
	assert_int_equal(sh("test $(cat taken) = old && test $(cat part) = new"), 0);
	assert_int_equal(file_rename_new(at, "part", "free"), 0);
	assert_int_equal(sh("test $(cat free) = new && test ! -e part"), 0);
}

static void test_manifest_fails(void **state)
{
	struct dest_writer *w = start("f/a");
	struct err e = {0};

	(void)state;
	assert_int_equal(sh("mkdir f/a.json"), 0);
	assert_int_equal(ops->seal(w, "{}", 2, &e), -EEXIST);
	assert_int_equal(ops->abort(w, &e), 0);
	assert_int_equal(sh("test \"$(ls -A f)\" = a.json"), 0);
	assert_int_equal(listed(), 0);
}

static void test_hostile(void **state)
{
	static const char *const bad[] = {"", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.b"};
	struct dest_writer *w = NULL;
	struct err e = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(ops->begin(&cfg, bad[i], &w, &e), -EINVAL);
	assert_int_equal(sh("mkdir x; ln -s x link; : > orphan.tar.zst; : > lone.json"), 0);
	assert_true(ops->begin(&cfg, "link/a", &w, &e) < 0);
	finish("x/a");
	assert_int_equal(listed(), 1);
	assert_int_equal(sh("truncate -s 65M x/a.json"), 0);
	struct dest_list l;
	assert_int_equal(ops->list(&cfg, &l, &e), 0);
	assert_null(l.items[0].manifest);
	assert_non_null(l.items[0].problem);
	dest_list_done(&l);
}

static void test_sweep(void **state)
{
	struct err e = {0};

	(void)state;
	finish("x/a");
	char tag[17];
	assert_int_equal(file_tag(tag, &e), 0);
	assert_int_equal(setenv("tag", tag, 1), 0);
	assert_int_equal(
		sh(": >x/.b.tar.zst.part-$tag; : >.c.json.part-$tag; : >.e.part-$tag; "
		   ": >.c.part-short; : >.keep; : >d.part-$tag; : >.c.part-ffffffffffffffff"),
		0);
	assert_int_equal(ops->sweep(&cfg, &e), 3);
	assert_int_equal(ops->sweep(&cfg, &e), 0);
	/* Another host's and those of no host are left alone. */
	assert_int_equal(sh("test $(find . -type f | wc -l) = 6"), 0);
	/* Killed between the two names: the archive is whole. */
	assert_int_equal(sh("echo a >x/k.tar.zst; echo '{}' >x/.k.json.part-$tag"), 0);
	assert_int_equal(listed(), 1);
	assert_int_equal(ops->sweep(&cfg, &e), 1);
	assert_int_equal(listed(), 2);
}

/* What a run leaves that is killed before each step, as the ledger tells it. */
static int settle_one(void *arg, struct ledger_entry *x, struct err *e)
{
	size_t *count = arg;

	(*count)++;
	assert_int_equal(x->kind, LEDGER_ARCHIVE);
	assert_int_equal(ops->settle(x, e), 0);
	assert_int_equal(ops->settle(x, e), 0);
	return ledger_remove(x, e);
}

static void test_settle(void **state)
{
	/* Before; what the killed run did; what must be there afterwards, besides "there". */
	static const struct {
		const char *did, *left;
	} cases[] = {
		{"rmdir new/er new", "true"},
		{":", "! test -e new"},
		{"echo a >new/er/.a.tar.zst.part-$tag", "! test -e new"},
		{"echo a >new/er/.a.tar.zst.part-$tag; : >new/er/.a.json.part-$tag",
			"! test -e new"},
		{"echo a >new/er/.a.tar.zst.part-$tag; ln new/er/.a.tar.zst.part-$tag "
		 "new/er/a.tar.zst; : >new/er/.a.json.part-$tag",
			"! test -e new"},
		{"echo a >new/er/a.tar.zst; echo b >new/er/.a.json.part-$tag",
			"test $(ls -A new/er | wc -l) = 2 && test $(cat new/er/a.json) = b"},
		{"echo a >new/er/a.tar.zst; echo b >new/er/a.json; ln new/er/a.json "
		 "new/er/.a.json.part-$tag",
			"test $(ls -A new/er | wc -l) = 2 && test $(cat new/er/a.json) = b"},
		{"echo a >new/er/a.tar.zst; echo b >new/er/a.json",
			"test $(ls -A new/er | wc -l) = 2 && test $(cat new/er/a.json) = b"},
		/* Somebody else's. */
		{"echo c >new/er/a.tar.zst; echo a >new/er/.a.tar.zst.part-$tag; : "
		 ">new/er/.a.json.part-$tag",
			"test \"$(ls -A new/er)\" = a.tar.zst && test $(cat new/er/a.tar.zst) = c"},
		{"echo c >new/er/a.tar.zst", "test $(cat new/er/a.tar.zst) = c"},
		{"echo c >new/er/.a.tar.zst.part-ffffffffffffffff",
			"test $(ls -A new/er | wc -l) = 1"},
		{"rm -rf \"$PWD\"", "true"},
	};
	size_t tried = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = {0};
		struct ledger_entry x = {
			.kind = LEDGER_ARCHIVE, .name = "new/er/a", .type = "directory"};
		size_t settled = 0;

		(void)snprintf(x.path, sizeof(x.path), "%s", dir);
		assert_int_equal(file_tag(x.tag, &e), 0);
		assert_int_equal(setenv("tag", x.tag, 1), 0);
		assert_int_equal(ledger_write(&x, &e), 0);
		assert_int_equal(sh("rm -rf ./*; mkdir -p new/er"), 0);
		assert_int_equal(sh(cases[i].did), 0);
		assert_int_equal(ledger_each(settle_one, &settled, &e), 0);
		assert_int_equal(settled, 1);
		if (mkdir(dir, 0700) < 0)
			assert_int_equal(errno, EEXIST);
		assert_int_equal(sh(cases[i].left), 0);
		tried++;
	}
	print_message("%zu states settled\n", tried);
	assert_true(tried >= 12);
}

/* A writer that is given up leaves no entry; one that is killed leaves exactly one. */
static void test_ledger(void **state)
{
	struct err e = {0};
	size_t settled = 0;
	struct dest_writer *w = start("web/a");

	(void)state;
	assert_int_equal(sh("test $(ls \"$PWD.state/ledger\" | wc -l) = 1"), 0);
	assert_int_equal(ops->abort(w, &e), 0);
	assert_int_equal(sh("test $(ls -A \"$PWD.state/ledger\" | wc -l) = 0"), 0);
	finish("web/b");
	assert_int_equal(sh("test $(ls -A \"$PWD.state/ledger\" | wc -l) = 0"), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)start("web/c");
		(void)raise(SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(sh("cd \"$PWD.state/ledger\"; : >.x.json.part; echo '{' >bad.json"), 0);
	assert_true(ledger_each(settle_one, &settled, &e) < 0);
	assert_int_equal(e.kind, ERR_LEFTOVER);
	assert_non_null(strstr(e.text, "bad.json"));
	assert_int_equal(settled, 1);
	assert_int_equal(sh("test $(ls -A \"$PWD.state/ledger\") = bad.json"), 0);
	assert_int_equal(sh("test \"$(ls -A web)\" = \"$(printf 'b.json\\nb.tar.zst')\""), 0);
}

static void test_check(void **state)
{
	char none[] = "/nonexistent/thinark";
	const struct cfg_dest missing = {.path = none};
	AUTO_STRBUF note = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(ops->check(&cfg, &note, &e), 0);
	assert_non_null(strstr(note.data, "free"));
	assert_int_equal(ops->check(&missing, &note, &e), -ENOENT);
	assert_int_equal(e.kind, ERR_DEST);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {CASE(test_seal), CASE(test_abort), CASE(test_exists),
		CASE(test_rename), CASE(test_manifest_fails), CASE(test_hostile), CASE(test_sweep),
		CASE(test_settle), CASE(test_ledger), CASE(test_check)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
