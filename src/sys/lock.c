/* SPDX-License-Identifier: Apache-2.0 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "scope.h"

int lock_take(int *ret_fd, struct err *e)
{
	char pid[32] = "";

	(void)mkdir(LOCK_RUN_DIR, 0700);
	AUTO_CLOSE int fd =
		open(LOCK_RUN_DIR "/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, ERR_FATAL, -errno, LOCK_RUN_DIR "/lock");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

		pid[n > 0 ? n : 0] = '\0';
		return err_set(e, ERR_LOCKED, -EWOULDBLOCK, "another run is active (process %s)",
			pid[0] ? pid : "unknown");
	}
	int n = snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		return err_sys(e, ERR_FATAL, -errno, LOCK_RUN_DIR "/lock");
	*ret_fd = TAKE_FD(fd);
	return 0;
}
