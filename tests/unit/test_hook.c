/* SPDX-License-Identifier: Apache-2.0 */
/* The programs of "commands": which run, what they are told, what their end means. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "hook.h"
#include "scope.h"

#define HEAD                                                                                       \
	"stores: [{name: d, type: docker}]\n"                                                      \
	"destinations: [{name: l, type: directory, path: /b}]\n"                                   \
	"jobs:\n- {name: n, stores: [d], destination: l}\n"                                        \
	"- {name: m, stores: [d], destination: l}\n"                                               \
	"commands:\n"

static char dir[64];

/* A configuration whose @ stands for the folder of the scripts. */
struct fixture {
	struct cfg cfg;
	struct run_options o;
	struct container container;
	struct job job;
};

static void load(struct fixture *f, const char *commands)
{
	AUTO_STRBUF text = {0}, mistakes = {0};
	struct err e = {0};

	strbuf_puts(&text, HEAD);
	for (; *commands; commands++) {
		if (*commands == '@')
			strbuf_puts(&text, dir);
		else
			strbuf_add(&text, commands, 1);
	}
	*f = (struct fixture){0};
	if (cfg_load(text.data, text.len, "f", &f->cfg, &mistakes, &e) < 0)
		fail_msg("%s%s", text.data, mistakes.data);
	f->o.cfg = &f->cfg;
	f->container = (struct container){.store = (char *)"d",
		.id = (char *)"0123abc",
		.name = (char *)"web $(reboot)\n;",
		.image = (char *)"nginx:1",
		.state = (char *)"running"};
	f->job = (struct job){.options = &f->o,
		.cfg = &f->cfg.jobs[0],
		.container = &f->container,
		.name = (char *)"web/2026"};
}

static void script(const char *name, const char *body)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	(void)fprintf(f, "#!/bin/sh\n%s\n", body);
	(void)fclose(f);
	assert_int_equal(chmod(path, 0700), 0);
}

/* What the programs have written to DIR/trace, which is then removed. */
static void expect_trace(const char *want)
{
	char path[128], got[4096] = "";

	(void)snprintf(path, sizeof(path), "%s/trace", dir);
	AUTO_CLOSE int fd = open(path, O_RDONLY);
	if (fd >= 0)
		assert_true(read(fd, got, sizeof(got) - 1) >= 0);
	assert_string_equal(got, want);
	(void)unlink(path);
}

static void names_come_by_the_environment(void **state)
{
	struct fixture f;
	struct err e = {0};

	(void)state;
	script("env",
		"env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^HOME= | sort >$(dirname $0)/trace\n"
		"printf '%s\\n' \"$@\" >>$(dirname $0)/trace");
	load(&f, "- {before: container, run: ['@/env', 'a b', '$(x)', '*']}\n"
		 "- {after: job, run: ['@/env']}\n");
	assert_int_equal(hook_before_container(&f.job, &e), 0);
	expect_trace(";\nLANG=C.UTF-8\n"
		     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
		     "THINARK_ARCHIVE=web/2026\nTHINARK_CONTAINER=web $(reboot)\n"
		     "THINARK_CONTAINER_ID=0123abc\nTHINARK_IMAGE=nginx:1\nTHINARK_JOB=n\n"
		     "THINARK_STATE=running\nTHINARK_STORE=d\n"
		     "a b\n$(x)\n*\n");
	assert_int_equal(hook_after_job(&f.o, f.job.cfg, "incomplete", 3), EXIT_GOOD);
	expect_trace("LANG=C.UTF-8\n"
		     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
		     "THINARK_EXIT_CODE=3\nTHINARK_JOB=n\nTHINARK_RESULT=incomplete\n\n");
	cfg_done(&f.cfg);
}

static void the_right_ones_run_in_order(void **state)
{
	struct fixture f;
	struct err e = {0};

	(void)state;
	script("say", "echo $1 >>$(dirname $0)/trace");
	load(&f, "- {before: job, run: ['@/say', bj]}\n"
		 "- {before: job, jobs: [m], run: ['@/say', other]}\n"
		 "- {before: container, jobs: [m, n], run: ['@/say', bc1]}\n"
		 "- {before: container, run: ['@/say', bc2]}\n"
		 "- {after: container, run: ['@/say', any]}\n"
		 "- {after: container, states: [fail], run: ['@/say', fail]}\n"
		 "- {after: container, states: [finish], run: ['@/say', finish]}\n"
		 "- {after: job, states: [finish, fail], run: ['@/say', aj]}\n");
	assert_int_equal(hook_check(&f.o, &e), 0);
	assert_int_equal(hook_before_job(&f.o, f.job.cfg, &e), 0);
	expect_trace("bj\n");
	assert_int_equal(hook_before_job(&f.o, &f.cfg.jobs[1], &e), 0);
	expect_trace("bj\nother\n");
	assert_int_equal(hook_before_container(&f.job, &e), 0);
	expect_trace("bc1\nbc2\n");
	assert_int_equal(hook_after_container(&f.job, "failed", 3), EXIT_GOOD);
	expect_trace("any\nfail\n");
	assert_int_equal(hook_after_container(&f.job, "good", 0), EXIT_GOOD);
	expect_trace("any\nfinish\n");
	assert_int_equal(hook_after_container(&f.job, "skipped", 0), EXIT_GOOD);
	expect_trace("any\nfinish\n");
	assert_int_equal(hook_after_job(&f.o, f.job.cfg, "failed", 3), EXIT_GOOD);
	expect_trace("aj\n");
	cfg_done(&f.cfg);
}

