/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "clock.h"
#include "scope.h"
#include "stop.h"

#define TICK_MS 20        /* a signal may come just before the wait for output */
#define DRAIN_MAX 1000000 /* bytes taken after its end; others may still be writing */

struct child {
	pid_t pid;
	int out; /* owned; -1 after the end of the output */
	char line[PROGRAM_LINE_MAX];
	size_t used;
	uint64_t deadline, stop_at, kill_at; /* ns; 0: not set */
	bool is_ending, was_killed;
	enum program_end end;
};

static void emit(const struct program *s, struct child *c)
{
	if (c->used)
		s->line(s->arg, c->line, c->used);
	c->used = 0;
}

static void take(const struct program *s, struct child *c, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n') {
			emit(s, c);
			continue;
		}
		c->line[c->used++] = data[i];
		if (c->used == sizeof(c->line))
			emit(s, c);
	}
}

/* What is there now; returns its length, 0 when there is nothing. */
static size_t read_some(const struct program *s, struct child *c)
{
	char data[16384];
	ssize_t n = c->out < 0 ? 0 : read(c->out, data, sizeof(data));

	if (n > 0) {
		take(s, c, data, (size_t)n);
		return (size_t)n;
	}
	if (c->out >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR))) {
		(void)close(c->out);
		c->out = -1;
	}
	return 0;
}

/* Not reaped: until then nobody else can get its number, nor its group's. */
static bool has_ended(const struct child *c)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	       info.si_pid == c->pid;
}

static void end_it(struct child *c, enum program_end why, uint64_t now)
{
	c->is_ending = true;
	c->end = why;
	c->kill_at = now + PROGRAM_GRACE_MS * (uint64_t)1000000;
	(void)kill(-c->pid, SIGTERM);
	(void)kill(-c->pid, SIGCONT); /* a stopped one would not notice */
}

static void check_time(const struct program *s, struct child *c)
{
	const uint64_t now = clock_ns();

	if (!c->stop_at && stop_asked())
		c->stop_at = now + s->stop_ms * 1000000u;
	if (!c->is_ending && c->stop_at && now >= c->stop_at)
		end_it(c, PROGRAM_STOPPED, now);
	else if (!c->is_ending && now >= c->deadline)
		end_it(c, PROGRAM_TIMED_OUT, now);
	else if (c->is_ending && !c->was_killed && now >= c->kill_at) {
		(void)kill(-c->pid, SIGKILL);
		c->was_killed = true;
	}
}

/* Until it has ended; one that is being ended may leave its group the time to clean up. */
static int watch(const struct program *s, struct child *c, struct err *e)
{
	for (;;) {
		const bool gone = has_ended(c);

		check_time(s, c);
		if (gone && (!c->is_ending || c->was_killed || c->out < 0))
			break;
		if (!gone && c->was_killed &&
			clock_ns() > c->kill_at + PROGRAM_GRACE_MS * (uint64_t)1000000)
			return err_set(e, ERR_SOURCE, -ETIMEDOUT,
				"'%s' (process %d) does not end, not even by SIGKILL", s->argv[0],
				(int)c->pid);
		struct pollfd p = {.fd = c->out, .events = POLLIN};
		(void)poll(&p, 1, TICK_MS);
		(void)read_some(s, c);
	}
	/* Whoever of its group ignored SIGTERM. */
	if (c->is_ending)
		(void)kill(-c->pid, SIGKILL);
	for (size_t total = 0, n = 1; n && total < DRAIN_MAX; total += n)
		n = read_some(s, c);
	emit(s, c);
	return 0;
}

static int prepare(posix_spawnattr_t *attr, posix_spawn_file_actions_t *files, int out, int keep)
{
	sigset_t none, all;
	int r;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_setsigmask(attr, &none);
	(void)posix_spawnattr_setsigdefault(attr, &all);
	(void)posix_spawnattr_setflags(
		attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn_file_actions_adddup2(files, out, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(files, out, STDERR_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0 && keep > 0)
		r = posix_spawn_file_actions_adddup2(files, keep, PROGRAM_KEPT);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(
			files, keep > 0 ? PROGRAM_KEPT + 1 : PROGRAM_KEPT);
	if (r == 0)
		r = posix_spawn_file_actions_addchdir_np(files, "/");
	return r;
}

static int start(const struct program *s, struct child *c, struct err *e)
{
	posix_spawnattr_t attr;
	posix_spawn_file_actions_t files;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, ERR_SOURCE, -errno, "pipe");
	AUTO_CLOSE int in = ends[1];
	c->out = ends[0];
	if (fcntl(c->out, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, ERR_SOURCE, -errno, "pipe");
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawn_file_actions_init(&files);
	int r = prepare(&attr, &files, in, s->keep);
	if (r == 0)
		r = posix_spawn(&c->pid, s->argv[0], &files, &attr, s->argv, s->env);
	(void)posix_spawn_file_actions_destroy(&files);
	(void)posix_spawnattr_destroy(&attr);
	return r ? err_sys(e, ERR_SOURCE, -r, "cannot start '%s'", s->argv[0]) : 0;
}

int program_run(const struct program *s, struct program_result *ret, struct err *e)
{
	struct child c = {.out = -1};
	siginfo_t info = {0};

	c.deadline = clock_ns() + s->timeout_ms * 1000000u;
	int r = start(s, &c, e);
	if (r == 0)
		r = watch(s, &c, e);
	if (r == 0 && waitid(P_PID, (id_t)c.pid, &info, WEXITED) < 0)
		r = err_sys(e, ERR_SOURCE, -errno, "'%s'", s->argv[0]);
	if (c.out >= 0)
		(void)close(c.out);
	if (r < 0)
		return r;
	ret->code = info.si_status;
	ret->end = c.is_ending                  ? c.end
		   : info.si_code == CLD_EXITED ? PROGRAM_EXITED
						: PROGRAM_SIGNALLED;
	return 0;
}
