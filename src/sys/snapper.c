/* SPDX-License-Identifier: Apache-2.0 */
#include "snapper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "clock.h"
#include "dmraw.h"
#include "manners.h"
#include "scope.h"
#include "stop.h"

#define RESUME_TRIES 50 /* 20 ms apart */

enum stage { STAGE_START, STAGE_SUSPEND, STAGE_MESSAGE, STAGE_STATUS, STAGE_RESUME };

/* The requests of one origin, and of one snapshot. */
struct origin {
	struct dmraw suspend, unfrozen, status, resume;
	bool is_held, was_frozen;
};

struct shot {
	struct dmraw message;
	struct origin origins[SNAPPER_ORIGINS];
	size_t count;
	bool is_taken;
};

/* Shared between child and parent; anonymous shared memory. */
struct shared {
	atomic_int abort, done; /* done: the child's word that its window is over */
	int result;             /* negative errno of what failed, 0 */
	enum stage stage;
	size_t failed;
	uint64_t window_ns;
	size_t count;
	struct shot shots[];
};

static int suspend(int control, struct origin *o)
{
	int r = dmraw_call(control, DM_DEV_SUSPEND, &o->suspend);

	o->was_frozen = r == 0;
	/* Frozen by someone else, or a file system in error: without freezing. */
	if (r == -EBUSY || r == -EIO)
		r = dmraw_call(control, DM_DEV_SUSPEND, &o->unfrozen);
	o->is_held = r == 0;
	return r;
}

/* Someone may have resumed the origin under us: then the snapshot is no good. */
static int check_held(int control, struct origin *o)
{
	int r = dmraw_call(control, DM_DEV_STATUS, &o->status);

	return r == 0 && !(o->status.io.flags & DM_SUSPEND_FLAG) ? -ETIMEDOUT : r;
}