static void its_exit_code_decides(void **state)
{
	struct fixture f;
	struct err e = {0};

	(void)state;
	script("exit", "echo $1 >>$(dirname $0)/trace; exit $1");
	load(&f, "- {before: container, run: ['@/exit', '0']}\n"
		 "- {before: container, run: ['@/exit', '75']}\n"
		 "- {before: container, run: ['@/exit', '1']}\n"
		 "- {before: job, run: ['@/exit', '1']}\n"
		 "- {before: job, run: ['@/exit', '0']}\n"
		 "- {after: job, run: ['@/exit', '75']}\n"
		 "- {after: job, run: ['@/exit', '0']}\n");
	assert_int_equal(hook_before_container(&f.job, &e), 1);
	assert_int_equal(e.kind, ERR_NONE);
	assert_non_null(strstr(e.text, "/exit' said so"));
	expect_trace("0\n75\n");
	assert_int_equal(hook_before_job(&f.o, f.job.cfg, &e), -ECHILD);
	assert_int_equal(err_exit_code(e.kind), EXIT_INCOMPLETE);
	assert_non_null(strstr(e.text, "before job: '"));
	assert_non_null(strstr(e.text, "/exit' ended with exit code 1"));
	expect_trace("1\n");
	/* Afterwards all of them run. */
	assert_int_equal(hook_after_job(&f.o, f.job.cfg, "good", 0), EXIT_INCOMPLETE);
	expect_trace("75\n0\n");
	cfg_done(&f.cfg);
}

static void one_that_hangs_is_killed(void **state)
{
	struct fixture f;
	struct err e = {0};

	(void)state;
	script("hang", "exec sleep 300");
	load(&f, "- {before: job, timeout: 1s, run: ['@/hang']}\n");
	assert_int_equal(hook_before_job(&f.o, f.job.cfg, &e), -ETIMEDOUT);
	assert_non_null(strstr(e.text, "/hang' did not end within 1 s and was killed"));
	assert_int_equal(err_exit_code(e.kind), EXIT_INCOMPLETE);
	cfg_done(&f.cfg);
}

static void one_that_others_could_write_is_refused(void **state)
{
	struct fixture f;
	struct err e = {0};
	char path[128];

	(void)state;
	script("loose", "echo ran >$(dirname $0)/trace");
	(void)snprintf(path, sizeof(path), "%s/loose", dir);
	load(&f, "- {before: job, jobs: [n], run: ['@/loose']}\n"
		 "- {after: job, jobs: [n], run: ['@/loose']}\n");
	assert_int_equal(chmod(path, 0720), 0);
	assert_int_equal(hook_check(&f.o, &e), -EPERM);
	assert_int_equal(err_exit_code(e.kind), EXIT_USAGE);
	assert_non_null(strstr(e.text, "chmod go-w '"));
	assert_int_equal(hook_before_job(&f.o, f.job.cfg, &e), -EPERM);
	assert_int_equal(hook_after_job(&f.o, f.job.cfg, "good", 0), EXIT_INCOMPLETE);
	expect_trace("");
	/* Not when only another job is asked for. */
	f.o.jobs = (char *[]){(char *)"m"};
	f.o.job_count = 1;
	assert_int_equal(hook_check(&f.o, &e), 0);
	f.o.jobs = (char *[]){(char *)"n"};
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(hook_check(&f.o, &e), -EACCES);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(hook_check(&f.o, &e), -ENOENT);
	assert_int_equal(err_exit_code(e.kind), EXIT_USAGE);
	cfg_done(&f.cfg);
}

/* What is logged goes to stderr. */
static void output_is_logged_escaped_and_bounded(void **state)
{
	struct fixture f;
	struct err e = {0};
	char path[128], *line = NULL;
	size_t cap = 0, lines = 0, longest = 0;
	bool is_escaped = false, has_rest = false;

	(void)state;
	script("noisy", "printf '\\033[2J\\001\\n'; head -c 3000 /dev/zero; echo; seq 100000");
	load(&f, "- {before: job, run: ['@/noisy']}\n");
	(void)snprintf(path, sizeof(path), "%s/log", dir);
	int keep = dup(STDERR_FILENO), log = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(keep >= 0 && log >= 0 && dup2(log, STDERR_FILENO) >= 0);
	int r = hook_before_job(&f.o, f.job.cfg, &e);
	assert_true(dup2(keep, STDERR_FILENO) >= 0);
	(void)close(keep);
	(void)close(log);
	assert_int_equal(r, 0);
	AUTO_FCLOSE FILE *in = fopen(path, "r");
	assert_non_null(in);
	for (ssize_t n; (n = getline(&line, &cap, in)) > 0; lines++) {
		for (ssize_t i = 0; i + 1 < n; i++)
			assert_true((unsigned char)line[i] >= 0x20);
		is_escaped |= strstr(line, "\\x1b[2J\\x01") != NULL;
		has_rest |= strstr(line, "99804 more lines") != NULL;
		longest = (size_t)n > longest ? (size_t)n : longest;
	}
	free(line);
	print_message("%zu lines logged, the longest of %zu bytes\n", lines, longest);
	/* 1 + 3 of zeros + 196 numbers; the zeros take three log lines each; one for the rest */
	assert_int_equal(lines, 1 + 3 * 3 + 196 + 1);
	assert_true(is_escaped && has_rest && longest < 1700);
	cfg_done(&f.cfg);
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
		cmocka_unit_test(names_come_by_the_environment),
		cmocka_unit_test(the_right_ones_run_in_order),
		cmocka_unit_test(its_exit_code_decides),
		cmocka_unit_test(one_that_hangs_is_killed),
		cmocka_unit_test(one_that_others_could_write_is_refused),
		cmocka_unit_test(output_is_logged_escaped_and_bounded),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
