/* SPDX-License-Identifier: Apache-2.0 */
#include "untar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "scope.h"
#include "tar_pax.h"

#define BLOCK 512u
#define PAX_MAX (64u << 20) /* bytes of one extended header: attributes may be large */
#define NAME_LEN_MAX (1u << 20)

/* POSIX.1-2017, pax, "ustar Interchange Format"; GNU's fields lie in prefix. */
struct head {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct head) == BLOCK, "a header is one block");

/* What belongs to one member while its headers are read. */
struct reading {
	struct tar *t;
	uint64_t start, at;
	struct head h;
	struct tar_pax pax;
	struct err *e;
};

static int bad(struct reading *r, const char *why)
{
	return err_set(
		r->e, ERR_DAMAGED, -EBADMSG, "tar: member at byte %" PRIu64 ": %s", r->start, why);
}

static int no_memory(struct reading *r)
{
	return err_sys(r->e, ERR_FATAL, -ENOMEM, "tar");
}

static int read_all(struct reading *r, void *to, size_t len)
{
	ssize_t n = r->t->from.read(r->t->from.state, r->at, to, len, r->e);

	if (n < 0)
		return (int)n;
	if ((size_t)n < len)
		return bad(r, "the tar ends within it");
	r->at += len;
	return 0;
}

/* Octal, or GNU's base 256. */
static bool number(const char *field, size_t len, int64_t *ret)
{
	const unsigned char *p = (const unsigned char *)field, *end = p + len;
	uint64_t v = 0;

	if (*p & 0x80) {
		bool negative = *p & 0x40;

		v = negative ? UINT64_MAX : 0;
		for (size_t i = 0; i < len; i++) {
			unsigned char c =
				i ? p[i] : (unsigned char)(p[0] & 0x3f) | (negative ? 0xc0u : 0u);
			uint64_t top = v >> 55;

			if (top != (negative ? 0x1ffu : 0u))
				return false;
			v = v << 8 | c;
		}
		*ret = (int64_t)v;
		return true;
	}
	while (p < end && *p == ' ')
		p++;
	for (; p < end && *p >= '0' && *p <= '7'; p++) {
		if (v >> 60)
			return false;
		v = v << 3 | (unsigned)(*p - '0');
	}
	*ret = (int64_t)v;
	return p == end || *p == ' ' || *p == '\0';
}

static bool sum_fits(const struct head *h)
{
	const unsigned char *p = (const unsigned char *)h;
	size_t sum_at = offsetof(struct head, sum);
	int64_t want, plain = 0, with_sign = 0;

	for (size_t i = 0; i < BLOCK; i++) {
		bool in_sum = i >= sum_at && i < sum_at + sizeof(h->sum);

		plain += in_sum ? ' ' : p[i];
		with_sign += in_sum ? ' ' : (signed char)p[i];
	}
	return number(h->sum, sizeof(h->sum), &want) && (want == plain || want == with_sign);
}

static bool is_zero(const struct head *h)
{
	const char *p = (const char *)h;

	return p[0] == '\0' && memcmp(p, p + 1, BLOCK - 1) == 0;
}

/* Reads a header's data of up to max bytes; the caller frees *ret, which is NUL-terminated. */
static int read_data(struct reading *r, size_t max, char **ret, size_t *ret_len)
{
	int64_t size;

	if (!number(r->h.size, sizeof(r->h.size), &size) || size < 0 || (uint64_t)size > max)
		return bad(r, "an extended header of impossible size");
	AUTO_FREE char *data = malloc((size_t)size + BLOCK);
	if (!data)
		return no_memory(r);
	size_t whole = ((size_t)size + BLOCK - 1) / BLOCK * BLOCK;
	int rc = read_all(r, data, whole);
	if (rc < 0)
		return rc;
	data[size] = '\0';
	*ret_len = (size_t)size;
	*ret = TAKE_PTR(data);
	return 0;
}

static int read_pax(struct reading *r)
{
	AUTO_FREE char *data = NULL;
	const char *why = NULL;
	size_t len = 0;
	int rc = read_data(r, PAX_MAX, &data, &len);

	if (rc < 0)
		return rc;
	rc = tar_pax_read(data, len, &r->pax, &why);
	return rc == -ENOMEM ? no_memory(r) : rc < 0 ? bad(r, why) : 0;
}

