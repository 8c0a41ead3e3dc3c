/* SPDX-License-Identifier: Apache-2.0 */
#include "index.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "scope.h"

#define PART_MAGIC "thinark-index" /* with its NUL, then the version */
#define PATH_LEN_MAX (1u << 20)

enum kind { KIND_ENTRY = 1, KIND_FRAME = 2, KIND_END = 3 };

static void put_number(struct strbuf *b, uint64_t v)
{
	char bytes[10];
	size_t n = 0;

	do {
		bytes[n++] = (char)((v & 0x7f) | (v > 0x7f ? 0x80u : 0u));
		v >>= 7;
	} while (v);
	strbuf_add(b, bytes, n);
}

/* Small numbers of both signs stay short: 0, -1, 1, -2, ... */
static void put_signed(struct strbuf *b, int64_t v)
{
	put_number(b, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

static void put_text(struct strbuf *b, const char *s)
{
	size_t len = strlen(s);

	put_number(b, len);
	strbuf_add(b, s, len);
}

static void put_time(struct strbuf *b, struct timespec t)
{
	put_signed(b, t.tv_sec);
	put_number(b, (uint64_t)t.tv_nsec);
}

static void put_record(struct strbuf *part, enum kind kind, const struct strbuf *body)
{
	put_number(part, kind);
	put_number(part, body->len);
	strbuf_add(part, body->data, body->len);
	part->failed |= body->failed;
}

void index_part_begin(struct strbuf *part)
{
	part->len = 0;
	strbuf_add(part, PART_MAGIC, sizeof(PART_MAGIC));
	put_number(part, INDEX_VERSION);
}

size_t index_put_entry(struct strbuf *part, const struct index_entry *x)
{
	AUTO_STRBUF b = {0};
	size_t content = 0;

	put_number(&b, x->has);
	put_text(&b, x->path);
	if (x->has & (INDEX_HARDLINK | INDEX_SYMLINK))
		put_text(&b, x->link);
	put_number(&b, x->mode);
	put_number(&b, x->uid);
	put_number(&b, x->gid);
	put_number(&b, x->size);
	put_number(&b, x->inode);
	put_time(&b, x->mtime);
	put_time(&b, x->ctime);
	put_number(&b, x->rdev_major);
	put_number(&b, x->rdev_minor);
	put_number(&b, x->header);
	put_number(&b, x->data - x->header);
	put_number(&b, x->end - x->data);
	if (x->has & INDEX_CONTENT) {
		content = b.len;
		strbuf_add(&b, (const char *)x->content, sizeof(x->content));
	}
	if (x->has & INDEX_XATTRS)
		strbuf_add(&b, (const char *)x->xattrs, sizeof(x->xattrs));
	if (x->has & INDEX_EXTENTS)
		strbuf_add(&b, (const char *)x->extents, sizeof(x->extents));
	if (x->has & INDEX_GENERATION)
		put_number(&b, x->generation);
	put_record(part, KIND_ENTRY, &b);
	return content && !part->failed ? part->len - b.len + content : 0;
}

void index_put_frame(struct strbuf *part, const struct frame_info *frame)
{
	AUTO_STRBUF b = {0};

	put_number(&b, frame->packed);
	put_number(&b, frame->raw);
	strbuf_add(&b, (const char *)frame->sha256, sizeof(frame->sha256));
	put_record(part, KIND_FRAME, &b);
}

void index_put_end(struct strbuf *part, uint64_t entries, uint64_t frames, uint64_t tar_bytes)
{
	AUTO_STRBUF b = {0};

	put_number(&b, entries);
	put_number(&b, frames);
	put_number(&b, tar_bytes);
	put_record(part, KIND_END, &b);
}

/* A reader that stays at the end once it was asked for more than there is. */
struct in {
	const unsigned char *p, *end;
	bool bad;
};

static uint64_t get_number(struct in *in)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (in->bad || in->p == in->end)
			break;
		unsigned char c = *in->p++;
		if (shift == 63 && c > 1)
			break;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return v;
	}
	in->bad = true;
	return 0;
}

static uint64_t get_up_to(struct in *in, uint64_t max)
{
	uint64_t v = get_number(in);

	in->bad |= v > max;
	return in->bad ? 0 : v;
}

