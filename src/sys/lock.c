/* SPDX-License-Identifier: Apache-2.0 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "scope.h"

/* Root's is the host's; who cannot write there can only meet own runs. */
static int lock_path(char out[PATH_MAX], struct err *e)
{
	const char *dir = getenv("XDG_RUNTIME_DIR"), *file = "thinark.lock";

	if (geteuid() == 0) {
		(void)mkdir(LOCK_RUN_DIR, 0700);
		dir = LOCK_RUN_DIR;
		file = "lock";
	} else if (!dir || dir[0] != '/') {
		dir = getenv("HOME");
		file = ".thinark.lock";
	}
	if (!dir || dir[0] != '/')
		return err_set(e, ERR_FATAL, -ENOENT,
			"no place for the lock: neither XDG_RUNTIME_DIR nor HOME is set");
	if (snprintf(out, PATH_MAX, "%s/%s", dir, file) >= PATH_MAX)
		return err_sys(e, ERR_FATAL, -ENAMETOOLONG, "lock");
	return 0;
}

int lock_take(int *ret_fd, struct err *e)
{
	char pid[32] = "", path[PATH_MAX];
	int r = lock_path(path, e);

	if (r < 0)
		return r;
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, ERR_FATAL, -errno, "%s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

		pid[n > 0 ? n : 0] = '\0';
		return err_set(e, ERR_LOCKED, -EWOULDBLOCK, "another run is active (process %s)",
			pid[0] ? pid : "unknown");
	}
	int n = snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		return err_sys(e, ERR_FATAL, -errno, "%s", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}
