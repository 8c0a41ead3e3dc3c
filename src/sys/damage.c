/* SPDX-License-Identifier: Apache-2.0 */
#include "damage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "scope.h"

#define LEVEL_ERR 3 /* of the kernel log: more serious is less */

static int64_t read_counter(const char *device)
{
	char path[96], line[32] = "";

	(void)snprintf(path, sizeof(path), "/sys/fs/ext4/%s/errors_count", device);
	AUTO_FCLOSE FILE *f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return -1;
	return strtoll(line, NULL, 10);
}

static int open_events(const char *dir)
{
#ifdef FAN_FS_ERROR
	int fd = fanotify_init(
		FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY);

	if (fd >= 0 && fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_FS_ERROR, AT_FDCWD,
			       dir) == 0)
		return fd;
	if (fd >= 0)
		(void)close(fd);
#else
	(void)dir;
#endif
	return -1;
}

void damage_begin(struct damage *d, const char *node, const char *dir)
{
	const char *slash = strrchr(node, '/');

	*d = (struct damage){.events = -1, .log = -1};
	(void)snprintf(d->device, sizeof(d->device), "%s", slash ? slash + 1 : node);
	d->before = read_counter(d->device);
	d->events = open_events(dir);
	d->log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (d->log >= 0)
		(void)lseek(d->log, 0, SEEK_END);
}

int damage_is_about(const char *record, const char *device, char *text, size_t size)
{
	const char *body = strchr(record, ';');
	const unsigned long priority = strtoul(record, NULL, 10);
	const size_t len = strlen(device);

	if (!body || (priority & 7) > LEVEL_ERR)
		return 0;
	body++;
	/* "EXT4-fs error (device dm-7): ..." and "XFS (dm-7): ...", but not dm-70. */
	for (const char *at = strstr(body, device); at; at = strstr(at + 1, device)) {
		if (at == body || (at[-1] != '(' && at[-1] != ' ') ||
			(at[len] != ')' && at[len] != ',' && at[len] != ':'))
			continue;
		(void)snprintf(text, size, "%.*s", (int)strcspn(body, "\n"), body);
		return 1;
	}
	return 0;
}

static uint64_t count_events(int fd)
{
	char buf[8192] __attribute__((aligned(8)));
	uint64_t count = 0;

	for (ssize_t n; fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0;) {
		const struct fanotify_event_metadata *m = (const void *)buf;

		for (; FAN_EVENT_OK(m, n); m = FAN_EVENT_NEXT(m, n))
			count++;
	}
	return count;
}

static uint64_t count_log(const struct damage *d, char *first, size_t size)
{
	char record[8193];
	uint64_t count = 0;

	while (d->log >= 0) {
		char text[200];
		ssize_t n = read(d->log, record, sizeof(record) - 1);

		/* EPIPE: the oldest records were lost meanwhile; the next call goes on behind them.
		 */
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (n <= 0)
			break;
		record[n] = '\0';
		if (damage_is_about(record, d->device, text, sizeof(text)) && count++ == 0)
			(void)snprintf(first, size, "%s", text);
	}
	return count;
}

void damage_end(struct damage *d, struct trouble *t)
{
	char first[200] = "", what[320];
	const int64_t after = read_counter(d->device);
	const uint64_t events = count_events(d->events), lines = count_log(d, first, sizeof(first));
	const uint64_t counted =
		after > d->before && d->before >= 0 ? (uint64_t)(after - d->before) : 0;

	if (events || lines || counted) {
		(void)snprintf(what, sizeof(what),
			"the kernel reported errors of the file system (%" PRIu64 " counted%s%s)",
			counted > events ? counted
			: events         ? events
					 : lines,
			first[0] ? ", first: " : "", first);
		trouble_add(t, ".", what, EUCLEAN);
	}
	if (d->events >= 0)
		(void)close(d->events);
	if (d->log >= 0)
		(void)close(d->log);
}
