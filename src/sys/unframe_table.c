/* SPDX-License-Identifier: Apache-2.0 */
#include "unframe_table.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format.h"
#include "scope.h"

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

int frame_pread(int fd, void *to, size_t len, uint64_t at, struct err *e)
{
	unsigned char *p = to;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, ERR_SOURCE, -errno, "cannot read at byte %" PRIu64, at);
		if (n == 0)
			return err_set(e, ERR_DAMAGED, -EBADMSG,
				"the file ends at byte %" PRIu64 ", too early", at);
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int frame_table_add(struct frame_table *t, bool is_part, struct unframe_frame frame)
{
	struct unframe_frame **items = is_part ? &t->parts : &t->frames;
	size_t *count = is_part ? &t->part_count : &t->count;
	size_t *cap = is_part ? &t->part_cap : &t->cap;

	if (*count == *cap) {
		size_t more = *cap ? *cap * 2 : 64;
		void *grown = reallocarray(*items, more, sizeof(**items));

		if (!grown)
			return -ENOMEM;
		*items = grown;
		*cap = more;
	}
	(*items)[(*count)++] = frame;
	return 0;
}

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_DAMAGED, -EBADMSG, "seek table: %s", why);
}

/* One entry of the table; a frame without content is a part of the index or something else. */
static int add(
	int fd, struct frame_table *t, uint64_t at, uint32_t packed, uint32_t raw, struct err *e)
{
	unsigned char head[FORMAT_SKIP_HEAD];
	int rc = 0;

	if (raw) {
		rc = frame_table_add(
			t, false, (struct unframe_frame){at, t->tar_bytes, packed, raw});
		t->tar_bytes += raw;
	} else if (packed > FORMAT_SKIP_HEAD) {
		rc = frame_pread(fd, head, sizeof(head), at, e);
		if (rc < 0)
			return rc;
		if (get32(head) == FORMAT_INDEX_MAGIC &&
			get32(head + 4) == packed - FORMAT_SKIP_HEAD)
			rc = frame_table_add(t, true,
				(struct unframe_frame){
					at + FORMAT_SKIP_HEAD, 0, packed - FORMAT_SKIP_HEAD, 0});
	}
	return rc < 0 ? err_sys(e, ERR_FATAL, rc, "seek table") : 0;
}

static int fill(int fd, struct frame_table *t, const unsigned char *entry, size_t count,
	size_t step, uint64_t end, struct err *e)
{
	uint64_t at = 0;

	for (size_t i = 0; i < count; i++, entry += step) {
		uint32_t packed = get32(entry), raw = get32(entry + 4);

		if (packed > end - at)
			return bad(e, "frames reach behind its place");
		if (raw > FRAME_RAW_MAX || (raw && packed > FRAME_RAW_MAX + (1u << 20)))
			return bad(e, "frames are too large");
		int rc = add(fd, t, at, packed, raw, e);
		if (rc < 0)
			return rc;
		at += packed;
	}
	return at == end ? 0 : bad(e, "frames do not add up to its place");
}

int frame_table_load(int fd, uint64_t size, struct frame_table *t, struct err *e)
{
	unsigned char foot[FORMAT_SEEK_FOOT], head[FORMAT_SKIP_HEAD];

	if (size < FORMAT_SEEK_FOOT + FORMAT_SKIP_HEAD)
		return bad(e, "the file is too short");
	int rc = frame_pread(fd, foot, sizeof(foot), size - sizeof(foot), e);
	if (rc < 0)
		return rc;
	size_t count = get32(foot), step = foot[4] & 0x80 ? 12 : 8;
	if (get32(foot + 5) != FORMAT_SEEK_END || count > FORMAT_FRAMES_MAX || (foot[4] & 0x7c))
		return bad(e, "not there");
	uint64_t body = (uint64_t)count * step + FORMAT_SEEK_FOOT;
	if (body > UINT32_MAX || body + FORMAT_SKIP_HEAD > size)
		return bad(e, "longer than the file");
	uint64_t start = size - body - FORMAT_SKIP_HEAD;
	rc = frame_pread(fd, head, sizeof(head), start, e);
	if (rc < 0)
		return rc;
	if (get32(head) != FORMAT_SEEK_MAGIC || get32(head + 4) != body)
		return bad(e, "its frame does not fit");
	AUTO_FREE unsigned char *entries = malloc(body);
	if (!entries)
		return err_sys(e, ERR_FATAL, -ENOMEM, "seek table");
	rc = frame_pread(fd, entries, body, start + FORMAT_SKIP_HEAD, e);
	if (rc == 0)
		rc = fill(fd, t, entries, count, step, start, e);
	if (rc < 0)
		frame_table_done(t);
	return rc;
}

void frame_table_done(struct frame_table *t)
{
	free(t->frames);
	free(t->parts);
	*t = (struct frame_table){0};
}
