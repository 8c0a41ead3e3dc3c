/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of a stopped engine, from its loop files or devices; see pool.h. */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "ledger.h"
#include "loop.h"
#include "proc.h"
#include "scope.h"
#include "thinmeta.h"

/* Attaches a loop device that goes away by itself with its last user.  The fd keeps it meanwhile.
 */
static int attach(const char *path, const char *pool, uint64_t limit, int *ret_fd, struct err *e)
{
	AUTO_CLOSE int file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	return file < 0 ? err_sys(e, ERR_STORE, -errno, "'%s'", path)
			: loop_attach(file, path, pool, limit, ret_fd, e);
}

int pool_loop_release(const struct ledger_entry *x, struct err *e)
{
	char node[32];
	struct loop_info64 info;

	(void)snprintf(node, sizeof(node), "/dev/loop%" PRIu32, x->loop);
	AUTO_CLOSE int fd = open(node, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENXIO
			       ? 0
			       : err_sys(e, ERR_LEFTOVER, -errno, "'%s'", node);
	/* Over nothing, over somebody's other file, or it will go by itself. */
	if (ioctl(fd, LOOP_GET_STATUS64, &info) < 0 || info.lo_device != x->backing_dev ||
		info.lo_inode != x->backing_ino || (info.lo_flags & LO_FLAGS_AUTOCLEAR))
		return 0;
	if (ioctl(fd, LOOP_CLR_FD) < 0 && errno != ENXIO)
		return err_sys(e, ERR_LEFTOVER, -errno, "'%s': detach", node);
	return 0;
}

static int open_backing(const char *path, const char *pool, bool is_loop, uint64_t need,
	struct stat *ret_st, int *ret_fd, struct err *e)
{
	struct stat st;

	if (is_loop) {
		if (stat(path, &st) < 0)
			return err_sys(e, ERR_STORE, -errno, "'%s'", path);
		if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size < need)
			return err_set(e, ERR_POOL, -EINVAL,
				"'%s' is shorter than the %" PRIu64 " bytes its metadata records",
				path, need);
		int r = attach(path, pool, need, ret_fd, e);
		if (r < 0)
			return r;
	} else {
		*ret_fd = open(path, O_RDWR | O_CLOEXEC);
		if (*ret_fd < 0)
			return err_sys(e, ERR_STORE, -errno, "'%s'", path);
	}
	if (fstat(*ret_fd, ret_st) < 0)
		return err_sys(e, ERR_STORE, -errno, "'%s'", path);
	if (!S_ISBLK(ret_st->st_mode))
		return err_set(e, ERR_STORE, -ENOTBLK, "'%s' is no block device", path);
	return 0;
}

int pool_assemble(const struct pool_ref *ref, struct pool *ret, struct err *e)
{
	struct thinmeta_superblock s;
	struct stat meta, data;
	AUTO_CLOSE int meta_fd = -1;
	AUTO_CLOSE int data_fd = -1;
	char params[160];

	if (!ref->data_path || !ref->metadata_path || !ref->dm_name)
		return err_set(e, ERR_STORE, -ENOENT,
			"pool '%s' is not active and has no files to assemble it from; start what "
			"owns it, or name another pool with the store's key 'pool'",
			ref->dm_name ? ref->dm_name : "?");
	/* An engine that runs may open the same files at any moment. */
	if (proc_find_docker(NULL, 0, NULL))
		return err_set(e, ERR_STORE, -EBUSY,
			"pool '%s' is not active although a dockerd runs; try again when it is up",
			ref->dm_name);
	int r = thinmeta_superblock_read(ref->metadata_path, &s, e);
	if (r < 0)
		return r;
	if (s.flags & 1)
		return err_set(e, ERR_POOL, -EUCLEAN, "'%s': the pool needs a check (thin_check)",
			ref->metadata_path);
	r = open_backing(ref->metadata_path, ref->dm_name, ref->is_loop,
		s.metadata_blocks * THINMETA_BLOCK, &meta, &meta_fd, e);
	if (r == 0)
		r = open_backing(ref->data_path, ref->dm_name, ref->is_loop,
			s.data_blocks * s.block_sectors * 512, &data, &data_fd, e);
	if (r < 0)
		return r;
	/* The exact recorded length: a longer table would make the pool grow. */
	(void)snprintf(params, sizeof(params), "%u:%u %u:%u %" PRIu32 " 32768 1 skip_block_zeroing",
		major(meta.st_rdev), minor(meta.st_rdev), major(data.st_rdev), minor(data.st_rdev),
		s.block_sectors);
	const struct dmdev_target t = {.length_sectors = s.data_blocks * s.block_sectors,
		.type = "thin-pool",
		.params = params};
	struct dmdev_info info;
	r = dmdev_create(ref->dm_name, NULL, &t, false, true, &info, e);
	if (r < 0)
		return err_add(e, "pool '%s'", ref->dm_name);
	*ret = (struct pool){.major = info.major,
		.minor = info.minor,
		.meta_major = major(meta.st_rdev),
		.meta_minor = minor(meta.st_rdev),
		.block_sectors = s.block_sectors,
		.is_ours = true};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", ref->dm_name);
	return 0;
}

int pool_close(struct pool *p, struct err *e)
{
	/* An engine that started meanwhile has adopted the pool by its name; it takes it down
	 * itself. */
	if (!p->is_ours || proc_find_docker(NULL, 0, NULL))
		return 0;
	int r = dmdev_remove(p->name, e);
	if (r == 0)
		p->is_ours = false;
	return r;
}
