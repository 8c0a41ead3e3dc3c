/* SPDX-License-Identifier: Apache-2.0 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "scope.h"

#define FILE_WINDOW (8u << 20) /* bytes on their way to the disk */
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

int file_tag(char ret[17], struct err *e)
{
	char id[256] = "";
	uint32_t host = 2166136261u, chance; /* FNV-1a */

	AUTO_FCLOSE FILE *f = fopen("/etc/machine-id", "re");
	if (!f || !fgets(id, sizeof(id), f))
		(void)gethostname(id, sizeof(id) - 1);
	for (const char *p = id; *p; p++)
		host = (host ^ (unsigned char)*p) * 16777619u;
	ssize_t n = getrandom(&chance, sizeof(chance), 0);
	if (n != (ssize_t)sizeof(chance))
		return err_sys(e, ERR_FATAL, n < 0 ? -errno : -EIO, "random number");
	(void)snprintf(ret, 17, "%08" PRIx32 "%08" PRIx32, host, chance);
	return 0;
}

void file_part_name(const char *name, const char *tag, char ret[300])
{
	const size_t len = strlen(name);

	/* The end tells an archive from its manifest. */
	if (len <= 200)
		(void)snprintf(ret, 300, ".%s.part-%.16s", name, tag);
	else
		(void)snprintf(ret, 300, ".%.188s%s.part-%.16s", name, name + len - 12, tag);
}

