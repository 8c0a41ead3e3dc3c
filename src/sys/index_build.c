/* SPDX-License-Identifier: Apache-2.0 */
#include "index_build.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "index.h"
#include "scope.h"

#define SUMS 128 /* in a block */

/* Digests that frames will write, and where in the part they belong.  They never move. */
struct sums {
	struct sums *next;
	size_t count;
	struct sum {
		unsigned char value[DIGEST_LEN];
		size_t at; /* 0: in an entry that was not put down */
	} items[SUMS];
};

/* A part of the index; those that are long enough wait for their digests. */
struct part {
	struct part *next;
	struct strbuf text;
	struct sums *sums;
	uint64_t end; /* in the tar: of its last entry */
};

struct index_build {
	struct frames *to;
	struct part *part;            /* being filled */
	struct part *waiting, **last; /* in their order */
	uint64_t entries;
	struct digest *xattrs;
	struct index_entry entry; /* at hand; its texts are borrowed until its end */
	struct sum *sum;          /* its content's, or NULL */
	int rc;
	struct err e; /* of the first failure */
	bool is_finished;
};

static struct part *new_part(void)
{
	struct part *p = calloc(1, sizeof(*p));

	if (p)
		index_part_begin(&p->text);
	return p;
}

static void free_part(struct part *p)
{
	while (p && p->sums) {
		struct sums *s = p->sums;

		p->sums = s->next;
		free(s);
	}
	if (p)
		strbuf_free(&p->text);
	free(p);
}

int index_build_new(struct frames *to, struct index_build **ret, struct err *e)
{
	struct index_build *b = calloc(1, sizeof(*b));

	if (!b)
		return err_sys(e, ERR_FATAL, -ENOMEM, "index");
	b->to = to;
	b->last = &b->waiting;
	b->part = new_part();
	int rc = b->part ? digest_new(&b->xattrs, e) : err_sys(e, ERR_FATAL, -ENOMEM, "index");
	if (rc < 0) {
		index_build_free(b);
		return rc;
	}
	*ret = b;
	return 0;
}

static void hash(struct index_build *b, struct digest *d, const void *data, size_t len)
{
	if (b->rc == 0)
		b->rc = digest_add(d, data, len, &b->e);
}

static void hash_number(struct index_build *b, struct digest *d, uint64_t v)
{
	v = htole64(v);
	hash(b, d, &v, sizeof(v));
}

static void end_hash(struct index_build *b, struct digest *d, unsigned char out[DIGEST_LEN])
{
	if (b->rc == 0)
		b->rc = digest_next(d, out, &b->e);
}

void index_build_begin(struct index_build *b, const struct pack_entry *entry, const char *first)
{
	const struct stat *st = entry->st;
	bool is_dev = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);

	b->entry = (struct index_entry){.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev_major = is_dev ? major(st->st_rdev) : 0,
		.rdev_minor = is_dev ? minor(st->st_rdev) : 0,
		.size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
		.inode = st->st_ino,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
		.header = frames_bytes_in(b->to)};
	b->entry.path = entry->path;
	b->entry.link = first ? first : entry->symlink;
	if (first)
		b->entry.has |= INDEX_HARDLINK;
	else if (entry->symlink)
		b->entry.has |= INDEX_SYMLINK;
	b->sum = NULL;
	const struct pack_data *d = entry->data;
	if (!S_ISREG(st->st_mode) || first)
		return;
	if (d->extents) {
		memcpy(b->entry.extents, d->extents, sizeof(b->entry.extents));
		b->entry.has |= INDEX_EXTENTS;
	}
	if (d->has_generation) {
		b->entry.generation = d->generation;
		b->entry.has |= INDEX_GENERATION;
	}
}

void index_build_xattr(struct index_build *b, const char *name, const void *value, size_t len)
{
	b->entry.has |= INDEX_XATTRS;
	hash_number(b, b->xattrs, strlen(name));
	hash(b, b->xattrs, name, strlen(name));
	hash_number(b, b->xattrs, len);
	hash(b, b->xattrs, value, len);
}

