/* SPDX-License-Identifier: Apache-2.0 */
/* Foreign programs, with real small scripts, and which files are trusted. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "file.h"
#include "program.h"
#include "scope.h"
#include "stop.h"
#include "str.h"

static char dir[64];
static char *const environment[] = {(char *)"A=1", (char *)"B=x y", NULL};

struct seen {
	struct strbuf text; /* lines, each with a newline */
	size_t lines, bytes, longest;
};

static void on_line(void *arg, const char *text, size_t len)
{
	struct seen *seen = arg;

	seen->lines++;
	seen->bytes += len;
	if (len > seen->longest)
		seen->longest = len;
	if (seen->text.len < 100000) {
		strbuf_add(&seen->text, text, len);
		strbuf_puts(&seen->text, "\n");
	}
}

/* Runs a shell script given as text. */
static int shell(const char *script, uint64_t timeout_ms, uint64_t stop_ms, struct seen *seen,
	struct program_result *ret)
{
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)script, dir, NULL};
	const struct program p = {.argv = argv,
		.env = environment,
		.timeout_ms = timeout_ms,
		.stop_ms = stop_ms,
		.line = on_line,
		.arg = seen};
	struct err e = {0};
	int r = program_run(&p, ret, &e);

	if (r < 0)
		print_message("%s\n", e.text);
	return r;
}

static uint64_t ms_since(uint64_t start)
{
	return (clock_ns() - start) / 1000000u;
}

static bool is_alive(const char *pid_file)
{
	char path[128], state = 'X';
	long pid = 0;
	AUTO_FCLOSE FILE *f = fopen(pid_file, "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld", &pid), 1);
	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	AUTO_FCLOSE FILE *stat_file = fopen(path, "r");
	/* A dead one that nobody reaps is still listed. */
	return stat_file && fscanf(stat_file, "%*d (%*[^)]) %c", &state) == 1 && state != 'Z';
}

/* SIGKILL takes a moment. */
static bool is_dead_soon(const char *pid_file)
{
	for (int i = 0; i < 100 && is_alive(pid_file); i++)
		clock_sleep_ms(20);
	return !is_alive(pid_file);
}

static void file_in_dir(const char *name, char out[128])
{
	(void)snprintf(out, 128, "%s/%s", dir, name);
}

static void it_sees_only_what_it_should(void **state)
{
	struct seen seen = {0};
	struct program_result got;
	int leaked = open("/dev/null", O_RDONLY); /* not close-on-exec, on purpose */

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	assert_true(leaked >= 0);
	assert_int_equal(
		shell("env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | sort; pwd\n"
		      "read line; echo \"read $?\"\n"
		      "ls /proc/$$/fd\n"
		      "sed -n 's/^Sig\\(Blk\\|Ign\\).*\\(.......\\)$/\\1 \\2/p' "
		      "/proc/self/status\n"
		      "set -- $(cat /proc/$$/stat); [ $6 = $$ ] && [ $5 = $$ ] && echo leads\n"
		      "echo error >&2; printf last",
			20000, 0, &seen, &got),
		0);
	(void)close(leaked);
	assert_int_equal(got.end, PROGRAM_EXITED);
	assert_int_equal(got.code, 0);
	assert_string_equal(seen.text.data,
		"A=1\nB=x y\n/\nread 1\n0\n1\n2\nBlk 0000000\nIgn 0000000\nleads\nerror\nlast\n");
	strbuf_free(&seen.text);
}

/* One descriptor may be left to it, whatever number it has here, and no other. */
static void it_keeps_what_it_should(void **state)
{
	char *const argv[] = {
		(char *)"/bin/sh", (char *)"-c", (char *)"ls /proc/$$/fd; echo told >&3", NULL};
	char *const env[] = {NULL};
	char text[8] = "";

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct seen seen = {0};
		struct program_result got;
		AUTO_CLOSE int file = memfd_create("kept", MFD_CLOEXEC);
		AUTO_CLOSE int kept = i ? fcntl(file, F_DUPFD_CLOEXEC, 40) : dup(file);
		const struct program s = {.argv = argv,
			.env = env,
			.keep = kept,
			.timeout_ms = 20000,
			.line = on_line,
			.arg = &seen};
		struct err e = {0};

		assert_int_equal(program_run(&s, &got, &e), 0);
		assert_int_equal(got.code, 0);
		assert_string_equal(seen.text.data, "0\n1\n2\n3\n");
		assert_int_equal(pread(file, text, sizeof(text) - 1, 0), 5);
		assert_string_equal(text, "told\n");
		strbuf_free(&seen.text);
	}
}

