/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_meta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* An O_PATH descriptor takes no attributes itself; its name in /proc leads to it and no further. */
static void fd_name(int fd, char out[40])
{
	(void)snprintf(out, 40, "/proc/self/fd/%d", fd);
}

/*
 * Set behind the mode: an ACL sets the mode's group bits to its mask, for which tars keep the
 * permissions of the group; capabilities go when the owner changes.
 */
static bool is_late(const struct tar_xattr *x)
{
	return strcmp(x->name, "security.capability") == 0 ||
	       strncmp(x->name, "system.posix_acl_", strlen("system.posix_acl_")) == 0;
}

static void set_xattr(
	int fd, bool is_path, const struct tar_xattr *x, const char *path, struct trouble *t)
{
	char name[40];
	int rc;

	if (is_path) {
		fd_name(fd, name);
		rc = setxattr(name, x->name, x->value, x->len, 0);
	} else {
		rc = fsetxattr(fd, x->name, x->value, x->len, 0);
	}
	if (rc < 0)
		trouble_add(t, path, "set extended attribute", errno);
}

static int set_mode(int fd, bool is_path, mode_t mode)
{
	char name[40];

	if (!is_path)
		return fchmod(fd, mode);
	fd_name(fd, name);
	return chmod(name, mode);
}

static int set_times(int fd, bool is_path, const struct timespec times[2])
{
	char name[40];

	if (!is_path)
		return futimens(fd, times);
	if (utimensat(fd, "", times, AT_EMPTY_PATH) == 0)
		return 0;
	/* Kernels before 5.8 do not know the flag here. */
	fd_name(fd, name);
	return errno == EINVAL ? utimensat(AT_FDCWD, name, times, 0) : -1;
}

/* Before the mode: with an ACL its group bits would be the ACL's mask. */
static void drop_acls(int fd, bool is_path, const struct tar_member *m, struct trouble *t)
{
	static const char *const acls[] = {"system.posix_acl_access", "system.posix_acl_default"};
	const size_t count = S_ISDIR(m->mode) ? 2 : 1;
	char name[40];

	fd_name(fd, name);
	for (size_t i = 0; i < count; i++) {
		int rc = is_path ? removexattr(name, acls[i]) : fremovexattr(fd, acls[i]);

		if (rc < 0 && errno != ENODATA && errno != ENOTSUP)
			trouble_add(t, m->path, "remove ACL", errno);
	}
}

void restore_meta(int fd, bool is_path, unsigned how, const struct tar_member *m, struct trouble *t)
{
	const struct timespec times[2] = {m->mtime, m->mtime};

	/* The owner first: changing it takes set-id bits and capabilities away. */
	if (how & META_OWNER && fchownat(fd, "", m->uid, m->gid, AT_EMPTY_PATH) < 0)
		trouble_add(t, m->path, "set owner", errno);
	if (how & META_PLAIN && !S_ISLNK(m->mode))
		drop_acls(fd, is_path, m, t);
	for (size_t i = 0; i < m->xattr_count; i++)
		if (!is_late(&m->xattrs[i]))
			set_xattr(fd, is_path, &m->xattrs[i], m->path, t);
	if (!S_ISLNK(m->mode) && set_mode(fd, is_path, m->mode & 07777) < 0)
		trouble_add(t, m->path, "set mode", errno);
	for (size_t i = 0; i < m->xattr_count; i++)
		if (is_late(&m->xattrs[i]))
			set_xattr(fd, is_path, &m->xattrs[i], m->path, t);
	if (set_times(fd, is_path, times) < 0)
		trouble_add(t, m->path, "set times", errno);
	if (m->lost)
		trouble_add(t, m->path, m->lost, ENOTSUP);
}
