/* SPDX-License-Identifier: Apache-2.0 */
#include "snapper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "clock.h"
#include "scope.h"
#include "stop.h"

/* One request in the kernel's layout; the size is fixed, so nothing is allocated later. */
struct request {
	struct dm_ioctl io;
	union {
		struct dm_target_msg msg;
		char room[512];
	} u;
};

/* Shared between child and parent; anonymous shared memory. */
struct shared {
	atomic_int abort;
	int result; /* negative errno of what failed, 0 */
	int stage;  /* 1 suspend, 2 message, 3 status, 4 resume */
	int frozen;
	uint64_t window_ns;
	struct request suspend[SNAPPER_ORIGINS], status[SNAPPER_ORIGINS], resume[SNAPPER_ORIGINS];
	struct request message;
};

static void prepare(struct request *q, const char *name, uint32_t flags)
{
	*q = (struct request){0};
	q->io.version[0] = DM_VERSION_MAJOR;
	q->io.data_size = sizeof(*q);
	q->io.data_start = offsetof(struct request, u);
	q->io.flags = flags;
	(void)snprintf(q->io.name, sizeof(q->io.name), "%s", name);
}

static int call(int control, unsigned long what, struct request *q)
{
	return ioctl(control, what, q) < 0 ? -errno : 0;
}

/* All of the window; only ioctls.  Returns after every origin it suspended was resumed. */
static void window(int control, const struct snapper *s, struct shared *m)
{
	size_t held = 0;
	int r = 0;
	const uint64_t start = clock_ns();

	m->frozen = 1;
	for (; r == 0 && held < s->origin_count; held += r == 0) {
		m->stage = 1;
		r = call(control, DM_DEV_SUSPEND, &m->suspend[held]);
		if (r == -EBUSY || r == -EIO) {
			/* Frozen by someone else, or a file system in error: without freezing. */
			prepare(&m->suspend[held], s->origins[held],
				DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG);
			r = call(control, DM_DEV_SUSPEND, &m->suspend[held]);
			m->frozen = 0;
		}
	}
	if (r == 0 && !atomic_load(&m->abort)) {
		m->stage = 2;
		r = call(control, DM_TARGET_MSG, &m->message);
	} else if (r == 0) {
		r = -ETIMEDOUT;
	}
	/* Someone may have resumed the origin under us: then the snapshot is no good. */
	for (size_t i = 0; r == 0 && i < held; i++) {
		m->stage = 3;
		r = call(control, DM_DEV_STATUS, &m->status[i]);
		if (r == 0 && !(m->status[i].io.flags & DM_SUSPEND_FLAG))
			r = -ETIMEDOUT;
	}
	for (size_t i = held; i-- > 0;) {
		int back = call(control, DM_DEV_SUSPEND, &m->resume[i]);

		if (r == 0 && back < 0) {
			m->stage = 4;
			r = back;
		}
	}
	m->window_ns = clock_ns() - start;
	m->result = r;
}

static _Noreturn void child(int control, const struct snapper *s, struct shared *m)
{
	sigset_t all;
	int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	(void)setsid();
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	if (oom >= 0 && write(oom, "-1000", 5) < 0)
		(void)0; /* only a help */
	(void)setpriority(PRIO_PROCESS, 0, -18);
	/* A run at idle I/O priority must not freeze at it; without privilege: best effort,
	 * highest. */
	(void)syscall(SYS_ioprio_set, 1, 0, 2 << 13);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		(void)0; /* only a help */
	window(control, s, m);
	_exit(0);
}

static int is_suspended(int control, const char *name)
{
	struct request q;

	prepare(&q, name, 0);
	return call(control, DM_DEV_STATUS, &q) == 0 && (q.io.flags & DM_SUSPEND_FLAG);
}

static void resume_all(int control, const struct snapper *s)
{
	struct request q;

	for (size_t i = 0; i < s->origin_count; i++)
		if (is_suspended(control, s->origins[i])) {
			prepare(&q, s->origins[i], 0);
			(void)call(control, DM_DEV_SUSPEND, &q);
		}
}

/*
 * Stays until the child is reaped.  Never kills it: a suspender that hangs in the freeze would
 * complete the suspend later and die, leaving the origin suspended with no owner.
 */
static int watch(int control, const struct snapper *s, struct shared *m, pid_t pid)
{
	const uint64_t deadline = clock_ns() + (uint64_t)s->deadline_ms * 1000000u;
	int status = 0;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid || (got < 0 && errno != EINTR))
			break;
		/* Asked to stop: a slow pool keeps the child from resuming for as long as the
		 * message takes. */
		if (clock_ns() > deadline || stop_asked())
			atomic_store(&m->abort, 1);
		if (atomic_load(&m->abort))
			resume_all(control, s);
		clock_sleep_ms(2);
	}
	resume_all(control, s);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EINTR;
}

static int open_control(struct err *e)
{
	int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, ERR_FATAL, -errno, "/dev/mapper/control");
	return fd;
}

static int outcome(struct snapper *s, const struct shared *m, int died, struct err *e)
{
	static const char *const stage[] = {"start", "suspend", "create_snap", "status", "resume"};

	s->window_ns = m->window_ns;
	s->was_frozen = m->frozen;
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

int snapper_run(struct snapper *s, struct err *e)
{
	AUTO_CLOSE int control = open_control(e);

	if (control < 0)
		return control;
	if (s->origin_count == 0) {
		s->window_ns = 0;
		s->was_frozen = 0;
		return dmdev_message(s->pool, s->message, e);
	}
	struct shared *m =
		mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		return err_sys(e, ERR_FATAL, -errno, "shared memory");
	for (size_t i = 0; i < s->origin_count; i++) {
		prepare(&m->suspend[i], s->origins[i], DM_SUSPEND_FLAG);
		prepare(&m->status[i], s->origins[i], 0);
		prepare(&m->resume[i], s->origins[i], 0);
	}
	prepare(&m->message, s->pool, 0);
	(void)snprintf(m->message.u.room + offsetof(struct dm_target_msg, message),
		sizeof(m->message.u.room) - offsetof(struct dm_target_msg, message), "%s",
		s->message);
	pid_t pid = fork();
	if (pid == 0)
		child(control, s, m);
	int r = pid < 0 ? err_sys(e, ERR_FATAL, -errno, "fork")
			: outcome(s, m, watch(control, s, m, pid), e);
	(void)munmap(m, sizeof(*m));
	return r;
}

int snapper_presync(const char *node, unsigned limit_s, struct err *e)
{
	pid_t pid = fork();
	int status = 0;

	if (pid < 0)
		return err_sys(e, ERR_FATAL, -errno, "fork");
	if (pid == 0) {
		int fd = open(node, O_RDONLY | O_CLOEXEC);

		_exit(fd < 0 || ioctl(fd, BLKFLSBUF, 0) < 0);
	}
	for (unsigned ms = 0; ms < limit_s * 1000; ms += 5) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return 0; /* a failing flush only makes the window longer */
		clock_sleep_ms(5);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, WNOHANG);
	return err_set(e, ERR_SOURCE, -ETIMEDOUT, "'%s' could not write its dirty data within %u s",
		node, limit_s);
}

int snapper_resume(const char *name, struct err *e)
{
	AUTO_CLOSE int control = open_control(e);
	struct request q;

	if (control < 0)
		return control;
	if (!is_suspended(control, name))
		return 0;
	prepare(&q, name, 0);
	int r = call(control, DM_DEV_SUSPEND, &q);
	if (r < 0 && r != -ENXIO)
		return err_sys(e, ERR_LEFTOVER, r, "resume of '%s'", name);
	return r == 0;
}
