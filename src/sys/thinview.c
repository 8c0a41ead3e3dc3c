/* SPDX-License-Identifier: Apache-2.0 */
#include "thinview.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "scope.h"
#include "stop.h"

#define SECTOR_MAX 4096u       /* the largest logical block of a device: what O_DIRECT asks for */
#define WINDOW (1024u * 1024u) /* read at once */

struct thinview {
	struct thinmeta *meta;
	struct thinmeta_runs *runs;
	char *path;
	int fd;
	uint32_t id;
	uint64_t block_bytes;
	uint8_t *window; /* WINDOW bytes, aligned to SECTOR_MAX */
};

static void scope_view(struct thinview **v)
{
	thinview_close(*v);
}
#define AUTO_VIEW __attribute__((cleanup(scope_view))) struct thinview

static int open_data(struct thinview *v, struct err *e)
{
	struct stat st;

	/* O_EXCL means something for block devices only. */
	v->fd = open(v->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_EXCL);
	if (v->fd < 0 || fstat(v->fd, &st) < 0)
		return err_sys(e, ERR_POOL, -errno, "data '%s'", v->path);
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(
			e, ERR_POOL, -ENOTBLK, "data '%s': neither file nor block device", v->path);
	if (S_ISBLK(st.st_mode) && fcntl(v->fd, F_SETFL, O_DIRECT) < 0)
		return err_sys(e, ERR_POOL, -errno, "data '%s': O_DIRECT", v->path);
	return 0;
}

int thinview_open(struct thinmeta *m, uint32_t id, const char *data_path, struct thinview **ret,
	struct err *e)
{
	AUTO_VIEW *v = calloc(1, sizeof(*v));
	struct thinmeta_device d;

	if (!v)
		return err_sys(e, ERR_FATAL, -ENOMEM, "data '%s'", data_path);
	v->meta = m;
	v->id = id;
	v->fd = -1;
	v->block_bytes = thinmeta_block_bytes(m);
	v->path = strdup(data_path);
	v->window = aligned_alloc(SECTOR_MAX, WINDOW);
	if (!v->path || !v->window)
		return err_sys(e, ERR_FATAL, -ENOMEM, "data '%s'", data_path);
	int r = thinmeta_device_find(m, id, &d, e);
	if (r == 0)
		r = thinmeta_runs_open(m, &d, &v->runs, e);
	if (r == 0)
		r = open_data(v, e);
	if (r == 0)
		*ret = TAKE_PTR(v);
	return r;
}

void thinview_close(struct thinview *v)
{
	if (!v)
		return;
	thinmeta_runs_close(v->runs);
	if (v->fd >= 0)
		(void)close(v->fd);
	free(v->window);
	free(v->path);
	free(v);
}

/*
 * Reads 1 to *len bytes at offset of the data into the window, aligned as O_DIRECT wants it; sets
 * *ret to them and *len to their number.  -ENODATA behind the end.
 */