static void its_end_is_told(void **state)
{
	static const struct {
		const char *script;
		enum program_end end;
		int code;
	} rows[] = {
		{"exit 0", PROGRAM_EXITED, 0},
		{"exit 75", PROGRAM_EXITED, 75},
		{"exit 255", PROGRAM_EXITED, 255},
		{"kill -KILL $$", PROGRAM_SIGNALLED, SIGKILL},
		{"kill -SEGV $$", PROGRAM_SIGNALLED, SIGSEGV},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen seen = {0};
		struct program_result got;

		assert_int_equal(shell(rows[i].script, 20000, 0, &seen, &got), 0);
		assert_int_equal(got.end, rows[i].end);
		assert_int_equal(got.code, rows[i].code);
		assert_int_equal(seen.lines, 0);
	}
}

static void what_cannot_start_says_why(void **state)
{
	char path[128];
	struct program_result got;
	struct err e = {0};

	(void)state;
	file_in_dir("no-format", path);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs("exit 0\n", f);
	(void)fclose(f);
	char *argv[] = {path, NULL};
	const struct program p = {
		.argv = argv, .env = environment, .timeout_ms = 1000, .line = on_line};
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(program_run(&p, &got, &e), -EACCES);
	assert_non_null(strstr(e.text, "cannot start"));
	assert_int_equal(chmod(path, 0700), 0);
	assert_int_equal(program_run(&p, &got, &e), -ENOEXEC); /* no shell by the back door */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(program_run(&p, &got, &e), -ENOENT);
}

static void time_out_ends_the_whole_group(void **state)
{
	char polite[128], stubborn[128];
	struct seen seen = {0};
	struct program_result got;
	uint64_t start = clock_ns();

	(void)state;
	file_in_dir("polite", polite);
	file_in_dir("stubborn", stubborn);
	assert_int_equal(
		shell("sleep 300 & echo $! >$0/polite; wait; wait", 500, 0, &seen, &got), 0);
	assert_int_equal(got.end, PROGRAM_TIMED_OUT);
	assert_in_range(ms_since(start), 500, 4000);
	assert_true(is_dead_soon(polite));

	/* Its child ignores SIGTERM and is not even waited for. */
	start = clock_ns();
	assert_int_equal(shell("(trap '' TERM; exec sleep 300) &\n"
			       "echo $! >$0/stubborn; exec sleep 300",
				 300, 0, &seen, &got),
		0);
	assert_int_equal(got.end, PROGRAM_TIMED_OUT);
	assert_in_range(ms_since(start), 300 + PROGRAM_GRACE_MS, 9000);
	assert_true(is_dead_soon(stubborn));

	/* One that was stopped cannot answer SIGTERM. */
	start = clock_ns();
	assert_int_equal(shell("kill -STOP $$; sleep 300", 300, 0, &seen, &got), 0);
	assert_int_equal(got.end, PROGRAM_TIMED_OUT);
	assert_in_range(ms_since(start), 300, 4000);
	strbuf_free(&seen.text);
}

static void it_may_clean_up_after_sigterm(void **state)
{
	struct seen seen = {0};
	struct program_result got;

	(void)state;
	assert_int_equal(shell("trap 'sleep 0.5; echo cleaned; exit 7' TERM\n"
			       "while :; do sleep 0.1; done",
				 300, 0, &seen, &got),
		0);
	assert_int_equal(got.end, PROGRAM_TIMED_OUT);
	assert_non_null(strstr(seen.text.data, "cleaned\n"));
	strbuf_free(&seen.text);
}