static int64_t get_signed(struct in *in)
{
	uint64_t v = get_number(in);

	return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

static struct timespec get_time(struct in *in)
{
	struct timespec t;

	t.tv_sec = get_signed(in);
	t.tv_nsec = (long)get_up_to(in, 999999999);
	return t;
}

static void get_bytes(struct in *in, unsigned char *to, size_t len)
{
	if (in->bad || (size_t)(in->end - in->p) < len) {
		in->bad = true;
		return;
	}
	memcpy(to, in->p, len);
	in->p += len;
}

/* Borrows from the part; not terminated. */
static const char *get_text(struct in *in, size_t *len)
{
	uint64_t n = get_up_to(in, PATH_LEN_MAX);
	const char *s = (const char *)in->p;

	if (in->bad || (uint64_t)(in->end - in->p) < n || memchr(s, '\0', (size_t)n)) {
		in->bad = true;
		return NULL;
	}
	in->p += n;
	*len = (size_t)n;
	return s;
}

static bool types_fit(const struct index_entry *x)
{
	switch (x->mode & S_IFMT) {
	case S_IFREG:
		return !(x->has & INDEX_SYMLINK);
	case S_IFLNK:
		return ((x->has & INDEX_SYMLINK) || (x->has & INDEX_HARDLINK)) &&
		       !(x->has & INDEX_CONTENT);
	case S_IFDIR:
		return !(x->has & (INDEX_SYMLINK | INDEX_HARDLINK | INDEX_CONTENT));
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
		return !(x->has & (INDEX_SYMLINK | INDEX_CONTENT));
	default:
		return false;
	}
}

static bool get_entry(struct in *in, struct index_entry *x, const char **path, size_t *path_len,
	const char **link, size_t *link_len)
{
	*x = (struct index_entry){.has = (uint32_t)get_up_to(in, 255)};
	*path = get_text(in, path_len);
	if (x->has & (INDEX_HARDLINK | INDEX_SYMLINK))
		*link = get_text(in, link_len);
	x->mode = (uint32_t)get_up_to(in, UINT32_MAX);
	x->uid = (uint32_t)get_up_to(in, UINT32_MAX);
	x->gid = (uint32_t)get_up_to(in, UINT32_MAX);
	x->size = get_up_to(in, INT64_MAX);
	x->inode = get_number(in);
	x->mtime = get_time(in);
	x->ctime = get_time(in);
	x->rdev_major = (uint32_t)get_up_to(in, UINT32_MAX);
	x->rdev_minor = (uint32_t)get_up_to(in, UINT32_MAX);
	x->header = get_up_to(in, INT64_MAX);
	x->data = x->header + get_up_to(in, INT64_MAX - x->header);
	x->end = x->data + get_up_to(in, INT64_MAX - x->data);
	if (x->has & INDEX_CONTENT)
		get_bytes(in, x->content, sizeof(x->content));
	if (x->has & INDEX_XATTRS)
		get_bytes(in, x->xattrs, sizeof(x->xattrs));
	if (x->has & INDEX_EXTENTS)
		get_bytes(in, x->extents, sizeof(x->extents));
	if (x->has & INDEX_GENERATION)
		x->generation = (uint32_t)get_up_to(in, UINT32_MAX);
	return !in->bad && *path_len > 0 && types_fit(x);
}

/* Room for one more in an array that doubles. */
static int grow(void **items, size_t count, size_t *cap, size_t size)
{
	if (count < *cap)
		return 0;
	size_t more = *cap ? *cap * 2 : 64;
	void *grown = reallocarray(*items, more, size);

	if (!grown)
		return -ENOMEM;
	*items = grown;
	*cap = more;
	return 0;
}

/* What is behind its path is not looked at. */
static bool is_of_another(struct in in, const char *path)
{
	size_t len = 0;

	(void)get_up_to(&in, 255);
	const char *own = get_text(&in, &len);
	return own && (strncmp(path, own, len) != 0 || path[len] != '\0');
}

static void account(struct index *x, const struct index_entry *entry)
{
	if (entry->header < x->last_end && !x->misplaced)
		x->misplaced = x->seen;
	x->last_end = entry->end;
}

static int add_entry(struct in *in, struct index *x)
{
	struct index_entry entry;
	const char *path = NULL, *link = NULL;
	size_t path_len = 0, link_len = 0;

	x->seen++;
	if (x->only && is_of_another(*in, x->only))
		return 0;
	if (!get_entry(in, &entry, &path, &path_len, &link, &link_len))
		return -EBADMSG;
	account(x, &entry);
	if (grow((void **)&x->entries, x->count, &x->cap, sizeof(*x->entries)) < 0)
		return -ENOMEM;
	char *text = malloc(path_len + link_len + 2);
	if (!text)
		return -ENOMEM;
	memcpy(text, path, path_len);
	text[path_len] = '\0';
	entry.path = text;
	if (link) {
		memcpy(text + path_len + 1, link, link_len);
		text[path_len + 1 + link_len] = '\0';
		entry.link = text + path_len + 1;
	}
	x->entries[x->count++] = entry;
	return 0;
}

static int add_frame(struct in *in, struct index *x)
{
	struct frame_info f = {.packed = (uint32_t)get_up_to(in, UINT32_MAX),
		.raw = (uint32_t)get_up_to(in, UINT32_MAX)};

	get_bytes(in, f.sha256, sizeof(f.sha256));
	if (in->bad)
		return -EBADMSG;
	if (grow((void **)&x->frames, x->frame_count, &x->frame_cap, sizeof(*x->frames)) < 0)
		return -ENOMEM;
	x->frames[x->frame_count++] = f;
	return 0;
}

static int add_end(struct in *in, struct index *x)
{
	x->want_entries = get_number(in);
	x->want_frames = get_number(in);
	x->tar_bytes = get_up_to(in, INT64_MAX);
	if (in->bad || x->ended)
		return -EBADMSG;
	x->ended = true;
	return 0;
}

static int record(struct in *in, struct index *x)
{
	uint64_t kind = get_number(in), len = get_number(in);

	if (in->bad || len > (uint64_t)(in->end - in->p))
		return -EBADMSG;
	struct in body = {in->p, in->p + len, false};
	int rc = 0;
	if (kind == KIND_ENTRY)
		rc = add_entry(&body, x);
	else if (kind == KIND_FRAME)
		rc = add_frame(&body, x);
	else if (kind == KIND_END)
		rc = add_end(&body, x);
	/* Bytes behind the known fields are those of a later version. */
	in->p += len;
	return rc;
}

int index_part_read(const void *part, size_t len, struct index *ret, struct err *e)
{
	const unsigned char *start = part;
	struct in in = {start, start + len, false};

	if (len < sizeof(PART_MAGIC) || memcmp(part, PART_MAGIC, sizeof(PART_MAGIC)) != 0)
		return err_set(e, ERR_DAMAGED, -EBADMSG, "index: not a part of one");
	in.p += sizeof(PART_MAGIC);
	uint64_t version = get_number(&in);
	if (in.bad || version != INDEX_VERSION)
		return err_set(e, ERR_DAMAGED, -ENOTSUP,
			"index: version %" PRIu64 " is not known, only %d", version, INDEX_VERSION);
	while (in.p < in.end) {
		size_t at = (size_t)(in.p - start);
		int rc = record(&in, ret);

		if (rc == -ENOMEM)
			return err_sys(e, ERR_FATAL, rc, "index");
		if (rc < 0)
			return err_set(
				e, ERR_DAMAGED, rc, "index: record at byte %zu is damaged", at);
	}
	return 0;
}

int index_check(const struct index *x, struct err *e)
{
	if (!x->ended || x->want_entries != x->seen || x->want_frames != x->frame_count)
		return err_set(e, ERR_DAMAGED, -EBADMSG,
			"index: %zu entries and %zu frames found, %" PRIu64 " and %" PRIu64
			" expected",
			x->seen, x->frame_count, x->want_entries, x->want_frames);
	/* In order, the last one ends behind all others. */
	if (x->misplaced || x->last_end > x->tar_bytes)
		return err_set(e, ERR_DAMAGED, -EBADMSG, "index: entry %zu lies outside its place",
			(x->misplaced ? x->misplaced : x->seen) - 1);
	return 0;
}

void index_done(struct index *x)
{
	for (size_t i = 0; i < x->count; i++)
		free((void *)x->entries[i].path);
	free(x->entries);
	free(x->frames);
	*x = (struct index){0};
}
