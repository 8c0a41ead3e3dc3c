/* SPDX-License-Identifier: Apache-2.0 */
#include "dmraw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

int dmraw_open(struct err *e)
{
	int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, ERR_FATAL, -errno, "/dev/mapper/control");
	return fd;
}

void dmraw_prepare(struct dmraw *q, const char *name, uint32_t flags)
{
	*q = (struct dmraw){0};
	q->io.version[0] = DM_VERSION_MAJOR;
	q->io.data_size = sizeof(*q);
	q->io.data_start = offsetof(struct dmraw, room);
	q->io.flags = flags;
	(void)snprintf(q->io.name, sizeof(q->io.name), "%s", name);
}

void dmraw_prepare_message(struct dmraw *q, const char *name, const char *message)
{
	const size_t at = offsetof(struct dm_target_msg, message);

	dmraw_prepare(q, name, 0);
	(void)snprintf(q->room + at, sizeof(q->room) - at, "%s", message);
}

int dmraw_call(int control, unsigned long what, struct dmraw *q)
{
	return ioctl(control, what, q) < 0 ? -errno : 0;
}

int dmraw_resume(int control, const char *name)
{
	struct dmraw q;

	/* Asked first: on a live device it would swap in somebody's new table. */
	dmraw_prepare(&q, name, 0);
	int r = dmraw_call(control, DM_DEV_STATUS, &q);
	if (r == 0 && (q.io.flags & DM_SUSPEND_FLAG)) {
		dmraw_prepare(&q, name, 0);
		r = dmraw_call(control, DM_DEV_SUSPEND, &q);
		return r == 0 ? 1 : r == -ENXIO ? 0 : r;
	}
	return r == -ENXIO ? 0 : r;
}

int dmraw_status(int control, const char *name, char *ret, size_t size)
{
	struct dmraw q;
	const size_t at = sizeof(struct dm_target_spec);

	dmraw_prepare(&q, name, DM_NOFLUSH_FLAG);
	int r = dmraw_call(control, DM_TABLE_STATUS, &q);
	if (r < 0)
		return r;
	if (q.io.target_count < 1 || (q.io.flags & DM_BUFFER_FULL_FLAG))
		return -EIO;
	(void)snprintf(ret, size, "%.*s", (int)(sizeof(q.room) - at), q.room + at);
	return 0;
}