static void the_background_is_left_alone(void **state)
{
	char left[128];
	struct seen seen = {0};
	struct program_result got;
	const uint64_t start = clock_ns();

	(void)state;
	file_in_dir("left", left);
	assert_int_equal(shell("sleep 30 & echo $! >$0/left; echo done", 20000, 0, &seen, &got), 0);
	assert_int_equal(got.end, PROGRAM_EXITED);
	assert_in_range(ms_since(start), 0, 10000);
	assert_string_equal(seen.text.data, "done\n");
	assert_true(is_alive(left));
	strbuf_free(&seen.text);
	assert_int_equal(shell("kill $(cat $0/left)", 20000, 0, &seen, &got), 0);
}

static void huge_output_is_taken_in_pieces(void **state)
{
	struct seen seen = {0};
	struct program_result got;

	(void)state;
	assert_int_equal(
		shell("head -c 20000000 /dev/zero; echo; seq 100000", 50000, 0, &seen, &got), 0);
	assert_int_equal(got.end, PROGRAM_EXITED);
	assert_int_equal(seen.longest, PROGRAM_LINE_MAX);
	assert_int_equal(seen.lines, 20000000 / PROGRAM_LINE_MAX + 100000);
	assert_int_equal(seen.bytes, 20000000 + 488895); /* the digits of 1 to 100000 */
	strbuf_free(&seen.text);

	/* Output without end does not keep it alive. */
	const uint64_t start = clock_ns();
	seen = (struct seen){0};
	assert_int_equal(shell("yes", 500, 0, &seen, &got), 0);
	assert_int_equal(got.end, PROGRAM_TIMED_OUT);
	assert_in_range(ms_since(start), 500, 5000);
	assert_true(seen.lines > 1000);
	strbuf_free(&seen.text);
}