/* Global records are comments of git and the like; others would change every later member. */
static int read_global(struct reading *r)
{
	AUTO_FREE char *data = NULL;
	struct tar_pax pax = {0};
	const char *why = NULL;
	size_t len = 0;
	int rc = read_data(r, PAX_MAX, &data, &len);

	if (rc < 0)
		return rc;
	rc = tar_pax_read(data, len, &pax, &why);
	bool changes = pax.path || pax.link || pax.has_size || pax.has_uid || pax.has_gid ||
		       pax.has_mtime || pax.xattr_count || pax.is_sparse;
	tar_pax_done(&pax);
	if (rc < 0)
		return rc == -ENOMEM ? no_memory(r) : bad(r, why);
	return changes ? bad(r, "global pax records are not supported") : 0;
}

static int read_long(struct reading *r, char **to)
{
	char *data = NULL;
	size_t len = 0;
	int rc = read_data(r, NAME_LEN_MAX, &data, &len);

	if (rc < 0)
		return rc;
	free(*to);
	*to = data;
	return 0;
}

/* Reads up to the header of the member itself.  0: the end mark. */
static int read_headers(struct reading *r)
{
	for (;;) {
		int rc = read_all(r, &r->h, BLOCK);

		if (rc < 0)
			return rc;
		if (is_zero(&r->h)) {
			if (r->at - BLOCK != r->start)
				return bad(r, "the tar ends within its headers");
			return 0;
		}
		if (!sum_fits(&r->h))
			return bad(r, "its header is damaged");
		switch (r->h.type) {
		case 'x':
		case 'X':
			rc = read_pax(r);
			break;
		case 'g':
			rc = read_global(r);
			break;
		case 'L':
			rc = read_long(r, &r->pax.path);
			break;
		case 'K':
			rc = read_long(r, &r->pax.link);
			break;
		default:
			return 1;
		}
		if (rc < 0)
			return rc;
		if (r->at - r->start > 2 * (uint64_t)PAX_MAX)
			return bad(r, "too many extended headers");
	}
}

static bool is_gnu(const struct head *h)
{
	return memcmp(h->magic, "ustar  ", 7) == 0;
}

static char *header_path(const struct head *h)
{
	bool has_prefix = memcmp(h->magic, "ustar", 6) == 0 && h->prefix[0];
	char *path = NULL;

	if (!has_prefix)
		return strndup(h->name, sizeof(h->name));
	if (asprintf(&path, "%.155s/%.100s", h->prefix, h->name) < 0)
		return NULL;
	return path;
}

static int set_texts(struct reading *r, struct tar_member *m)
{
	m->path = r->pax.path ? TAKE_PTR(r->pax.path) : header_path(&r->h);
	m->link = r->pax.link ? TAKE_PTR(r->pax.link) : strndup(r->h.link, sizeof(r->h.link));
	if (!m->path || !m->link)
		return no_memory(r);
	size_t len = strlen(m->path);
	/* Before ustar a folder was a file whose name ends so. */
	if (r->h.type == '\0' && len && m->path[len - 1] == '/')
		r->h.type = '5';
	while (r->h.type == '5' && len > 1 && m->path[len - 1] == '/')
		m->path[--len] = '\0';
	return len ? 0 : bad(r, "it has no name");
}

static int set_type(struct reading *r, struct tar_member *m)
{
	static const struct {
		char type;
		uint32_t mode;
	} types[] = {{'\0', S_IFREG}, {'0', S_IFREG}, {'7', S_IFREG}, {'S', S_IFREG}, {'1', 0},
		{'2', S_IFLNK}, {'3', S_IFCHR}, {'4', S_IFBLK}, {'5', S_IFDIR}, {'6', S_IFIFO}};
	int64_t mode;
	size_t i = 0;

	while (i < ARRAY_LEN(types) && types[i].type != r->h.type)
		i++;
	if (i == ARRAY_LEN(types))
		return bad(r, "its type is not known");
	if (!number(r->h.mode, sizeof(r->h.mode), &mode))
		return bad(r, "its mode is damaged");
	m->mode = types[i].mode | ((uint32_t)mode & 07777);
	m->hardlink = r->h.type == '1';
	if (!m->hardlink && !S_ISLNK(m->mode)) {
		free(m->link);
		m->link = NULL;
	}
	return 0;
}

