/* SPDX-License-Identifier: Apache-2.0 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "scope.h"

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

/* Opens one component; a folder made here survives a crash only if its parent is synced too. */
static int open_step(int at, const char *name, bool create)
{
	int fd = openat(at, name, DIR_FLAGS | O_NOFOLLOW);

	if (fd >= 0 || errno != ENOENT || !create)
		return fd < 0 ? -errno : fd;
	if (mkdirat(at, name, 0700) < 0) {
		if (errno != EEXIST)
			return -errno;
	} else if (fsync(at) < 0) {
		return -errno;
	}
	fd = openat(at, name, DIR_FLAGS | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int file_open_dir(int rootfd, const char *path, bool create, int *ret_fd, struct err *e)
{
	AUTO_CLOSE int at = openat(rootfd, ".", DIR_FLAGS);
	const char *p = path;

	if (at < 0)
		return err_sys(e, ERR_DEST, -errno, "cannot open the folder");
	while (*p) {
		size_t len = strcspn(p, "/");
		char name[256];

		if (len >= sizeof(name))
			return err_sys(e, ERR_DEST, -ENAMETOOLONG, "%s", path);
		memcpy(name, p, len);
		name[len] = '\0';
		p += len;
		while (*p == '/')
			p++;
		if (len == 0 || strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0)
			return err_set(e, ERR_DEST, -EINVAL, "%s: '..' is not allowed", path);
		int next = open_step(at, name, create);
		if (next < 0)
			return err_sys(e, ERR_DEST, next, "cannot open folder %s", path);
		(void)close(at);
		at = next;
	}
	*ret_fd = TAKE_FD(at);
	return 0;
}

static int make_part(struct file_part *p)
{
	for (int tries = 0; tries < 16; tries++) {
		uint64_t r;

		ssize_t n = getrandom(&r, sizeof(r), 0);
		if (n != (ssize_t)sizeof(r))
			return n < 0 ? -errno : -EIO;
		/* Cut, so that the longest final name still has a temporary one. */
		(void)snprintf(p->part, sizeof(p->part), ".%.200s.part-%016" PRIx64, p->name, r);
		p->fd = openat(p->dirfd, p->part,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (p->fd >= 0)
			return 0;
		if (errno != EEXIST)
			break;
	}
	int rc = -errno;
	/* Over a network it may be there although it failed. */
	(void)unlinkat(p->dirfd, p->part, 0);
	p->part[0] = '\0';
	return rc;
}

int file_part_begin(int dirfd, const char *name, struct file_part *p, struct err *e)
{
	struct stat st;

	*p = (struct file_part){.dirfd = -1, .fd = -1};
	if (strlen(name) >= sizeof(p->name))
		return err_sys(e, ERR_DEST, -ENAMETOOLONG, "%s", name);
	if (!*name || strchr(name, '/'))
		return err_set(e, ERR_DEST, -EINVAL, "'%s' is no file name", name);
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_sys(e, ERR_DEST, -EEXIST, "%s", name);
	if (errno != ENOENT)
		return err_sys(e, ERR_DEST, -errno, "%s", name);
	p->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	if (p->dirfd < 0)
		return err_sys(e, ERR_DEST, -errno, "%s", name);
	int rc = make_part(p);
	if (rc == 0)
		return 0;
	(void)close(p->dirfd);
	p->dirfd = -1;
	return err_sys(e, ERR_DEST, rc, "cannot create %s", name);
}

int file_part_write(struct file_part *p, const void *data, size_t len, struct err *e)
{
	const char *at = data;

	while (len) {
		ssize_t n = write(p->fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(
				e, ERR_DEST, n < 0 ? -errno : -EIO, "cannot write %s", p->name);
		at += n;
		len -= (size_t)n;
		p->written += (uint64_t)n;
	}
	return 0;
}

/* Some file systems cannot rename without replacing: a link is as exclusive. */
static int rename_new(struct file_part *p)
{
	if (renameat2(p->dirfd, p->part, p->dirfd, p->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(p->dirfd, p->part, p->dirfd, p->name, 0) < 0)
		return -errno;
	if (unlinkat(p->dirfd, p->part, 0) == 0)
		return 0;
	int rc = -errno;
	(void)unlinkat(p->dirfd, p->name, 0);
	return rc;
}

/* A rename over a network may have happened although it failed. */
static void withdraw(const struct file_part *p, const struct stat *ours)
{
	struct stat st;

	if (fstatat(p->dirfd, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		st.st_dev == ours->st_dev && st.st_ino == ours->st_ino)
		(void)unlinkat(p->dirfd, p->name, 0);
}

int file_part_publish(struct file_part *p, struct err *e)
{
	struct stat st;

	if (fstat(p->fd, &st) < 0)
		return err_sys(e, ERR_DEST, -errno, "%s", p->name);
	if ((uint64_t)st.st_size != p->written)
		return err_set(e, ERR_DEST, -EIO,
			"%s: %" PRIu64 " bytes written, %" PRIu64 " found", p->name, p->written,
			(uint64_t)st.st_size);
	if (fsync(p->fd) < 0)
		return err_sys(e, ERR_DEST, -errno, "cannot sync %s", p->name);
	/* Network file systems report lost writes here. */
	int fd = TAKE_FD(p->fd);
	if (close(fd) < 0)
		return err_sys(e, ERR_DEST, -errno, "cannot close %s", p->name);
	int rc = rename_new(p);
	if (rc < 0) {
		withdraw(p, &st);
		return err_sys(e, ERR_DEST, rc, "cannot publish %s", p->name);
	}
	p->part[0] = '\0';
	if (fsync(p->dirfd) < 0) {
		rc = err_sys(e, ERR_DEST, -errno, "cannot sync the folder of %s", p->name);
		(void)unlinkat(p->dirfd, p->name, 0);
		return rc;
	}
	return 0;
}

int file_part_drop(struct file_part *p, struct err *e)
{
	int rc = 0;

	/* A zeroed one was never begun and owns nothing. */
	if (!p->name[0])
		return 0;
	if (p->part[0] && unlinkat(p->dirfd, p->part, 0) < 0 && errno != ENOENT)
		rc = err_sys(e, ERR_DEST, -errno, "cannot remove %s", p->part);
	if (p->fd >= 0)
		(void)close(p->fd);
	if (p->dirfd >= 0)
		(void)close(p->dirfd);
	*p = (struct file_part){.dirfd = -1, .fd = -1};
	return rc;
}