static int fill(struct thinview *v, uint64_t offset, size_t *len, const uint8_t **ret)
{
	const size_t skip = offset % SECTOR_MAX;
	size_t want = *len < WINDOW - skip ? *len : WINDOW - skip, have = 0;
	const size_t all = (skip + want + SECTOR_MAX - 1) / SECTOR_MAX * SECTOR_MAX;

	while (have < skip + want) {
		ssize_t n =
			pread(v->fd, v->window + have, all - have, (off_t)(offset - skip + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 && have > skip)
			break;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		have += (size_t)n;
	}
	*ret = v->window + skip;
	*len = have - skip < want ? have - skip : want;
	return 0;
}

static int data_error(const struct thinview *v, int code, uint64_t offset, struct err *e)
{
	if (code == -ENODATA)
		return err_set(e, ERR_POOL, -EIO, "data '%s': byte %" PRIu64 " is behind its end",
			v->path, offset);
	return err_sys(e, ERR_POOL, code, "data '%s': byte %" PRIu64, v->path, offset);
}

static int read_mapped(struct thinview *v, uint64_t from, uint8_t *to, size_t len, struct err *e)
{
	while (len) {
		const uint8_t *got;
		size_t n = len;
		int r = fill(v, from, &n, &got);

		if (r < 0) {
			(void)data_error(v, r, from, e);
			return -EIO;
		}
		memcpy(to, got, n);
		from += n;
		to += n;
		len -= n;
	}
	return 0;
}

/* The bytes of a run, as far as they lie within [*from, *to). */
static uint64_t cut(
	const struct thinview *v, const struct thinmeta_run *r, uint64_t *from, uint64_t *to)
{
	const uint64_t begin = r->virtual_begin * v->block_bytes;
	const uint64_t end = begin + r->length * v->block_bytes;

	*from = begin > *from ? begin : *from;
	*to = end < *to ? end : *to;
	return r->data_begin * v->block_bytes + (*from - begin);
}

int thinview_pread(struct thinview *v, void *buf, size_t len, uint64_t offset, struct err *e)
{
	const uint64_t end = offset + len;
	struct thinmeta_run run;
	uint64_t at = offset;
	uint8_t *out = buf;

	if (end < offset || end > INT64_MAX)
		return err_set(e, ERR_POOL, -EINVAL,
			"thin device %" PRIu32 ": there is no byte %" PRIu64, v->id, offset);
	thinmeta_runs_seek(v->runs, offset / v->block_bytes,
		end / v->block_bytes + (end % v->block_bytes != 0));
	while (thinmeta_runs_next(v->runs, &run)) {
		uint64_t from = at, to = end, data = cut(v, &run, &from, &to);

		memset(out + (at - offset), 0, from - at);
		if (run.damage.reason != THINMETA_SOUND) {
			char text[512];

			(void)thinmeta_damage_text(v->meta, &run.damage, text, sizeof(text));
			return err_set(e, ERR_POOL, -EIO, "thin device %" PRIu32 ": metadata %s",
				v->id, text);
		}
		int r = read_mapped(v, data, out + (from - offset), to - from, e);
		if (r < 0)
			return err_add(e, "thin device %" PRIu32, v->id);
		at = to;
	}
	memset(out + (at - offset), 0, end - at);
	return 0;
}

struct copy {
	struct thinview *view;
	int fd;
	const struct thinview_events *events;
	struct thinview_copied sum;
};

static void lose(struct copy *c, uint64_t offset, uint64_t len, const char *why)
{
	c->sum.lost_bytes += len;
	c->sum.losses++;
	if (c->events->lost)
		c->events->lost(c->events->arg, offset, len, why);
}

static int write_at(struct copy *c, const uint8_t *data, size_t len, uint64_t at, struct err *e)
{
	c->sum.mapped_bytes += len;
	while (len) {
		ssize_t n = pwrite(c->fd, data, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(
				e, ERR_DEST, n < 0 ? -errno : -EIO, "image: byte %" PRIu64, at);
		data += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * Bytes [at, end) of the device are those of the data from data on.  Where a large read fails,
 * small ones follow, so that a bad sector costs no more than itself.
 */
static int copy_run(struct copy *c, uint64_t at, uint64_t end, uint64_t data, struct err *e)
{
	uint64_t small_until = 0, bad = at; /* [bad, at) is lost */
	struct err why = {0};
	int r = 0;

	while (at < end && r == 0) {
		const uint64_t most = at < small_until ? SECTOR_MAX : WINDOW;
		size_t n = (size_t)(end - at < most ? end - at : most);
		const uint8_t *got;
		int failed = fill(c->view, data, &n, &got);

		if (failed < 0 && failed != -ENODATA && n > SECTOR_MAX) {
			small_until = at + WINDOW;
			continue;
		}
		if (failed < 0) {
			if (bad == at)
				(void)data_error(c->view, failed, data, &why);
			n = failed == -ENODATA ? (size_t)(end - at) : n;
		} else {
			if (bad < at)
				lose(c, bad, at - bad, why.text);
			bad = at + n;
			r = write_at(c, got, n, at, e);
			if (c->events->progress)
				c->events->progress(c->events->arg, c->sum.mapped_bytes);
		}
		at += n;
		data += n;
		r = r < 0 ? r : stop_check(e);
	}
	if (bad < at)
		lose(c, bad, at - bad, why.text);
	return r;
}

int thinview_copy(struct thinview *v, int fd, uint64_t size, const struct thinview_events *events,
	struct thinview_copied *ret, struct err *e)
{
	struct copy c = {.view = v, .fd = fd, .events = events};
	const uint64_t limit = size ? size : (uint64_t)INT64_MAX / v->block_bytes * v->block_bytes;
	struct thinmeta_run run;
	int r = 0;

	thinmeta_runs_seek(v->runs, 0, limit / v->block_bytes + (limit % v->block_bytes != 0));
	while (r == 0 && thinmeta_runs_next(v->runs, &run)) {
		uint64_t from = 0, to = limit, data = cut(v, &run, &from, &to);

		if (run.damage.reason == THINMETA_SOUND) {
			r = copy_run(&c, from, to, data, e);
			c.sum.size = to;
		} else {
			char text[512];

			(void)thinmeta_damage_text(v->meta, &run.damage, text, sizeof(text));
			lose(&c, from, to - from, text);
		}
	}
	if (size)
		c.sum.size = size;
	if (r == 0 && ftruncate(fd, (off_t)c.sum.size) < 0)
		r = err_sys(e, ERR_DEST, -errno, "image: size of %" PRIu64 " bytes", c.sum.size);
	*ret = c.sum;
	return r < 0 ? err_add(e, "thin device %" PRIu32, v->id) : 0;
}