static bool field_id(const char *field, size_t len, bool has, uint32_t pax, uint32_t *ret)
{
	int64_t v = pax;

	if (!has && !number(field, len, &v))
		return false;
	*ret = (uint32_t)v;
	return v >= 0 && v < UINT32_MAX;
}

static int set_numbers(struct reading *r, struct tar_member *m)
{
	const struct head *h = &r->h;
	const struct tar_pax *x = &r->pax;
	int64_t mtime = 0;

	if (!field_id(h->uid, sizeof(h->uid), x->has_uid, x->uid, &m->uid) ||
		!field_id(h->gid, sizeof(h->gid), x->has_gid, x->gid, &m->gid))
		return bad(r, "its owner is damaged");
	m->mtime = x->mtime;
	if (!x->has_mtime) {
		if (!number(h->mtime, sizeof(h->mtime), &mtime))
			return bad(r, "its time is damaged");
		m->mtime.tv_sec = mtime;
	}
	if ((S_ISCHR(m->mode) || S_ISBLK(m->mode)) &&
		(!field_id(
			 h->major, sizeof(h->major), x->has_major, x->rdev_major, &m->rdev_major) ||
			!field_id(h->minor, sizeof(h->minor), x->has_minor, x->rdev_minor,
				&m->rdev_minor)))
		return bad(r, "its device number is damaged");
	return 0;
}

/* GNU's old form: pairs in the header and in blocks behind it. */
static int read_old_sparse(struct reading *r)
{
	const char *pair = (const char *)&r->h + 386;
	bool more = ((const char *)&r->h)[482] != 0;
	char block[BLOCK];
	int64_t real;
	size_t left = 4;

	if (!is_gnu(&r->h) || !number((const char *)&r->h + 483, 12, &real) || real < 0)
		return bad(r, "a damaged sparse header");
	r->pax.is_sparse = r->pax.has_real_size = true;
	r->pax.real_size = (uint64_t)real;
	for (;;) {
		int64_t at, len;

		for (; left && pair[0]; left--, pair += 24) {
			if (!number(pair, 12, &at) || !number(pair + 12, 12, &len) || at < 0 ||
				len < 0)
				return bad(r, "a damaged sparse map");
			int rc = tar_pax_extent(&r->pax, (uint64_t)at, (uint64_t)len);
			if (rc < 0)
				return rc == -ENOMEM ? no_memory(r) : bad(r, "too many extents");
		}
		if (!more)
			return 0;
		int rc = read_all(r, block, BLOCK);
		if (rc < 0)
			return rc;
		pair = block;
		left = 21;
		more = block[504] != 0;
	}
}

/* One decimal line of the map in front of the data. */
static int map_number(struct reading *r, uint64_t end, char block[BLOCK], size_t *used, uint64_t *v)
{
	char digits[24];
	size_t n = 0;

	for (;;) {
		if (*used == BLOCK) {
			if (r->at + BLOCK > end)
				return bad(r, "a sparse map that does not end");
			int rc = read_all(r, block, BLOCK);
			if (rc < 0)
				return rc;
			*used = 0;
		}
		char c = block[(*used)++];
		if (c == '\n')
			break;
		if (n == sizeof(digits))
			return bad(r, "a damaged sparse map");
		digits[n++] = c;
	}
	return tar_decimal(digits, n, INT64_MAX, v) ? 0 : bad(r, "a damaged sparse map");
}

static int read_map(struct reading *r, uint64_t end)
{
	char block[BLOCK];
	size_t used = BLOCK;
	uint64_t count = 0, at = 0, len = 0;
	int rc = map_number(r, end, block, &used, &count);

	if (rc == 0 && count > TAR_EXTENTS_MAX)
		return bad(r, "too many extents");
	r->pax.extent_count = 0;
	for (uint64_t i = 0; i < count && rc == 0; i++) {
		rc = map_number(r, end, block, &used, &at);
		if (rc == 0)
			rc = map_number(r, end, block, &used, &len);
		if (rc == 0 && tar_pax_extent(&r->pax, at, len) < 0)
			rc = no_memory(r);
	}
	return rc;
}

