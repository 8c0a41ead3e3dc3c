/* SPDX-License-Identifier: Apache-2.0 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "clock.h"
#include "scope.h"
#include "stop.h"

#define POLL_MS 100

static int busy(int fd, const char *kind, const char *name, struct err *e)
{
	char owner[160] = "";
	ssize_t n = pread(fd, owner, sizeof(owner) - 1, 0);

	owner[n > 0 ? n : 0] = '\0';
	owner[strcspn(owner, "\n")] = '\0';
	return err_set(e, ERR_LOCKED, -EWOULDBLOCK, "%s '%s' is in use by %s", kind, name,
		owner[0] ? owner : "another run");
}

/* Root's are the host's; who cannot write there can only meet own runs. */
static int lock_path(const char *kind, const char *name, char out[PATH_MAX], struct err *e)
{
	const char *dir = getenv("XDG_RUNTIME_DIR"), *dot = "thinark-";

	if (geteuid() == 0) {
		if (mkdir(LOCK_RUN_DIR, 0700) < 0 && errno != EEXIST)
			return err_sys(e, ERR_FATAL, -errno, LOCK_RUN_DIR);
		dir = LOCK_RUN_DIR;
		dot = "";
	} else if (!dir || dir[0] != '/') {
		dir = getenv("HOME");
		dot = ".thinark-";
	}
	if (!dir || dir[0] != '/')
		return err_set(e, ERR_FATAL, -ENOENT,
			"no place for the lock: neither XDG_RUNTIME_DIR nor HOME is set");
	int n = snprintf(out, PATH_MAX, "%s/%s%s-%s.lock", dir, dot, kind, name);
	if (n >= PATH_MAX)
		return err_sys(e, ERR_FATAL, -ENAMETOOLONG, "lock");
	for (char *c = out + strlen(dir) + 1; *c; c++)
		if (*c == '/')
			*c = '_';
	return 0;
}

int lock_take(const char *kind, const char *name, const char *what, unsigned wait_s, int *ret_fd,
	struct err *e)
{
	const uint64_t deadline = clock_ns() + (uint64_t)wait_s * 1000000000u;
	char path[PATH_MAX], owner[160], when[24];
	int r = lock_path(kind, name, path, e);

	if (r < 0)
		return r;
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, ERR_FATAL, -errno, "%s", path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		const int why = errno;

		if (why != EWOULDBLOCK && why != EINTR)
			return err_sys(e, ERR_FATAL, -why, "%s", path);
		if (stop_check(e) < 0)
			return e->code;
		if (why == EWOULDBLOCK && clock_ns() >= deadline)
			return busy(fd, kind, name, e);
		clock_sleep_ms(POLL_MS);
	}
	int n = snprintf(owner, sizeof(owner), "process %d, %.80s, since %s\n", (int)getpid(), what,
		clock_rfc3339(time(NULL), when));
	if (ftruncate(fd, 0) < 0 || pwrite(fd, owner, (size_t)n, 0) != n)
		return err_sys(e, ERR_FATAL, -errno, "%s", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int read_owner(int fd)
{
	char text[32] = "";
	int pid = 0;

	return pread(fd, text, sizeof(text) - 1, 0) > 0 && sscanf(text, "process %d", &pid) == 1
		       ? pid
		       : 0;
}

bool lock_is_orphaned(const char *kind, const char *name)
{
	char path[PATH_MAX];
	struct err e;

	if (lock_path(kind, name, path, &e) < 0)
		return false;
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int owner = fd < 0 ? 0 : read_owner(fd);
	if (owner <= 0 || kill(owner, 0) == 0 || errno != ESRCH)
		return false;
	/* A new owner has the lock a moment before its number is in the file. */
	clock_sleep_ms(50);
	return read_owner(fd) == owner;
}
