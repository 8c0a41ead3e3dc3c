/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever happens to a run, no container stays paused. */
#include "fake_engine.h"

#include <dirent.h>

static bool is_free_within(unsigned ms)
{
	const uint64_t start = clock_ns();

	while (world->is_paused && ms_since(start) < ms)
		clock_sleep_ms(2);
	return !world->is_paused;
}

static void the_guard_unpauses_when_told(void **state)
{
	struct engine_guard *g = NULL;
	struct err e = {0};

	(void)state;
	reset(POLITE);
	assert_int_equal(engine_guard_start(path, ID, 60000, &g, &e), 0);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	clock_sleep_ms(100);
	assert_int_equal(world->is_paused, 1);
	assert_int_equal(engine_guard_release(g, &e), 0);
	assert_int_equal(world->is_paused, 0);
	assert_int_equal(engine_guard_release(NULL, &e), 0);
	/* What somebody else has paused stays so. */
	world->is_paused = 1;
	assert_int_equal(engine_guard_start(path, ID, 60000, &g, &e), 0);
	engine_guard_cancel(g);
	assert_int_equal(world->is_paused, 1);
	engine_guard_cancel(NULL);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), 0); /* only the server is left */
}

static void the_guard_keeps_the_deadline(void **state)
{
	struct engine_guard *g = NULL;
	struct err e = {0};

	(void)state;
	reset(POLITE);
	assert_int_equal(engine_guard_start(path, ID, 300, &g, &e), 0);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	assert_true(is_free_within(3000));
	assert_int_equal(engine_guard_release(g, &e), -ETIMEDOUT);
	assert_int_equal(e.kind, ERR_SOURCE);
}

/* The pid of our child that is not the server. */
static pid_t guard_pid(void)
{
	char name[64], line[256] = "";
	pid_t found = 0;

	(void)snprintf(name, sizeof(name), "/proc/self/task/%d/children", (int)getpid());
	AUTO_FCLOSE FILE *f = fopen(name, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	for (char *at = line, *word; (word = strtok_r(at, " ", &at));)
		if (atoi(word) != server_pid && atoi(word) > 0)
			found = atoi(word);
	assert_true(found > 0);
	return found;
}

static void the_guard_holds_nothing_and_takes_no_signal(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGALRM};
	struct engine_guard *g = NULL;
	char name[64];
	struct err e = {0};
	size_t open_fds = 0;
	int held = dup(STDERR_FILENO); /* as a lock would be, and not close-on-exec */

	(void)state;
	reset(POLITE);
	assert_int_equal(engine_guard_start(path, ID, 60000, &g, &e), 0);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	const pid_t pid = guard_pid();
	assert_int_equal(getsid(pid), pid);
	(void)snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
	AUTO_DIR DIR *d = opendir(name);
	assert_non_null(d);
	for (const struct dirent *item; (item = readdir(d));)
		if (item->d_name[0] != '.') {
			assert_true(atoi(item->d_name) < 5);
			open_fds++;
		}
	assert_in_range(open_fds, 4, 5);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		assert_int_equal(kill(pid, signals[i]), 0);
	clock_sleep_ms(50);
	assert_int_equal(world->is_paused, 1);
	assert_int_equal(engine_guard_release(g, &e), 0);
	assert_int_equal(world->is_paused, 0);
	(void)close(held);
}

static void a_dead_guard_is_replaced(void **state)
{
	struct engine_guard *g = NULL;
	struct err e = {0};

	(void)state;
	reset(POLITE);
	assert_int_equal(engine_guard_start(path, ID, 60000, &g, &e), 0);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	assert_int_equal(kill(guard_pid(), SIGKILL), 0);
	assert_int_equal(engine_guard_release(g, &e), 0);
	assert_int_equal(world->is_paused, 0);
}

static void an_engine_that_is_gone_is_a_leftover(void **state)
{
	struct engine_guard *g = NULL;
	struct err e = {0};

	(void)state;
	reset(POLITE);
	assert_int_equal(engine_guard_start(path, ID, 60000, &g, &e), 0);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	stop_server();
	assert_int_equal(engine_guard_release(g, &e), -ECONNREFUSED);
	assert_int_equal(e.kind, ERR_LEFTOVER);
	start_server();
	assert_int_equal(engine_unpause(path, ID, TIME_MS, &e), 0);
}

/* A run that pauses and dies; with a child of it that lives on and holds what it inherited. */
static void run_and_die(bool whole_group, bool with_heir)
{
	struct engine_guard *g = NULL;
	struct err e = {0};

	(void)setsid();
	if (engine_guard_start(path, ID, 60000, &g, &e) < 0)
		_exit(1);
	if (with_heir && fork() == 0) {
		clock_sleep_ms(5000);
		_exit(0);
	}
	if (engine_pause(path, ID, TIME_MS, &e) < 0)
		_exit(1);
	(void)kill(whole_group ? -getpid() : getpid(), SIGKILL);
	_exit(2);
}

static void a_killed_run_leaves_nothing_paused(void **state)
{
	uint64_t slowest = 0;
	size_t rounds = 0;

	(void)state;
	for (; rounds < 24; rounds++) {
		int status = 0;

		reset(POLITE);
		pid_t pid = fork();
		if (pid == 0)
			run_and_die(rounds % 2, rounds % 4 == 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		const uint64_t start = clock_ns();
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(world->pauses, 1);
		assert_true(is_free_within(1000));
		slowest = ms_since(start) > slowest ? ms_since(start) : slowest;
	}
	print_message("%zu rounds, unpaused within %llu ms\n", rounds, (unsigned long long)slowest);
}

static void a_restarting_engine_is_waited_for(void **state)
{
	int status = 0;

	(void)state;
	reset(POLITE);
	pid_t pid = fork();
	if (pid == 0) {
		struct engine_guard *g = NULL;
		struct err e = {0};

		if (engine_guard_start(path, ID, 60000, &g, &e) == 0 &&
			engine_pause(path, ID, TIME_MS, &e) == 0)
			clock_sleep_ms(60000);
		_exit(1);
	}
	while (!world->is_paused)
		clock_sleep_ms(5);
	stop_server();
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	clock_sleep_ms(500);
	assert_int_equal(world->is_paused, 1);
	start_server();
	assert_true(is_free_within(3000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guard_unpauses_when_told),
		cmocka_unit_test(the_guard_keeps_the_deadline),
		cmocka_unit_test(the_guard_holds_nothing_and_takes_no_signal),
		cmocka_unit_test(a_dead_guard_is_replaced),
		cmocka_unit_test(an_engine_that_is_gone_is_a_leftover),
		cmocka_unit_test(a_killed_run_leaves_nothing_paused),
		cmocka_unit_test(a_restarting_engine_is_waited_for),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
