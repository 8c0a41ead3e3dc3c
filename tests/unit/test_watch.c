/* SPDX-License-Identifier: Apache-2.0 */
/* What ends the work on a container: the pool, a stage that takes too long, the kernel's
 * complaints. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "clock.h"
#include "damage.h"
#include "lock.h"
#include "rate.h"
#include "scope.h"
#include "stop.h"
#include "watch.h"

static void the_first_reason_counts(void **state)
{
	struct err e = {0}, got = {0};

	(void)state;
	assert_int_equal(stop_check(&got), 0);
	(void)err_set(&e, ERR_SOURCE, -ENOSPC, "first");
	stop_cancel(&e);
	(void)err_set(&e, ERR_FATAL, -EIO, "second");
	stop_cancel(&e);
	assert_int_equal(stop_check(&got), -ENOSPC);
	assert_string_equal(got.text, "first");
	assert_int_equal(got.kind, ERR_SOURCE);
	assert_false(stop_asked());
	stop_clear();
	assert_int_equal(stop_check(&got), 0);
}

static void a_pool_in_danger_is_relieved(void **state)
{
	const struct pool p = {.name = "p", .limits = {10, 20}};
	static const struct {
		struct pool_status s;
		double left_s;
		int code;
	} t[] = {
		{{.meta_used = 50, .meta_total = 100, .data_used = 80, .data_total = 100}, INFINITY,
			0},
		/* Half of the limit is where it is given up: 5 % of data, 10 % of metadata. */
		{{.meta_total = 100, .data_used = 95, .data_total = 100}, INFINITY, 0},
		{{.meta_total = 100, .data_used = 96, .data_total = 100}, INFINITY, -ENOSPC},
		{{.meta_used = 90, .meta_total = 100, .data_total = 100}, INFINITY, 0},
		{{.meta_used = 91, .meta_total = 100, .data_total = 100}, INFINITY, -ENOSPC},
		{{.meta_total = 100, .data_used = 50, .data_total = 100}, 59, -ENOSPC},
		{{.meta_total = 100, .data_used = 50, .data_total = 100}, 61, 0},
		{{.meta_total = 100, .data_total = 100, .needs_check = true}, INFINITY, -EROFS},
		{{.meta_total = 100, .data_total = 100, .mode = POOL_RO}, INFINITY, -EROFS},
		{{.meta_total = 100, .data_total = 100, .mode = POOL_OUT_OF_DATA}, INFINITY,
			-ENOSPC},
		{{.mode = POOL_FAIL}, INFINITY, -EROFS},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct err e = {0};

		if (watch_judge(&p, &t[i].s, t[i].left_s, &e) != t[i].code)
			fail_msg("case %zu: %s", i, e.text);
		assert_int_equal(e.kind, t[i].code ? ERR_SOURCE : ERR_NONE);
	}
}

static void on_late(void *arg, const char *stage, unsigned seconds)
{
	assert_string_equal(stage, "archive");
	assert_true(seconds >= 1);
	atomic_fetch_add((atomic_int *)arg, 1);
}

static void a_stage_that_hangs_is_named(void **state)
{
	atomic_int calls = 0;
	const struct watch_ops ops = {on_late, &calls};
	struct watch *w = NULL;
	struct err e = {0};

	(void)state;
	assert_int_equal(watch_start(NULL, &ops, &w, &e), 0);
	watch_stage(w, "snapshot", 0);
	clock_sleep_ms(1200);
	assert_int_equal(stop_check(&e), 0);
	watch_stage(w, "archive", 1);
	for (int i = 0; i < 100 && stop_check(&e) == 0; i++)
		clock_sleep_ms(50);
	assert_int_equal(stop_check(&e), -ETIMEDOUT);
	assert_non_null(strstr(e.text, "not done within 1 s"));
	watch_stop(w);
	assert_int_equal(atomic_load(&calls), 1);
	assert_false(stop_asked());
	stop_clear();
	watch_stop(NULL);
}

static void records_of_the_kernel_log(void **state)
{
	static const struct {
		const char *record;
		int is_about;
	} t[] = {
		{"3,1,1,-;EXT4-fs error (device dm-7): htree_dirblock_to_tree:1080: bad\n", 1},
		{"2,1,1,-;EXT4-fs error (device dm-7): x", 1},
		{"1,9,9,-;XFS (dm-7): Metadata corruption detected", 1},
		{"3,1,1,-;Buffer I/O error on dev dm-7, logical block 0", 1},
		{"3,1,1,-;EXT4-fs error (device dm-70): x", 0},
		{"3,1,1,-;EXT4-fs error (device xdm-7): x", 0},
		{"6,1,1,-;EXT4-fs (dm-7): mounted filesystem", 0},
		{"4,1,1,-;XFS (dm-7): warning", 0},
		{"3,1,1,- no text (dm-7)", 0},
		{"", 0},
		{";", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char text[64] = "";

		if (damage_is_about(t[i].record, "dm-7", text, sizeof(text)) != t[i].is_about)
			fail_msg("%s", t[i].record);
		assert_int_equal(text[0] != '\0', t[i].is_about);
		assert_null(strchr(text, '\n'));
	}
}

static void locks_name_their_owner_and_die_with_it(void **state)
{
	AUTO_CLOSE int mine = -1;
	struct err e = {0};
	int ready[2], status;
	char byte;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int fd = -1;

		_exit(lock_take("test", "a/b", "job x", 0, &fd, &e) < 0 ||
			write(ready[1], "x", 1) != 1 || pause());
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(lock_take("test", "a/b", "job y", 0, &mine, &e), -EWOULDBLOCK);
	assert_int_equal(e.kind, ERR_LOCKED);
	assert_non_null(strstr(e.text, "job x"));
	assert_int_equal(lock_take("test", "a/b", "job y", 1, &mine, &e), -EWOULDBLOCK);
	assert_int_equal(lock_take("test", "other", "job y", 0, &mine, &e), 0);
	(void)close(mine);
	mine = -1;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(lock_take("test", "a/b", "job y", 0, &mine, &e), 0);
	(void)unlink(LOCK_RUN_DIR "/test-a_b.lock");
	(void)unlink(LOCK_RUN_DIR "/test-other.lock");
	(void)close(ready[0]);
	(void)close(ready[1]);
}

static void a_rate_is_kept(void **state)
{
	struct rate r;
	struct err e = {.kind = ERR_SOURCE, .code = -EIO};
	uint64_t start = clock_ns();

	(void)state;
	rate_start(&r, 0);
	rate_take(&r, UINT64_MAX);
	rate_start(&r, 10 << 20);
	for (int i = 0; i < 5; i++)
		rate_take(&r, 1 << 20);
	/* Never too fast; how slow it may be is the machine's affair. */
	assert_true(clock_ns() - start >= 500000000u);
	stop_cancel(&e);
	start = clock_ns();
	rate_take(&r, (uint64_t)1 << 50);
	assert_true(clock_ns() - start < 60000000000u);
	stop_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_reason_counts),
		cmocka_unit_test(a_pool_in_danger_is_relieved),
		cmocka_unit_test(a_stage_that_hangs_is_named),
		cmocka_unit_test(a_rate_is_kept),
		cmocka_unit_test(records_of_the_kernel_log),
		cmocka_unit_test(locks_name_their_owner_and_die_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
