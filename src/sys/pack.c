/* SPDX-License-Identifier: Apache-2.0 */
#include "pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "index_build.h"
#include "pack_meta.h"
#include "scope.h"
#include "stop.h"
#include "str.h"

#define USTAR_NAME 100   /* bytes of a name that fit into a header */
#define ZEROS (1u << 30) /* given for a hole at once: a file may be a hole of petabytes */

#define FLAT_MAX ((off_t)16 << 30) /* size of a sparse file that is written out with its holes */

struct pack {
	struct frames *to;
	/*
	 * Two writers on one stream: the charset of names is an option of a writer, and only names
	 * that are no UTF-8 may carry the BINARY mark, which GNU tar warns about.
	 */
	struct archive *utf8, *raw;
	struct archive_entry *entry;
	struct pack_links links;
	struct pack_counts counts;
	struct index_build *index;
	char *zeros;
	bool is_flat; /* the holes of the current file are written as zeros */
	bool mute;    /* the second writer's end blocks are not wanted */
	int rc;       /* of the stream below; final */
	struct err *e;
};

/*
 * A failure is kept in p->rc and asked for after each call.  The library is not told: after a
 * failed write it would leak what archive_write_free should free.
 */
static la_ssize_t on_write(struct archive *a, void *arg, const void *data, size_t len)
{
	struct pack *p = arg;

	(void)a;
	if (!p->mute && p->rc == 0)
		p->rc = frames_write(p->to, data, len, p->e);
	return (la_ssize_t)len;
}

static struct archive *new_writer(struct pack *p, const char *options)
{
	struct archive *a = archive_write_new();

	if (!a)
		return NULL;
	/* No blocking: a member's bytes must be in the stream when its boundary is announced. */
	if (archive_write_set_format_pax(a) != ARCHIVE_OK ||
		archive_write_set_options(a, options) != ARCHIVE_OK ||
		archive_write_set_bytes_per_block(a, 0) != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
		archive_write_open(a, p, NULL, on_write, NULL) != ARCHIVE_OK) {
		archive_write_free(a);
		return NULL;
	}
	return a;
}