/* In a process of its own: the flag of stop.h stays set, and standard streams are closed. */
static int in_child(void (*body)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define NEED(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			_exit(__LINE__ % 250 + 1);                                                 \
	} while (0)

static void stopped(void)
{
	struct seen seen = {0};
	struct program_result got;
	uint64_t start = clock_ns();

	stop_init();
	(void)raise(SIGTERM);
	NEED(shell("sleep 300", 60000, 0, &seen, &got) == 0);
	NEED(got.end == PROGRAM_STOPPED && ms_since(start) < 4000);
	start = clock_ns();
	NEED(shell("sleep 300", 60000, 700, &seen, &got) == 0);
	NEED(got.end == PROGRAM_STOPPED && ms_since(start) >= 700 && ms_since(start) < 5000);
	/* What ends in time is not disturbed. */
	NEED(shell("sleep 0.2; exit 3", 60000, 20000, &seen, &got) == 0);
	NEED(got.end == PROGRAM_EXITED && got.code == 3);
}

static void closed_streams(void)
{
	struct seen seen = {0};
	struct program_result got;

	for (int fd = 0; fd < 3; fd++)
		(void)close(fd);
	NEED(shell("read x; echo $?; echo b >&2", 20000, 0, &seen, &got) == 0);
	NEED(got.end == PROGRAM_EXITED && got.code == 0);
	NEED(strcmp(seen.text.data, "1\nb\n") == 0);
}

static void a_signal_ends_it(void **state)
{
	(void)state;
	assert_int_equal(in_child(stopped), 0);
}

static void our_streams_may_be_closed(void **state)
{
	(void)state;
	assert_int_equal(in_child(closed_streams), 0);
}

/* -- trusted files ---------------------------------------------------------------------------- */

static void make(const char *name, mode_t mode)
{
	char path[128];

	file_in_dir(name, path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

static void make_dir(const char *name, mode_t mode)
{
	char path[128];

	file_in_dir(name, path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void make_link(const char *target, const char *name)
{
	char path[128];

	file_in_dir(name, path);
	assert_int_equal(symlink(target, path), 0);
}

static void expect(const char *name, int code, const char *text)
{
	char path[128];
	struct err e = {0};
	int fd = -1;

	file_in_dir(name, path);
	int r = file_open_trusted(path, &fd, &e);
	if (r != code || (text && !strstr(e.text, text)))
		fail_msg("%s: %d, wanted %d: '%s'", name, r, code, e.text);
	assert_int_equal(fd >= 0, code == 0);
	assert_int_equal(e.kind, code ? ERR_CONFIG : ERR_NONE);
	if (fd >= 0)
		(void)close(fd);
}

static void only_our_own_files_are_trusted(void **state)
{
	(void)state;
	make("good", 0640);
	make("group", 0660);
	make("others", 0602);
	make_dir("loose", 0777);
	make_dir("sticky", 01777);
	make_dir("fine", 0755);
	make("loose/file", 0600);
	make("sticky/file", 0600);
	make_link("good", "to-good");
	make_link("loose/file", "to-loose");
	make_link("../good", "fine/up");
	make_link("fine/up", "twice");
	make_link("round", "round");
	make_link("/nowhere/at/all", "dangling");
	expect("good", 0, NULL);
	expect("fine/../good", 0, NULL);
	expect(".//good", 0, NULL);
	expect("to-good", 0, NULL);
	expect("fine/up", 0, NULL);
	expect("twice", 0, NULL);
	expect("sticky/file", 0, NULL);
	expect("group", -EPERM, "chmod go-w '");
	expect("others", -EPERM, "others' is writable by others");
	expect("loose/file", -EPERM, "loose' is writable by others");
	expect("to-loose", -EPERM, "loose' is writable by others");
	expect("round", -ELOOP, NULL);
	expect("dangling", -ENOENT, "/nowhere");
	expect("absent", -ENOENT, "/absent");
	expect("good/below", -ENOTDIR, NULL);
	expect("fine", -EISDIR, NULL);
}

static void what_is_no_regular_file_is_refused(void **state)
{
	char path[128];
	struct err e = {0};

	(void)state;
	file_in_dir("fifo", path);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect("fifo", -EINVAL, "not a regular file");
	assert_int_equal(file_open_trusted("/dev/null", NULL, &e), -EPERM);
	assert_int_equal(file_open_trusted("/", NULL, &e), -EISDIR);
}

static void strangers_files_are_refused(void **state)
{
	char path[128];

	(void)state;
	if (geteuid() != 0)
		skip();
	make("strange", 0600);
	file_in_dir("strange", path);
	assert_int_equal(chown(path, 12345, 0), 0);
	expect("strange", -EPERM, "belongs to user 12345");
	expect("strange", -EPERM, "chown root '");
	make_dir("theirs", 0755);
	make("theirs/file", 0600);
	file_in_dir("theirs", path);
	assert_int_equal(chown(path, 12345, 0), 0);
	expect("theirs/file", -EPERM, "theirs' belongs to user 12345");
	/* In a sticky folder everybody can make a link. */
	make_link("../good", "sticky/planted");
	file_in_dir("sticky/planted", path);
	assert_int_equal(lchown(path, 12345, 0), 0);
	expect("sticky/planted", -EPERM, "planted' belongs to user 12345");
}

static void a_relative_path_starts_here(void **state)
{
	AUTO_FREE char *here = getcwd(NULL, 0);
	struct err e = {0};
	int fd = -1;

	(void)state;
	assert_non_null(here);
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(file_open_trusted("fine/../good", &fd, &e), 0);
	(void)close(fd);
	assert_int_equal(file_open_trusted("group", &fd, &e), -EPERM);
	assert_int_equal(file_open_trusted("", &fd, &e), -EISDIR);
	assert_int_equal(chdir(here), 0);
}

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/thinark-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_sees_only_what_it_should),
		cmocka_unit_test(it_keeps_what_it_should),
		cmocka_unit_test(its_end_is_told),
		cmocka_unit_test(what_cannot_start_says_why),
		cmocka_unit_test(time_out_ends_the_whole_group),
		cmocka_unit_test(it_may_clean_up_after_sigterm),
		cmocka_unit_test(the_background_is_left_alone),
		cmocka_unit_test(huge_output_is_taken_in_pieces),
		cmocka_unit_test(a_signal_ends_it),
		cmocka_unit_test(our_streams_may_be_closed),
		cmocka_unit_test(only_our_own_files_are_trusted),
		cmocka_unit_test(what_is_no_regular_file_is_refused),
		cmocka_unit_test(strangers_files_are_refused),
		cmocka_unit_test(a_relative_path_starts_here),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
