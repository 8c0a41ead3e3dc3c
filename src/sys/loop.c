/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "ledger.h"
#include "scope.h"

/*
 * Before Linux 5.8 it takes two steps, and a loop device that was not told to vanish by itself
 * would stay for ever; hence the ledger.
 */
static int configure_in_steps(
	int fd, int file, struct ledger_entry *x, struct loop_info64 *info, struct err *e)
{
	struct stat st;

	if (fstat(file, &st) < 0)
		return err_sys(e, ERR_STORE, -errno, "'%s'", x->path);
	x->backing_dev = st.st_dev;
	x->backing_ino = st.st_ino;
	int r = ledger_write(x, e);
	if (r < 0)
		return r;
	if (ioctl(fd, LOOP_SET_FD, file) < 0)
		r = err_sys(e, ERR_STORE, -errno, "loop device %u on '%s'", x->loop, x->path);
	if (r == 0 && ioctl(fd, LOOP_SET_STATUS64, info) < 0) {
		r = err_sys(e, ERR_STORE, -errno, "loop device %u: settings", x->loop);
		(void)ioctl(fd, LOOP_CLR_FD);
	}
	int gone = ledger_remove(x, r < 0 ? NULL : e);
	return r < 0 ? r : gone;
}

static int configure(int fd, int file, uint32_t number, const char *pool, const char *path,
	uint64_t limit, struct err *e)
{
	struct ledger_entry x = {.kind = LEDGER_LOOP, .loop = number};
	struct loop_config c = {.fd = (uint32_t)file,
		.info = {.lo_flags = LO_FLAGS_AUTOCLEAR, .lo_sizelimit = limit}};

	(void)snprintf((char *)c.info.lo_file_name, sizeof(c.info.lo_file_name), "%s", path);
	(void)snprintf(x.pool, sizeof(x.pool), "%s", pool);
	(void)snprintf(x.path, sizeof(x.path), "%s", path);
	if (ioctl(fd, LOOP_CONFIGURE, &c) == 0)
		return 0;
	if (errno == EINVAL || errno == ENOTTY)
		return configure_in_steps(fd, file, &x, &c.info, e);
	return err_sys(e, ERR_STORE, -errno, "loop device %u on '%s'", number, path);
}

int loop_attach(
	int file, const char *path, const char *owner, uint64_t limit, int *ret_fd, struct err *e)
{
	AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control < 0)
		return err_sys(e, ERR_STORE, -errno, "/dev/loop-control");
	for (int tries = 0; tries < 32; tries++) {
		char node[LOOP_NODE_CAP];
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		if (n < 0)
			return err_sys(e, ERR_STORE, -errno, "no free loop device");
		(void)snprintf(node, sizeof(node), "/dev/loop%d", n);
		AUTO_CLOSE int fd = open(node, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return err_sys(e, ERR_STORE, -errno, "'%s'", node);
		int r = configure(fd, file, (uint32_t)n, owner, path, limit, e);
		if (r == -EBUSY)
			continue; /* somebody was faster */
		if (r == 0)
			*ret_fd = TAKE_FD(fd);
		return r;
	}
	return err_set(e, ERR_STORE, -EBUSY, "no free loop device");
}

int loop_node(int fd, char ret[LOOP_NODE_CAP], struct err *e)
{
	struct loop_info64 info;

	if (ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return err_sys(e, ERR_STORE, -errno, "loop device");
	(void)snprintf(ret, LOOP_NODE_CAP, "/dev/loop%" PRIu32, info.lo_number);
	return 0;
}