/* Takes the extents over, without empty ones; what they hold must be what is stored. */
static int set_extents(struct reading *r, struct tar_member *m, uint64_t stored)
{
	struct tar_pax *x = &r->pax;
	uint64_t at = 0, sum = 0;
	size_t n = 0;

	for (size_t i = 0; i < x->extent_count; i++) {
		struct tar_extent one = x->extents[i];

		if (one.at < at || one.at > m->size || one.len > m->size - one.at)
			return bad(r, "a sparse map that makes no sense");
		at = one.at + one.len;
		sum += one.len;
		if (one.len)
			x->extents[n++] = one;
	}
	if (sum != stored)
		return bad(r, "a sparse map that does not fit its data");
	m->extents = TAKE_PTR(x->extents);
	m->extent_count = n;
	return 0;
}

static int set_content(struct reading *r, struct tar_member *m)
{
	int64_t header_size = 0;
	uint64_t size;

	if (!r->pax.has_size &&
		(!number(r->h.size, sizeof(r->h.size), &header_size) || header_size < 0))
		return bad(r, "its size is damaged");
	size = r->pax.has_size ? r->pax.size : (uint64_t)header_size;
	if (!S_ISREG(m->mode) && !m->hardlink)
		size = 0; /* an allocation hint, if anything */
	if (r->h.type == 'S') {
		int rc = read_old_sparse(r);

		if (rc < 0)
			return rc;
	}
	if (size > INT64_MAX - r->at - BLOCK)
		return bad(r, "its size is impossible");
	uint64_t last = r->at + size;
	m->end = r->at + (size + BLOCK - 1) / BLOCK * BLOCK;
	m->sparse = r->pax.is_sparse && S_ISREG(m->mode);
	if (m->sparse && r->pax.map_in_data) {
		int rc = read_map(r, last);

		if (rc < 0)
			return rc;
	}
	m->data = r->at;
	uint64_t stored = last > r->at ? last - r->at : 0;
	m->size = m->hardlink ? 0 : m->sparse && r->pax.has_real_size ? r->pax.real_size : stored;
	if (!m->sparse) {
		r->pax.extent_count = 0;
		if (m->size && tar_pax_extent(&r->pax, 0, m->size) < 0)
			return no_memory(r);
	}
	return set_extents(r, m, m->hardlink ? 0 : stored);
}

int tar_next(struct tar *t, struct tar_member *m, struct err *e)
{
	struct reading r = {.t = t, .start = t->at, .at = t->at, .e = e};
	int rc;

	*m = (struct tar_member){.header = t->at};
	/* GNU tar's volume label is no file. */
	while ((rc = read_headers(&r)) == 1 && r.h.type == 'V')
		r.start = r.at;
	if (rc == 1) {
		rc = set_texts(&r, m);
		if (rc == 0)
			rc = set_type(&r, m);
		if (rc == 0)
			rc = set_numbers(&r, m);
		if (rc == 0)
			rc = set_content(&r, m);
		if (rc == 0)
			rc = 1;
	}
	if (rc == 1) {
		m->xattrs = TAKE_PTR(r.pax.xattrs);
		m->xattr_count = r.pax.xattr_count;
		r.pax.xattr_count = 0;
		m->lost = r.pax.lost;
		t->at = m->end;
	} else {
		tar_member_done(m);
	}
	tar_pax_done(&r.pax);
	return rc;
}

void tar_member_done(struct tar_member *m)
{
	for (size_t i = 0; i < m->xattr_count; i++) {
		free(m->xattrs[i].name);
		free(m->xattrs[i].value);
	}
	free(m->xattrs);
	free(m->extents);
	free(m->path);
	free(m->link);
	*m = (struct tar_member){0};
}

bool tar_path_clean(char *path)
{
	char *out = path;
	const char *p = path;
	bool is_good = *p != '\0' && *p != '/';

	while (*p) {
		size_t len = strcspn(p, "/");

		if (len == 2 && p[0] == '.' && p[1] == '.')
			is_good = false;
		if (len && !(len == 1 && *p == '.')) {
			if (out > path)
				*out++ = '/';
			memmove(out, p, len);
			out += len;
		}
		p += len + (p[len] == '/');
	}
	if (out == path && is_good)
		*out++ = '.';
	*out = '\0';
	return is_good;
}
