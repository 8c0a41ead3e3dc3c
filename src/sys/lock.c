/* SPDX-License-Identifier: Apache-2.0 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "clock.h"
#include "scope.h"

#define LOCK_FILE LOCK_RUN_DIR "/lock"

static int read_owner(int fd)
{
	char pid[32] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? n : 0] = '\0';
	return atoi(pid);
}

bool lock_is_orphaned(void)
{
	AUTO_CLOSE int fd = open(LOCK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return false;
	int owner = read_owner(fd);
	if (owner <= 0 || kill(owner, 0) == 0 || errno != ESRCH)
		return false;
	/* A new owner has the lock a moment before its number is in the file. */
	clock_sleep_ms(50);
	return read_owner(fd) == owner;
}

int lock_take(int *ret_fd, struct err *e)
{
	char pid[32];

	(void)mkdir(LOCK_RUN_DIR, 0700);
	AUTO_CLOSE int fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, ERR_FATAL, -errno, LOCK_FILE);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		return err_set(e, ERR_LOCKED, -EWOULDBLOCK, "another run is active (process %d)",
			read_owner(fd));
	}
	int n = snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		return err_sys(e, ERR_FATAL, -errno, LOCK_FILE);
	*ret_fd = TAKE_FD(fd);
	return 0;
}