static int for_origins(
	int control, struct shared *m, enum stage stage, int (*fn)(int control, struct origin *o))
{
	m->stage = stage;
	for (m->failed = 0; m->failed < m->count; m->failed++) {
		struct shot *shot = &m->shots[m->failed];

		for (size_t i = 0; i < shot->count; i++) {
			int r = fn(control, &shot->origins[i]);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int send_messages(int control, struct shared *m)
{
	m->stage = STAGE_MESSAGE;
	for (m->failed = 0; m->failed < m->count; m->failed++) {
		struct shot *shot = &m->shots[m->failed];

		if (atomic_load(&m->abort))
			return -ETIMEDOUT;
		int r = dmraw_call(control, DM_TARGET_MSG, &shot->message);
		if (r < 0)
			return r;
		shot->is_taken = true;
	}
	return 0;
}

/* All are tried, last suspended first. */
static int resume(int control, struct shared *m)
{
	int first = 0;

	for (size_t n = m->count; n-- > 0;)
		for (size_t i = m->shots[n].count; i-- > 0;) {
			struct origin *o = &m->shots[n].origins[i];
			int r = o->is_held ? dmraw_call(control, DM_DEV_SUSPEND, &o->resume) : 0;

			if (r < 0 && first == 0) {
				m->failed = n;
				first = r;
			}
		}
	return first;
}

/* All of the window; only ioctls.  Returns after every origin it suspended was resumed. */
static void window(int control, struct shared *m)
{
	const uint64_t start = clock_ns();
	int r = for_origins(control, m, STAGE_SUSPEND, suspend);

	if (r == 0)
		r = send_messages(control, m);
	if (r == 0)
		r = for_origins(control, m, STAGE_STATUS, check_held);
	const size_t failed = m->failed;
	int back = resume(control, m);
	m->window_ns = clock_ns() - start;
	if (r < 0)
		m->failed = failed;
	else if (back < 0)
		m->stage = STAGE_RESUME;
	m->result = r < 0 ? r : back;
	atomic_store(&m->done, 1);
}

static _Noreturn void child(int control, struct shared *m)
{
	sigset_t all;
	int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	(void)setsid();
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	if (oom >= 0 && write(oom, "-1000", 5) < 0)
		(void)0; /* only a help */
	manners_urgent();
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		(void)0; /* only a help */
	window(control, m);
	_exit(0);
}

/* All are tried; the first failure. */
static int resume_all(int control, const struct snapper *s)
{
	int first = 0;

	for (size_t n = 0; n < s->count; n++)
		for (size_t i = 0; i < s->shots[n].origin_count; i++) {
			int r = dmraw_resume(control, s->shots[n].origins[i]);

			first = first < 0 ? first : r;
		}
	return first;
}

/*
 * Stays until the child is gone; a wait that fails in another way says nothing about the child.
 * Never kills it: a suspender that hangs in the freeze would
 * complete the suspend later and die, leaving the origin suspended with no owner.
 */
static int watch(
	int control, const struct snapper *s, struct shared *m, pid_t pid, int *ret_resumed)
{
	const uint64_t deadline = clock_ns() + (uint64_t)s->deadline_ms * 1000000u;
	int status = 0;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid || (got < 0 && (errno == ECHILD || atomic_load(&m->done))))
			break;
		/* Asked to stop: a slow pool keeps the child from resuming for as long as the
		 * message takes. */
		if (clock_ns() > deadline || stop_asked())
			atomic_store(&m->abort, 1);
		if (atomic_load(&m->abort))
			(void)resume_all(control, s);
		clock_sleep_ms(2);
	}
	*ret_resumed = resume_all(control, s);
	for (int i = 0; i < RESUME_TRIES && *ret_resumed < 0; i++) {
		clock_sleep_ms(20);
		*ret_resumed = resume_all(control, s);
	}
	/* Its exit status may be lost, where somebody made us ignore SIGCHLD. */
	return atomic_load(&m->done) ? 0 : -EINTR;
}

static int outcome(struct snapper *s, const struct shared *m, int died, struct err *e)
{
	static const char *const stage[] = {"start", "suspend", "create_snap", "status", "resume"};

	s->window_ns = m->window_ns;
	s->failed = m->failed < s->count ? m->failed : 0;
	for (size_t n = 0; n < s->count; n++) {
		s->shots[n].is_taken = m->shots[n].is_taken;
		s->shots[n].was_frozen = m->shots[n].count > 0;
		for (size_t i = 0; i < m->shots[n].count; i++)
			s->shots[n].was_frozen &= m->shots[n].origins[i].was_frozen;
	}
	if (died < 0)
		return err_set(
			e, ERR_SOURCE, died, "the snapshot process died; the origin was resumed");
	if (atomic_load(&m->abort) && stop_check(e) < 0)
		return -ECANCELED;
	if (atomic_load(&m->abort) || m->result == -ETIMEDOUT)
		return err_set(e, ERR_SOURCE, -ETIMEDOUT,
			"the origin could not be frozen within %u ms; it was resumed",
			s->deadline_ms);
	if (m->result < 0)
		return err_sys(e, ERR_SOURCE, m->result, "%s", stage[m->stage]);
	return 0;
}

static void prepare(struct shared *m, const struct snapper *s)
{
	m->count = s->count;
	for (size_t n = 0; n < s->count; n++) {
		const struct snapper_shot *from = &s->shots[n];
		struct shot *to = &m->shots[n];

		dmraw_prepare_message(&to->message, from->pool, from->message);
		to->count = from->origin_count;
		for (size_t i = 0; i < from->origin_count; i++) {
			struct origin *o = &to->origins[i];
			const char *name = from->origins[i];

			dmraw_prepare(&o->suspend, name, DM_SUSPEND_FLAG);
			dmraw_prepare(&o->unfrozen, name, DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG);
			dmraw_prepare(&o->status, name, 0);
			dmraw_prepare(&o->resume, name, 0);
		}
	}
}

/* Nothing is suspended, so nothing needs a watchdog. */
static int without_window(int control, struct snapper *s, struct err *e)
{
	s->window_ns = 0;
	for (s->failed = 0; s->failed < s->count; s->failed++) {
		struct snapper_shot *shot = &s->shots[s->failed];
		struct dmraw q;

		dmraw_prepare_message(&q, shot->pool, shot->message);
		int r = dmraw_call(control, DM_TARGET_MSG, &q);
		if (r < 0)
			return err_sys(e, ERR_SOURCE, r, "create_snap");
		shot->is_taken = true;
	}
	s->failed = 0;
	return 0;
}

int snapper_run(struct snapper *s, struct err *e)
{
	AUTO_CLOSE int control = dmraw_open(e);
	size_t origins = 0;

	if (control < 0)
		return control;
	for (size_t n = 0; n < s->count; n++) {
		s->shots[n].was_frozen = s->shots[n].is_taken = false;
		origins += s->shots[n].origin_count;
	}
	if (origins == 0)
		return without_window(control, s, e);
	const size_t size = sizeof(struct shared) + s->count * sizeof(struct shot);
	struct shared *m =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		return err_sys(e, ERR_FATAL, -errno, "shared memory");
	prepare(m, s);
	pid_t pid = fork();
	if (pid == 0)
		child(control, m);
	int r = pid < 0 ? err_sys(e, ERR_FATAL, -errno, "fork") : 0;
	if (r == 0) {
		int resumed;
		int died = watch(control, s, m, pid, &resumed);

		r = outcome(s, m, died, e);
		if (resumed < 0)
			r = err_sys(e, ERR_LEFTOVER, resumed, "an origin may be suspended");
	}
	(void)munmap(m, size);
	return r;
}

int snapper_presync(const char *node, unsigned limit_s, struct err *e)
{
	pid_t pid = fork();
	int status = 0;

	if (pid < 0)
		return err_sys(e, ERR_FATAL, -errno, "fork");
	if (pid == 0) {
		/* It may hang on after us: then it must not hold our locks. */
		(void)close_range(3, ~0U, 0);
		int fd = open(node, O_RDONLY | O_CLOEXEC);

		/* The container's own data: the sooner they are down the shorter it waits. */
		manners_urgent();
		_exit(fd < 0 || ioctl(fd, BLKFLSBUF, 0) < 0);
	}
	int r = 0;
	for (unsigned ms = 0; r == 0 && ms < limit_s * 1000; ms += 5) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return 0; /* a failing flush only makes the window longer */
		clock_sleep_ms(5);
		r = stop_check(e);
	}
	/* In the kernel it may live on until its write ends; it changes nothing. */
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, WNOHANG);
	if (r < 0)
		return r;
	return err_set(e, ERR_SOURCE, -ETIMEDOUT, "'%s' could not write its dirty data within %u s",
		node, limit_s);
}

int snapper_resume(const char *name, struct err *e)
{
	AUTO_CLOSE int control = dmraw_open(e);
	int r = control < 0 ? control : dmraw_resume(control, name);

	if (control >= 0 && r < 0)
		return err_sys(e, ERR_LEFTOVER, r, "resume of '%s'", name);
	return r;
}