int pack_new(struct frames *to, struct pack **ret, struct err *e)
{
	struct pack *p = calloc(1, sizeof(*p));

	if (!p)
		return err_sys(e, ERR_FATAL, -ENOMEM, "tar writer");
	p->to = to;
	p->utf8 = new_writer(p, "pax:xattrheader=SCHILY");
	p->raw = new_writer(p, "pax:xattrheader=SCHILY,pax:hdrcharset=BINARY");
	p->entry = archive_entry_new();
	/* Costs memory only where it is read, and the writer does not look into holes. */
	p->zeros = mmap(NULL, ZEROS, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->zeros == MAP_FAILED)
		p->zeros = NULL;
	if (!p->utf8 || !p->raw || !p->entry || !p->zeros) {
		pack_free(p);
		return err_sys(e, ERR_FATAL, -ENOMEM, "tar writer");
	}
	int rc = index_build_new(to, &p->index, e);
	if (rc < 0) {
		pack_free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

/* The writer's ids are signed: an ACL with larger ones stays an attribute. */
static bool has_large_id(const unsigned char *v, size_t len)
{
	for (size_t at = 4; at < len; at += 8)
		if ((v[at] == 0x02 || v[at] == 0x08) && (v[at + 7] & 0x80))
			return true;
	return false;
}

/* The kernel's ACL format: a version word, then entries of tag, permissions and id. */
static bool add_acl(struct pack *p, int type, const unsigned char *v, size_t len)
{
	static const struct {
		unsigned kernel;
		int tag;
	} tags[] = {{0x01, ARCHIVE_ENTRY_ACL_USER_OBJ}, {0x02, ARCHIVE_ENTRY_ACL_USER},
		{0x04, ARCHIVE_ENTRY_ACL_GROUP_OBJ}, {0x08, ARCHIVE_ENTRY_ACL_GROUP},
		{0x10, ARCHIVE_ENTRY_ACL_MASK}, {0x20, ARCHIVE_ENTRY_ACL_OTHER}};

	if (len < 4 || (len - 4) % 8 != 0 || v[0] != 2 || has_large_id(v, len))
		return false;
	for (size_t at = 4; at < len; at += 8) {
		unsigned tag = v[at] | (unsigned)v[at + 1] << 8;
		unsigned perm = v[at + 2] & 7u;
		uint32_t id;
		size_t i = 0;

		memcpy(&id, v + at + 4, sizeof(id));
		id = le32toh(id);
		while (i < ARRAY_LEN(tags) && tags[i].kernel != tag)
			i++;
		if (i == ARRAY_LEN(tags))
			return false;
		int qualifier = tag == 0x02 || tag == 0x08 ? (int)id : -1;
		if (archive_entry_acl_add_entry(
			    p->entry, type, (int)perm, tags[i].tag, qualifier, NULL) != ARCHIVE_OK)
			return false;
	}
	return true;
}

static void put_xattr(struct pack *p, const struct pack_xattr *x)
{
	int type = 0;

	index_build_xattr(p->index, x->name, x->value, x->len);
	if (strcmp(x->name, "system.posix_acl_access") == 0)
		type = ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
	else if (strcmp(x->name, "system.posix_acl_default") == 0)
		type = ARCHIVE_ENTRY_ACL_TYPE_DEFAULT;
	/* The writer spells '=' and '%' as %3D and %25 itself, as GNU tar does. */
	if (!type || !add_acl(p, type, x->value, x->len))
		archive_entry_xattr_add_entry(p->entry, x->name, x->value, x->len);
}

static void add_map(struct pack *p, const struct pack_data *d)
{
	if (!d->is_sparse || p->is_flat)
		return;
	if (d->map_len == 0)
		archive_entry_sparse_add_entry(p->entry, 0, 0);
	for (size_t i = 0; i < d->map_len; i++)
		archive_entry_sparse_add_entry(
			p->entry, d->map[i].at, d->map[i].end - d->map[i].at);
}

/* 0, or the error that ends the archive; what only this entry suffers from is trouble. */
static int result(struct pack *p, struct archive *a, long rc, const struct pack_entry *entry,
	struct trouble *t)
{
	if (p->rc < 0)
		return p->rc;
	if (rc == ARCHIVE_FATAL) {
		const char *why = archive_error_string(a);

		return err_set(p->e, ERR_FATAL, -EIO, "tar writer: %s", why ? why : "failed");
	}
	if (rc < ARCHIVE_OK)
		trouble_add(t, entry->path, "write tar header", EINVAL);
	return 0;
}

static int put(struct pack *p, struct archive *a, const char *data, size_t len)
{
	while (len) {
		la_ssize_t n = archive_write_data(a, data, len);

		if (p->rc < 0)
			return p->rc;
		if (n <= 0)
			return err_set(
				p->e, ERR_FATAL, -EIO, "tar writer: %s", archive_error_string(a));
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Content as it goes into the tar, and nothing else may go with it: its digest is made of that. */
static int put_content(struct pack *p, struct archive *a, const void *piece, size_t len)
{
	const uint64_t before = frames_bytes_in(p->to);

	frames_content(p->to, true);
	int rc = put(p, a, piece, len);
	frames_content(p->to, false);
	if (rc == 0 && frames_bytes_in(p->to) - before != len)
		rc = err_set(p->e, ERR_FATAL, -EIO, "tar writer: content of another length");
	return rc;
}

static int data(struct pack *p, struct archive *a, struct pack_data *d, off_t at, size_t want)
{
	const void *piece = NULL;
	int rc = d->read(d->arg, at, want, &piece, p->e);

	return rc < 0 ? rc : put_content(p, a, piece, want);
}

static int content(struct pack *p, struct archive *a, const struct pack_entry *entry)
{
	struct pack_data *d = entry->data;
	const struct pack_extent all = {0, entry->st->st_size}, *map = d->is_sparse ? d->map : &all;
	const size_t count = d->is_sparse ? d->map_len : 1;
	off_t size = entry->st->st_size, at = 0;
	size_t i = 0;

	/* The map of a sparse file comes with the first data, even if that is nothing. */
	if (archive_write_data(a, "", 0) < 0)
		return err_set(p->e, ERR_FATAL, -EIO, "tar writer: %s", archive_error_string(a));
	if (p->rc < 0)
		return p->rc;
	while (at < size) {
		bool is_data = i < count && at >= map[i].at;
		off_t end = is_data ? map[i].end : i < count ? map[i].at : size;
		const size_t most = is_data ? PACK_PIECE : ZEROS;
		size_t want = (size_t)end - (size_t)at < most ? (size_t)(end - at) : most;
		int rc = stop_check(p->e);

		if (rc < 0)
			return rc;
		if (is_data && d->is_sparse && !p->is_flat && at == map[i].at)
			rc = frames_content_at(p->to, (uint64_t)at, (uint64_t)(end - at), p->e);
		/* The writer leaves holes out itself, but wants to be given them. */
		if (rc == 0 && is_data)
			rc = data(p, a, d, at, want);
		else if (rc == 0)
			rc = p->is_flat ? put_content(p, a, p->zeros, want)
					: put(p, a, p->zeros, want);
		if (rc < 0)
			return rc;
		at += (off_t)want;
		if (is_data && at == end)
			i++;
	}
	p->counts.content_bytes += (uint64_t)size;
	return index_build_content_end(p->index, p->e);
}

/*
 * A pax time is a decimal number (POSIX.1-2017, pax, "mtime"), but libarchive prints the seconds
 * and behind them the nanoseconds, which count upwards also below zero: half a second before 1970
 * comes out as -1.5.  So it is given the digits of the number.  The last second before 1970 would
 * need
 * "-0." and loses its fraction.
 */
static void set_mtime(struct archive_entry *ae, struct timespec t)
{
	if (t.tv_sec < 0 && t.tv_nsec > 0) {
		bool last = t.tv_sec == -1;

		t.tv_sec += last ? 0 : 1;
		t.tv_nsec = last ? 0 : 1000000000 - t.tv_nsec;
	}
	archive_entry_set_mtime(ae, t.tv_sec, t.tv_nsec);
}

static void set_entry(struct pack *p, const struct pack_entry *entry, const char *first)
{
	const struct stat *st = entry->st;
	struct archive_entry *ae = archive_entry_clear(p->entry);

	archive_entry_copy_pathname(ae, strcmp(entry->path, ".") == 0 ? "./" : entry->path);
	archive_entry_set_mode(ae, st->st_mode);
	archive_entry_set_uid(ae, st->st_uid);
	archive_entry_set_gid(ae, st->st_gid);
	/* Access and change times differ between two snapshots of the same content. */
	set_mtime(ae, st->st_mtim);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		archive_entry_set_rdevmajor(ae, major(st->st_rdev));
		archive_entry_set_rdevminor(ae, minor(st->st_rdev));
	}
	if (first)
		archive_entry_copy_hardlink(ae, first);
	else if (entry->symlink)
		archive_entry_copy_symlink(ae, entry->symlink);
	archive_entry_set_size(ae, S_ISREG(st->st_mode) && !first ? st->st_size : 0);
}

static void count(struct pack_counts *c, mode_t mode, bool again)
{
	c->entries++;
	if (again)
		c->hardlinks++;
	else if (S_ISREG(mode))
		c->files++;
	else if (S_ISDIR(mode))
		c->dirs++;
	else if (S_ISLNK(mode))
		c->symlinks++;
	else if (S_ISFIFO(mode))
		c->fifos++;
	else
		c->devices++;
}

/* A file written flat is none with holes for the index. */
static void announce(struct pack *p, const struct pack_data *d)
{
	struct pack_data flat;

	if (d && p->is_flat) {
		flat = *d;
		flat.is_sparse = false;
		d = &flat;
	}
	index_build_data(p->index, d);
}

static bool is_plain(const char *s)
{
	return !s || str_is_utf8(s, strlen(s));
}

/* With the BINARY mark the writer cuts the name of a sparse file to what a header holds. */
static bool loses_name(const struct pack_entry *entry)
{
	return S_ISREG(entry->st->st_mode) && entry->data && entry->data->is_sparse &&
	       !is_plain(entry->path) && strlen(entry->path) > USTAR_NAME;
}

int pack_add(struct pack *p, const struct pack_entry *entry, struct trouble *t, struct err *e)
{
	const struct stat *st = entry->st;
	const char *first = NULL;

	p->e = e;
	if (S_ISSOCK(st->st_mode)) {
		p->counts.sockets_skipped++;
		return 0;
	}
	if (loses_name(entry) && st->st_size > FLAT_MAX) {
		trouble_add(t, entry->path, "write the name of a sparse file", ENAMETOOLONG);
		return 0;
	}
	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1 &&
		pack_link_find(&p->links, st, entry->path, &first) < 0)
		return err_sys(e, ERR_FATAL, -ENOMEM, "table of hard links");
	int rc = frames_boundary(p->to, e);
	if (rc < 0)
		return rc;
	set_entry(p, entry, first);
	index_build_begin(p->index, entry, first);
	bool has_data = S_ISREG(st->st_mode) && !first;
	bool plain = is_plain(entry->path) && is_plain(entry->symlink) && is_plain(first);
	p->is_flat = has_data && loses_name(entry);
	if (has_data)
		add_map(p, entry->data);
	for (size_t i = 0; !first && i < entry->xattr_count; i++)
		put_xattr(p, &entry->xattrs[i]);
	struct archive *a = plain ? p->utf8 : p->raw;
	int la = archive_write_header(a, p->entry);
	rc = result(p, a, la, entry, t);
	if (rc < 0 || la < ARCHIVE_WARN)
		return rc;
	announce(p, has_data ? entry->data : NULL);
	if (has_data)
		rc = content(p, a, entry);
	if (rc == 0)
		rc = result(p, a, archive_write_finish_entry(a), entry, t);
	if (rc == 0)
		rc = index_build_end(p->index, !has_data || !entry->data->is_broken, e);
	if (rc == 0)
		count(&p->counts, st->st_mode, first != NULL);
	return rc;
}

bool pack_has_inode(const struct pack *p, const struct stat *st)
{
	return pack_links_have(&p->links, st);
}

int pack_finish(struct pack *p, struct err *e)
{
	p->e = e;
	p->mute = true;
	int la = archive_write_close(p->raw);
	p->mute = false;
	if (la == ARCHIVE_OK)
		la = archive_write_close(p->utf8);
	if (p->rc < 0)
		return p->rc;
	if (la != ARCHIVE_OK)
		return err_set(e, ERR_FATAL, -EIO, "tar writer: cannot finish");
	return index_build_finish(p->index, e);
}

struct pack_counts *pack_counts(struct pack *p)
{
	return &p->counts;
}

void pack_free(struct pack *p)
{
	if (!p)
		return;
	/* Freeing an unfinished writer writes its end. */
	p->mute = true;
	if (p->utf8)
		archive_write_free(p->utf8);
	if (p->raw)
		archive_write_free(p->raw);
	if (p->entry)
		archive_entry_free(p->entry);
	pack_links_done(&p->links);
	index_build_free(p->index);
	if (p->zeros)
		(void)munmap(p->zeros, ZEROS);
	free(p);
}
