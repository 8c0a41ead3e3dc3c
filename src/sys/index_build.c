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

struct index_build {
	struct frames *to;
	struct strbuf part;
	uint64_t entries;
	struct digest *content, *xattrs;
	struct index_entry entry; /* at hand; its texts are borrowed until its end */
	int rc;
	struct err e;   /* of the first failure */
	bool is_hashed; /* the reader did it: entry.content is set */
};

int index_build_new(struct frames *to, struct index_build **ret, struct err *e)
{
	struct index_build *b = calloc(1, sizeof(*b));

	if (!b)
		return err_sys(e, ERR_FATAL, -ENOMEM, "index");
	b->to = to;
	index_part_begin(&b->part);
	int rc = digest_new(&b->content, e);
	if (rc == 0)
		rc = digest_new(&b->xattrs, e);
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
	b->is_hashed = false;
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
	b->is_hashed = data->sha256 != NULL;
	if (b->is_hashed)
		memcpy(b->entry.content, data->sha256, sizeof(b->entry.content));
}

void index_build_extent(struct index_build *b, uint64_t at, uint64_t len)
{
	hash_number(b, b->content, at);
	hash_number(b, b->content, len);
}

void index_build_content(struct index_build *b, const void *data, size_t len)
{
	hash(b, b->content, data, len);
}

static void hand_over(struct index_build *b)
{
	if (b->part.failed && b->rc == 0)
		b->rc = err_sys(&b->e, ERR_FATAL, -ENOMEM, "index");
	if (b->rc == 0)
		b->rc = frames_add_index(b->to, b->part.data, b->part.len, &b->e);
	index_part_begin(&b->part);
}

int index_build_end(struct index_build *b, bool is_whole, struct err *e)
{
	struct index_entry *x = &b->entry;

	x->end = frames_bytes_in(b->to);
	if ((x->has & INDEX_CONTENT) && !b->is_hashed)
		end_hash(b, b->content, x->content);
	if (x->has & INDEX_XATTRS)
		end_hash(b, b->xattrs, x->xattrs);
	if (!is_whole)
		x->has |= INDEX_UNREADABLE;
	index_put_entry(&b->part, x);
	b->entries++;
	if (b->part.failed || b->part.len >= INDEX_PART)
		hand_over(b);
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
	for (; (f = frames_info(b->to, frames)) != NULL; frames++) {
		index_put_frame(&b->part, f);
		if (b->part.len >= INDEX_PART)
			hand_over(b);
	}
	index_put_end(&b->part, b->entries, frames, frames_bytes_in(b->to));
	hand_over(b);
	if (b->rc < 0)
		*e = b->e;
	return b->rc;
}

void index_build_free(struct index_build *b)
{
	if (!b)
		return;
	digest_free(b->content);
	digest_free(b->xattrs);
	strbuf_free(&b->part);
	free(b);
}