int file_part_begin(
	int dirfd, const char *name, const char *tag, struct file_part *p, struct err *e)
{
	struct stat st;

	*p = (struct file_part){.dirfd = -1, .fd = -1};
	if (strlen(name) >= sizeof(p->name))
		return err_sys(e, ERR_DEST, -ENAMETOOLONG, "%s", name);
	if (!*name || strchr(name, '/'))
		return err_set(e, ERR_DEST, -EINVAL, "'%s' is no file name", name);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_sys(e, ERR_DEST, -EEXIST, "%s", name);
	if (errno != ENOENT)
		return err_sys(e, ERR_DEST, -errno, "%s", name);
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	file_part_name(name, tag, p->part);
	p->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	if (p->dirfd >= 0)
		p->fd = openat(p->dirfd, p->part,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (p->fd >= 0)
		return 0;
	int rc = err_sys(e, ERR_DEST, -errno, "cannot create %s", name);
	/* Over a network it may be there although it failed. */
	if (p->dirfd >= 0 && rc != -EEXIST)
		(void)unlinkat(p->dirfd, p->part, 0);
	if (p->dirfd >= 0)
		(void)close(p->dirfd);
	*p = (struct file_part){.dirfd = -1, .fd = -1};
	return rc;
}

/*
 * Writing begins at once and all but the last window is waited for and forgotten: an archive
 * neither piles up dirty pages nor pushes the containers' pages out.  An error seen here is not
 * seen again by fsync.
 */
static int drain(struct file_part *p, uint64_t before)
{
	const off_t window = (off_t)FILE_WINDOW;
	const off_t end = (off_t)(p->written - p->written % FILE_WINDOW);

	if (before / FILE_WINDOW == p->written / FILE_WINDOW)
		return 0;
	if (sync_file_range(p->fd, end - window, window, SYNC_FILE_RANGE_WRITE) < 0)
		return errno == EIO || errno == ENOSPC || errno == EDQUOT ? -errno : 0;
	if (end < 2 * window)
		return 0;
	if (sync_file_range(p->fd, 0, end - window,
		    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			    SYNC_FILE_RANGE_WAIT_AFTER) < 0)
		return -errno;
	(void)posix_fadvise(p->fd, 0, end - window, POSIX_FADV_DONTNEED);
	return 0;
}

int file_part_write(struct file_part *p, const void *data, size_t len, struct err *e)
{
	const char *at = data;
	const uint64_t before = p->written;

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
	int rc = drain(p, before);
	return rc < 0 ? err_sys(e, ERR_DEST, rc, "cannot write %s", p->name) : 0;
}

/* Some file systems cannot rename without replacing: a link is as exclusive. */
int file_rename_new(int dirfd, const char *from, const char *to)
{
	if (renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(dirfd, from, dirfd, to, 0) < 0)
		return -errno;
	if (unlinkat(dirfd, from, 0) == 0)
		return 0;
	int rc = -errno;
	(void)unlinkat(dirfd, to, 0);
	return rc;
}

/* A rename over a network may have happened although it failed. */
static void withdraw(const struct file_part *p)
{
	struct stat st;

	if (fstatat(p->dirfd, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == p->dev &&
		st.st_ino == p->ino)
		(void)unlinkat(p->dirfd, p->name, 0);
}

int file_part_sync(struct file_part *p, struct err *e)
{
	struct stat st;

	if (fstat(p->fd, &st) < 0)
		return err_sys(e, ERR_DEST, -errno, "%s", p->name);
	if ((uint64_t)st.st_size != p->written)
		return err_set(e, ERR_DEST, -EIO,
			"%s: %" PRIu64 " bytes written, %" PRIu64 " found", p->name, p->written,
			(uint64_t)st.st_size);
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	if (fsync(p->fd) < 0)
		return err_sys(e, ERR_DEST, -errno, "cannot sync %s", p->name);
	/* Network file systems report lost writes here. */
	int fd = TAKE_FD(p->fd);
	if (close(fd) < 0)
		return err_sys(e, ERR_DEST, -errno, "cannot close %s", p->name);
	return 0;
}

int file_part_publish(struct file_part *p, struct err *e)
{
	int rc = file_rename_new(p->dirfd, p->part, p->name);

	if (rc < 0) {
		withdraw(p);
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

#define TRUST_LINKS 40 /* as many as the kernel follows, path_resolution(7) */

/* A walk from '/' that looks at every step before it takes it. */
struct trust {
	int at;                  /* owned; O_PATH of the folder reached */
	char done[PATH_MAX];     /* its path, without a final '/' */
	char todo[PATH_MAX * 2]; /* what is left */
	unsigned links;
};

static int check_trusted(const struct stat *st, const char *path, struct err *e)
{
	const bool is_sticky = S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX);

	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(e, ERR_CONFIG, -EPERM,
			"'%s' belongs to user %u and is not trusted: chown root '%s'", path,
			(unsigned)st->st_uid, path);
	if ((st->st_mode & 0022) && !is_sticky && !S_ISLNK(st->st_mode))
		return err_set(e, ERR_CONFIG, -EPERM,
			"'%s' is writable by others than its owner and is not trusted: "
			"chmod go-w '%s'",
			path, path);
	return 0;
}

static int follow(struct trust *t, int link, struct err *e)
{
	char target[PATH_MAX], rest[sizeof(t->todo)];
	ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);

	if (n <= 0 || ++t->links > TRUST_LINKS)
		return err_sys(e, ERR_CONFIG, n < 0 ? -errno : -ELOOP, "%s", t->todo);
	target[n] = '\0';
	(void)snprintf(rest, sizeof(rest), "%s", t->todo);
	if (snprintf(t->todo, sizeof(t->todo), "%s/%s", target, rest) >= (int)sizeof(t->todo))
		return err_sys(e, ERR_CONFIG, -ENAMETOOLONG, "%s", target);
	if (target[0] != '/')
		return 0;
	(void)close(t->at);
	t->at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	t->done[0] = '\0';
	return t->at < 0 ? err_sys(e, ERR_CONFIG, -errno, "/") : 0;
}

/* Cuts the first name off what is left; false: nothing is left. */
static bool next_name(struct trust *t, char name[NAME_MAX + 1])
{
	const char *p = t->todo + strspn(t->todo, "/");
	const size_t len = strcspn(p, "/");

	/* A longer name is cut, and then does not exist. */
	(void)snprintf(name, NAME_MAX + 1, "%.*s", (int)(len > NAME_MAX ? NAME_MAX : len), p);
	memmove(t->todo, p + len, strlen(p + len) + 1);
	return len > 0;
}

static int enter(struct trust *t, int *fd, const char *name, struct err *e)
{
	char *slash = strrchr(t->done, '/');
	const size_t used = strlen(t->done);

	if (strcmp(name, "..") == 0 && slash)
		*slash = '\0';
	else if (strcmp(name, "..") != 0 && snprintf(t->done + used, sizeof(t->done) - used, "/%s",
						    name) >= (int)(sizeof(t->done) - used))
		return err_sys(e, ERR_CONFIG, -ENAMETOOLONG, "%s", name);
	(void)close(t->at);
	t->at = TAKE_FD(*fd);
	return 0;
}

/* 0: a folder or link was taken; 1: the regular file is reached, *st is it. */
static int step(struct trust *t, const char *name, struct stat *st, struct err *e)
{
	char path[PATH_MAX + NAME_MAX + 2];
	AUTO_CLOSE int fd = openat(t->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	(void)snprintf(path, sizeof(path), "%s/%s", t->done, name);
	if (fd < 0 || fstat(fd, st) < 0)
		return err_sys(e, ERR_CONFIG, -errno, "%s", path);
	int r = check_trusted(st, path, e);
	if (r < 0)
		return r;
	if (S_ISLNK(st->st_mode))
		return follow(t, fd, e);
	if (S_ISDIR(st->st_mode))
		return enter(t, &fd, name, e);
	if (t->todo[strspn(t->todo, "/")])
		return err_sys(e, ERR_CONFIG, -ENOTDIR, "%s", path);
	if (!S_ISREG(st->st_mode))
		return err_set(e, ERR_CONFIG, -EINVAL, "'%s' is not a regular file", path);
	return 1;
}

static int start_walk(struct trust *t, const char *path, struct err *e)
{
	AUTO_FREE char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
	struct stat st;

	if (path[0] != '/' && !here)
		return err_sys(e, ERR_CONFIG, -errno, "the working folder");
	if (snprintf(t->todo, sizeof(t->todo), "%s/%s", here ? here : "", path) >=
		(int)sizeof(t->todo))
		return err_sys(e, ERR_CONFIG, -ENAMETOOLONG, "%s", path);
	t->at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t->at < 0 || fstat(t->at, &st) < 0)
		return err_sys(e, ERR_CONFIG, -errno, "/");
	return check_trusted(&st, "/", e);
}

int file_open_trusted(const char *path, int *ret_fd, struct err *e)
{
	struct trust t = {.at = -1};
	struct stat want, st;
	char name[NAME_MAX + 1];
	int r = start_walk(&t, path, e);

	while (r == 0) {
		if (!next_name(&t, name))
			r = err_sys(e, ERR_CONFIG, -EISDIR, "%s", path);
		else if (strcmp(name, ".") != 0)
			r = step(&t, name, &want, e);
	}
	if (r == 1 && ret_fd) {
		AUTO_CLOSE int fd =
			openat(t.at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

		if (fd < 0 || fstat(fd, &st) < 0)
			r = err_sys(e, ERR_CONFIG, -errno, "%s", path);
		else if (st.st_dev != want.st_dev || st.st_ino != want.st_ino)
			r = err_set(e, ERR_CONFIG, -EAGAIN, "'%s' was replaced meanwhile", path);
		else
			*ret_fd = TAKE_FD(fd);
	}
	if (t.at >= 0)
		(void)close(t.at);
	return r < 0 ? r : 0;
}
