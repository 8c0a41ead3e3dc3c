/* SPDX-License-Identifier: Apache-2.0 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "clock.h"
#include "dm.h"
#include "fsinfo.h"
#include "lock.h"
#include "scope.h"

/* Is the mount on a thin device and not on a path that we write to? */
static bool is_engine_mount(struct libmnt_fs *fs)
{
	char path[96], line[80] = "";
	const char *target = mnt_fs_get_target(fs);
	const char *type = mnt_fs_get_fstype(fs);
	const dev_t dev = mnt_fs_get_devno(fs);

	/* Docker's, and containerd's of any version. */
	if (!target || !type ||
		(!strstr(target, "/devicemapper/mnt/") &&
			!strstr(target, "/io.containerd.runtime.")))
		return false;
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/dm/name", major(dev), minor(dev));
	AUTO_FCLOSE FILE *f = fopen(path, "re");
	return f && fgets(line, sizeof(line), f);
}

static bool is_in_mountinfo(const char *file, unsigned major, unsigned minor)
{
	struct libmnt_table *tb = mnt_new_table_from_file(file);
	bool found = tb && mnt_table_find_devno(tb, makedev(major, minor), MNT_ITER_FORWARD);

	mnt_unref_table(tb);
	return found;
}

bool view_is_mounted(unsigned major, unsigned minor)
{
	/* Of the kernel as a whole, whoever's mount namespace it is in. */
	static const char *const types[] = {"ext4", "xfs", "btrfs"};
	char node[64], path[128];
	struct err ignored;

	if (dmdev_node(major, minor, node, &ignored) == 0)
		for (size_t i = 0; i < ARRAY_LEN(types); i++) {
			(void)snprintf(path, sizeof(path), "/sys/fs/%s/%s", types[i],
				strrchr(node, '/') + 1);
			if (access(path, F_OK) == 0)
				return true;
		}
	return is_in_mountinfo("/proc/self/mountinfo", major, minor) ||
	       is_in_mountinfo("/proc/1/mountinfo", major, minor);
}

/* Where "/" is not shared the engine's unmount does not reach us: drop our copies at once. */
static void detach_engine_mounts(void)
{
	struct libmnt_table *tb = mnt_new_table_from_file("/proc/self/mountinfo");
	struct libmnt_iter *it = mnt_new_iter(MNT_ITER_BACKWARD);
	struct libmnt_fs *fs;

	while (tb && it && mnt_table_next_fs(tb, it, &fs) == 0)
		if (is_engine_mount(fs))
			(void)umount2(mnt_fs_get_target(fs), MNT_DETACH | UMOUNT_NOFOLLOW);
	mnt_free_iter(it);
	mnt_unref_table(tb);
}

int view_isolate(struct err *e)
{
	if (unshare(CLONE_NEWNS) < 0)
		return err_sys(e, ERR_FATAL, -errno, "mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(e, ERR_FATAL, -errno, "mount propagation");
	detach_engine_mounts();
	if (mkdir(LOCK_RUN_DIR, 0700) < 0 && errno != EEXIST)
		return err_sys(e, ERR_FATAL, -errno, LOCK_RUN_DIR);
	if (mkdir(VIEW_DIR, 0700) < 0 && errno != EEXIST)
		return err_sys(e, ERR_FATAL, -errno, VIEW_DIR);
	return 0;
}

int view_probe(const char *node, const char **ret_type, struct err *e)
{
	uint8_t b[FSINFO_BYTES] = {0};
	AUTO_CLOSE int fd = open(node, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, ERR_SOURCE, -errno, "'%s'", node);
	ssize_t n = pread(fd, b, sizeof(b), 0);
	if (n != (ssize_t)sizeof(b))
		return err_sys(e, ERR_SOURCE, n < 0 ? -errno : -EIO, "'%s': superblock", node);
	struct fsinfo info;
	int r = fsinfo_parse(b, &info, e);
	if (r == 0)
		*ret_type = info.type;
	return r;
}

int view_mount(
	const char *node, const char *type, const char *target, enum view_mode mode, struct err *e)
{
	/* One that is being repaired must not be made worse. */
	static const char *const options[][2] = {
		[VIEW_READ_ONLY] = {"errors=continue", "nouuid"},
		[VIEW_UNREPLAYED] = {"errors=continue,noload", "nouuid,norecovery"},
		[VIEW_WRITABLE] = {"errors=remount-ro", "nouuid"},
	};
	const unsigned long read_only = mode == VIEW_WRITABLE ? 0 : MS_RDONLY | MS_NOEXEC;
	struct libmnt_context *c = mnt_new_context();

	if (!c)
		return err_sys(e, ERR_FATAL, -ENOMEM, "mount");
	(void)mnt_context_disable_helpers(c, 1);
	(void)mnt_context_disable_mtab(c, 1);
	(void)mnt_context_disable_canonicalize(c, 1);
	int r = mnt_context_set_source(c, node);
	if (r == 0)
		r = mnt_context_set_target(c, target);
	if (r == 0)
		r = mnt_context_set_fstype(c, type);
	if (r == 0)
		r = mnt_context_set_options(c, options[mode][strcmp(type, "xfs") == 0]);
	if (r == 0)
		r = mnt_context_set_mflags(c, read_only | MS_NOSUID | MS_NODEV | MS_NOATIME);
	if (r == 0)
		r = mnt_context_mount(c);
	int code = mnt_context_syscall_called(c) ? mnt_context_get_syscall_errno(c) : 0;
	mnt_free_context(c);
	if (r != 0)
		return err_sys(e, ERR_SOURCE, code ? -code : -EIO, "mount of %s %s", type,
			read_only ? "read-only" : "read-write");
	return 0;
}

int view_protect(const char *path, struct err *e)
{
	if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_sys(e, ERR_FATAL, -errno, "'%s': bind mount", path);
	if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOATIME, NULL) < 0)
		return err_sys(e, ERR_FATAL, -errno, "'%s': read-only bind mount", path);
	return 0;
}

int view_open(const char *subdir, int *ret_fd, struct err *e)
{
	AUTO_CLOSE int root = open(VIEW_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return err_sys(e, ERR_SOURCE, -errno, VIEW_DIR);
	if (!*subdir) {
		*ret_fd = TAKE_FD(root);
		return 0;
	}
	int fd = openat(root, subdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(
			e, ERR_SOURCE, -errno, "folder '%s' of the container's device", subdir);
	*ret_fd = fd;
	return 0;
}

int view_umount(const char *target, struct err *e)
{
	int r = -EBUSY;

	/* As for devices, other failures are tried again too. */
	for (int i = 0; i < (r == -EBUSY ? 50 : 3) && r < 0; i++) {
		if (i)
			clock_sleep_ms(100);
		r = umount2(target, UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
		if (r == -EINVAL || r == -ENOENT)
			r = 0;
	}
	return r < 0 ? err_sys(e, ERR_LEFTOVER, r, "unmount of %s", target) : 0;
}

int view_umount_now(const char *target, struct err *e)
{
	int r = umount2(target, UMOUNT_NOFOLLOW) < 0 ? -errno : 0;

	if (r == -EBUSY)
		return err_set(e, ERR_LOCKED, r, "a process uses what is mounted there");
	return r < 0 && r != -EINVAL && r != -ENOENT ? err_sys(e, ERR_LEFTOVER, r, "unmount") : 0;
}