void index_build_data(struct index_build *b, const struct pack_data *data)
{
	b->entry.data = frames_bytes_in(b->to);
	if (!data)
		return;
	b->entry.has |= INDEX_CONTENT | (data->is_sparse ? INDEX_SPARSE : 0u);
}

static struct sum *new_sum(struct part *p)
{
	if (!p->sums || p->sums->count == SUMS) {
		struct sums *s = calloc(1, sizeof(*s));

		if (!s)
			return NULL;
		s->next = p->sums;
		p->sums = s;
	}
	return &p->sums->items[p->sums->count++];
}

int index_build_content_end(struct index_build *b, struct err *e)
{
	b->sum = new_sum(b->part);
	if (!b->sum)
		return err_sys(e, ERR_FATAL, -ENOMEM, "index");
	return frames_content_end(b->to, b->sum->value, e);
}

static void put_sums(struct part *p)
{
	for (struct sums *s = p->sums; s; s = s->next)
		for (size_t i = 0; i < s->count; i++)
			if (s->items[i].at)
				memcpy(p->text.data + s->items[i].at, s->items[i].value,
					DIGEST_LEN);
}

/*
 * Gives the parts whose digests are known to frames.  The last one may only come with the byte
 * behind the part, where that begins a frame.
 */
static void hand_over(struct index_build *b)
{
	const uint64_t hashed = frames_hashed(b->to);

	while (b->waiting && b->rc == 0 && (b->is_finished || b->waiting->end < hashed)) {
		struct part *p = b->waiting;

		put_sums(p);
		b->rc = frames_add_index(b->to, p->text.data, p->text.len, &b->e);
		b->waiting = p->next;
		if (!b->waiting)
			b->last = &b->waiting;
		free_part(p);
	}
}

static void close_part(struct index_build *b)
{
	struct part *next = new_part();

	if ((!next || b->part->text.failed) && b->rc == 0)
		b->rc = err_sys(&b->e, ERR_FATAL, -ENOMEM, "index");
	if (b->rc < 0) {
		free_part(next);
		return;
	}
	b->part->end = frames_bytes_in(b->to);
	*b->last = b->part;
	b->last = &b->part->next;
	b->part = next;
	hand_over(b);
}

int index_build_end(struct index_build *b, bool is_whole, struct err *e)
{
	struct index_entry *x = &b->entry;

	x->end = frames_bytes_in(b->to);
	if (x->has & INDEX_XATTRS)
		end_hash(b, b->xattrs, x->xattrs);
	if (!is_whole)
		x->has |= INDEX_UNREADABLE;
	const size_t at = index_put_entry(&b->part->text, x);
	if (b->sum)
		b->sum->at = at;
	b->entries++;
	if (b->part->text.failed || b->part->text.len >= INDEX_PART)
		close_part(b);
	if (b->rc < 0)
		*e = b->e;
	return b->rc;
}

int index_build_finish(struct index_build *b, struct err *e)
{
	const struct frame_info *f;
	uint64_t frames = 0;
	int rc = frames_end_data(b->to, e);

	if (rc < 0)
		return rc;
	b->is_finished = true; /* frames has nothing left that it would write here */
	for (; (f = frames_info(b->to, frames)) != NULL; frames++) {
		index_put_frame(&b->part->text, f);
		if (b->part->text.len >= INDEX_PART)
			close_part(b);
	}
	index_put_end(&b->part->text, b->entries, frames, frames_bytes_in(b->to));
	close_part(b);
	if (b->rc < 0)
		*e = b->e;
	return b->rc;
}

void index_build_free(struct index_build *b)
{
	if (!b)
		return;
	/* Its threads would go on writing digests. */
	if (!b->is_finished)
		frames_stop(b->to);
	while (b->waiting) {
		struct part *p = b->waiting;

		b->waiting = p->next;
		free_part(p);
	}
	free_part(b->part);
	digest_free(b->xattrs);
	free(b);
}
