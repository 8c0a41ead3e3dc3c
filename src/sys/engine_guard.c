/* SPDX-License-Identifier: Apache-2.0 */
/* The process that ends a pause. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "clock.h"
#include "engine.h"
#include "scope.h"

#define CALL_MS 10000u   /* one request of the guard */
#define TRY_MS 100u      /* between two of them */
#define TOLD_MS 5000u    /* how long it tries when told to; an engine may be restarting */
#define ALONE_MS 60000u  /* how long it tries when nobody waits for it; then the ledger is left */
#define ANSWER_MS 25000u /* how long we wait for it */

#define WORD_READY 'r'
#define WORD_UNPAUSE 'u'
#define WORD_CANCEL 'c'

struct engine_guard {
	pid_t pid;
	int link; /* owned */
	char socket[ENGINE_SOCKET_CAP], id[ENGINE_ID_CAP];
};

/* What the guard answers when it has unpaused. */
struct outcome {
	bool was_late; /* the deadline had passed */
	struct err e;
};

/*
 * What is said on the link within ms; 0: time is up; -1: the other side is dead.  alive, if not
 * negative, is the other's pidfd: a fork of it may keep the link open for a while.
 */
static int hear(int link, int alive, uint64_t ms)
{
	const uint64_t until = clock_ns() + ms * 1000000u;
	char word;

	for (;;) {
		struct pollfd p[] = {
			{.fd = link, .events = POLLIN}, {.fd = alive, .events = POLLIN}};
		const uint64_t now = clock_ns();

		if (now >= until)
			return 0;
		int n = poll(p, 2, (int)((until - now) / 1000000u) + 1);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n <= 0)
			continue;
		if (!p[0].revents)
			return -1;
		ssize_t got = recv(link, &word, 1, MSG_DONTWAIT);
		if (got == 1)
			return word;
		if (got == 0 || (errno != EAGAIN && errno != EINTR))
			return -1;
	}
}

static void unpause(const char *socket, const char *id, unsigned limit_ms, struct err *e)
{
	const uint64_t until = clock_ns() + limit_ms * (uint64_t)1000000;

	for (;;) {
		*e = (struct err){0};
		if (engine_unpause(socket, id, CALL_MS, e) == 0 || clock_ns() >= until)
			return;
		clock_sleep_ms(TRY_MS);
	}
}

/* Nothing of ours stays open: neither locks nor the links of other guards. */
static int detach(int *link, int *alive)
{
	sigset_t all;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	(void)setsid();
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)prctl(PR_SET_NAME, "thinark-guard");
	if (oom >= 0 && write(oom, "-900", 4) < 0)
		(void)0; /* only a help */
	if (chdir("/") < 0 || null < 0)
		return -1;
	/* To where nothing else is, before the low numbers are taken. */
	int high_link = fcntl(*link, F_DUPFD, 100);
	int high_alive = *alive < 0 ? -1 : fcntl(*alive, F_DUPFD, 100);
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			return -1;
	if (high_link < 0 || dup2(high_link, 3) < 0)
		return -1;
	*link = 3;
	*alive = high_alive >= 0 ? dup2(high_alive, 4) : -1;
	closefrom(*alive == 4 ? 5 : 4);
	return 0;
}

static _Noreturn void guard(const struct engine_guard *g, int link, int alive, unsigned deadline_ms)
{
	struct outcome o = {0};

	if (detach(&link, &alive) < 0 || send(link, &(char){WORD_READY}, 1, MSG_NOSIGNAL) != 1)
		_exit(1);
	int word = hear(link, alive, deadline_ms);
	if (word == WORD_CANCEL)
		_exit(0);
	o.was_late = word == 0;
	unpause(g->socket, g->id, word == WORD_UNPAUSE ? TOLD_MS : ALONE_MS, &o.e);
	/* Late, and they are still at it: they must get to know. */
	while (word == 0)
		word = hear(link, alive, ALONE_MS);
	if (word == WORD_UNPAUSE)
		(void)send(link, &o, sizeof(o), MSG_NOSIGNAL);
	_exit(0);
}

static void reap(struct engine_guard *g)
{
	int status;

	(void)close(g->link);
	while (waitpid(g->pid, &status, 0) < 0 && errno == EINTR)
		;
	free(g);
}

int engine_guard_start(const char *socket, const char *id, unsigned deadline_ms,
	struct engine_guard **ret, struct err *e)
{
	int ends[2];
	AUTO_FREE struct engine_guard *g = calloc(1, sizeof(*g));

	if (!g)
		return err_sys(e, ERR_FATAL, -ENOMEM, "guard");
	if (snprintf(g->socket, sizeof(g->socket), "%s", socket) >= (int)sizeof(g->socket) ||
		snprintf(g->id, sizeof(g->id), "%s", id) >= (int)sizeof(g->id))
		return err_sys(e, ERR_SOURCE, -EINVAL, "guard of '%.80s'", id);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(e, ERR_FATAL, -errno, "guard");
	AUTO_CLOSE int theirs = ends[1];
	AUTO_CLOSE int us = pidfd_open(getpid(), 0); /* -1 on old kernels: the link must do */
	g->link = ends[0];
	g->pid = fork();
	if (g->pid == 0)
		guard(g, theirs, us, deadline_ms);
	if (g->pid < 0) {
		(void)close(g->link);
		return err_sys(e, ERR_FATAL, -errno, "guard");
	}
	(void)close(TAKE_FD(theirs));
	/* Before it is on its own, a signal to our group would reach it. */
	if (hear(g->link, -1, CALL_MS) != WORD_READY) {
		(void)kill(g->pid, SIGKILL);
		reap(TAKE_PTR(g));
		return err_set(e, ERR_FATAL, -ECHILD, "guard: it does not start");
	}
	*ret = TAKE_PTR(g);
	return 0;
}

static bool hear_outcome(const struct engine_guard *g, struct outcome *o)
{
	struct pollfd p = {.fd = g->link, .events = POLLIN};
	const uint64_t until = clock_ns() + ANSWER_MS * (uint64_t)1000000;

	if (send(g->link, &(char){WORD_UNPAUSE}, 1, MSG_NOSIGNAL) != 1)
		return false;
	for (uint64_t now; (now = clock_ns()) < until;) {
		if (poll(&p, 1, (int)((until - now) / 1000000u) + 1) <= 0)
			continue;
		ssize_t n = recv(g->link, o, sizeof(*o), MSG_DONTWAIT);
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return n == (ssize_t)sizeof(*o);
	}
	return false;
}

int engine_guard_release(struct engine_guard *g, struct err *e)
{
	struct outcome o = {0};
	int r = 0;

	if (!g)
		return 0;
	if (!hear_outcome(g, &o)) {
		/* It was killed, or the engine hangs: then by ourselves. */
		o = (struct outcome){0};
		unpause(g->socket, g->id, TOLD_MS, &o.e);
		(void)kill(g->pid, SIGKILL);
	}
	if (o.e.kind != ERR_NONE) {
		r = o.e.code;
		if (e)
			*e = o.e;
	} else if (o.was_late) {
		r = err_set(e, ERR_SOURCE, -ETIMEDOUT, "the pause took too long and was ended");
	}
	reap(g);
	return r;
}

void engine_guard_cancel(struct engine_guard *g)
{
	if (!g)
		return;
	(void)send(g->link, &(char){WORD_CANCEL}, 1, MSG_NOSIGNAL);
	reap(g);
}
