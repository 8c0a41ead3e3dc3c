/* SPDX-License-Identifier: Apache-2.0 */
#include "foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "scope.h"

int foreign_open(int dirfd, const char *path, int flags)
{
	AUTO_CLOSE int at = -1;

	for (;;) {
		size_t len = strcspn(path, "/");
		int how = O_CLOEXEC | O_NOFOLLOW;
		char part[NAME_MAX + 1];
		int fd;

		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(part, path, len);
		part[len] = '\0';
		how |= path[len] ? O_PATH | O_DIRECTORY : flags;
		fd = openat(at >= 0 ? at : dirfd, part, how);
		if (fd < 0)
			return -errno;
		if (!path[len])
			return fd;
		if (at >= 0)
			(void)close(at);
		at = fd;
		path += len + 1;
	}
}

int foreign_read(int fd, const char *name, size_t max, char **ret, size_t *ret_len, struct err *e)
{
	AUTO_FREE char *data = NULL;
	struct stat st;
	size_t len = 0, size;

	if (fstat(fd, &st) < 0)
		return err_sys(e, ERR_STORE, -errno, "%s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_STORE, -EINVAL, "%s: not a regular file", name);
	if (st.st_size < 0 || (unsigned long long)st.st_size > max)
		return err_set(e, ERR_STORE, -EFBIG, "%s: larger than %zu bytes", name, max);
	size = (size_t)st.st_size;
	data = malloc(size + 1);
	if (!data)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
	while (len < size) {
		ssize_t n = read(fd, data + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, ERR_STORE, -errno, "%s", name);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	data[len] = '\0';
	*ret = TAKE_PTR(data);
	*ret_len = len;
	return 0;
}
