/* SPDX-License-Identifier: Apache-2.0 */
#include "tar_pax.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acl_text.h"
#include "scope.h"

#define XATTR_VALUE_MAX 65536 /* the kernel's */
#define XATTR_NAME_MAX 255
#define XATTRS_MAX 65536

struct value {
	const char *s;
	size_t len;
};

bool tar_decimal(const char *s, size_t len, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		unsigned digit = (unsigned)(s[i] - '0');
		if (v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*ret = v;
	return len > 0;
}

static bool id(struct value v, uint32_t *ret, bool *has)
{
	uint64_t n;

	/* The last one means "no change" to chown. */
	if (!tar_decimal(v.s, v.len, UINT32_MAX - 1, &n))
		return false;
	*ret = (uint32_t)n;
	*has = true;
	return true;
}

/* A decimal number, so that -0.25 is a quarter of a second before 1970. */
static bool time_value(struct value v, struct timespec *ret)
{
	bool negative = v.len && *v.s == '-';
	const char *s = v.s + negative, *end = v.s + v.len;
	const char *dot = memchr(s, '.', (size_t)(end - s));
	uint64_t sec = 0;
	long nsec = 0, unit = 100000000;

	if (!tar_decimal(s, (size_t)((dot ? dot : end) - s), INT64_MAX - 1, &sec))
		return false;
	for (const char *p = dot ? dot + 1 : end; p < end; p++, unit /= 10) {
		if (*p < '0' || *p > '9')
			return false;
		nsec += (*p - '0') * unit;
	}
	ret->tv_sec = negative ? -(int64_t)sec : (int64_t)sec;
	ret->tv_nsec = nsec;
	if (negative && nsec) {
		ret->tv_sec--;
		ret->tv_nsec = 1000000000 - nsec;
	}
	return true;
}

static int text(struct value v, char **ret)
{
	if (memchr(v.s, '\0', v.len))
		return -EBADMSG;
	free(*ret);
	*ret = strndup(v.s, v.len);
	return *ret ? 0 : -ENOMEM;
}

static int add_xattr(struct tar_pax *p, char *name, const void *value, size_t len)
{
	AUTO_FREE char *taken = name;

	if (!taken)
		return -ENOMEM;
	if (!*taken || strlen(taken) > XATTR_NAME_MAX || len > XATTR_VALUE_MAX ||
		p->xattr_count == XATTRS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < p->xattr_count; i++)
		if (strcmp(p->xattrs[i].name, taken) == 0)
			return 0; /* the same attribute in a second spelling */
	if (p->xattr_count == p->xattr_cap) {
		size_t cap = p->xattr_cap ? p->xattr_cap * 2 : 8;
		void *grown = reallocarray(p->xattrs, cap, sizeof(*p->xattrs));

		if (!grown)
			return -ENOMEM;
		p->xattrs = grown;
		p->xattr_cap = cap;
	}
	struct tar_xattr *x = &p->xattrs[p->xattr_count];
	*x = (struct tar_xattr){NULL, malloc(len + 1), len};
	if (!x->value)
		return -ENOMEM;
	memcpy(x->value, value, len);
	x->name = TAKE_PTR(taken);
	p->xattr_count++;
	return 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %XX; GNU tar spells only '=' and '%' so, and any other sequence is the name's own. */
static char *unquote(struct value v, bool only_gnu)
{
	char *out = malloc(v.len + 1);
	size_t n = 0;

	for (size_t i = 0; out && i < v.len; i++) {
		int hi = i + 2 < v.len && v.s[i] == '%' ? hex(v.s[i + 1]) : -1;
		int lo = hi >= 0 ? hex(v.s[i + 2]) : -1;
		char c = (char)(hi * 16 + lo);

		if (lo >= 0 && c && (!only_gnu || c == '=' || c == '%')) {
			out[n++] = c;
			i += 2;
		} else {
			out[n++] = v.s[i];
		}
	}
	if (out)
		out[n] = '\0';
	return out;
}

static int digit64(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

/* libarchive's second spelling: the value in base64. */
static int add_base64(struct tar_pax *p, struct value name, struct value v)
{
	AUTO_FREE unsigned char *raw = malloc(v.len / 4 * 3 + 4);
	unsigned bits = 0, have = 0;
	size_t n = 0;

	if (!raw)
		return -ENOMEM;
	for (size_t i = 0; i < v.len && v.s[i] != '='; i++) {
		int d = digit64(v.s[i]);

		if (d < 0)
			return -EBADMSG;
		bits = bits << 6 | (unsigned)d;
		have += 6;
		if (have >= 8) {
			have -= 8;
			raw[n++] = (unsigned char)(bits >> have);
		}
	}
	return add_xattr(p, unquote(name, false), raw, n);
}

static int add_acl(struct tar_pax *p, const char *name, struct value v)
{
	unsigned char *raw = NULL;
	size_t len = 0;
	int rc = acl_from_text(v.s, v.len, &raw, &len);

	if (rc == -EINVAL) {
		p->lost = "an ACL that names users or is not understood";
		return 0;
	}
	if (rc == 0)
		rc = add_xattr(p, strdup(name), raw, len);
	free(raw);
	return rc;
}

int tar_pax_extent(struct tar_pax *p, uint64_t at, uint64_t len)
{
	if (p->extent_count == TAR_EXTENTS_MAX)
		return -EBADMSG;
	if (p->extent_count == p->extent_cap) {
		size_t cap = p->extent_cap ? p->extent_cap * 2 : 8;
		void *grown = reallocarray(p->extents, cap, sizeof(*p->extents));

		if (!grown)
			return -ENOMEM;
		p->extents = grown;
		p->extent_cap = cap;
	}
	p->extents[p->extent_count++] = (struct tar_extent){at, len};
	return 0;
}

/* "offset,length,offset,length": GNU.sparse 0.1. */
static int sparse_map(struct tar_pax *p, struct value v)
{
	uint64_t pair[2];
	unsigned have = 0;

	p->extent_count = 0;
	for (const char *s = v.s, *end = v.s + v.len; s < end;) {
		const char *comma = memchr(s, ',', (size_t)(end - s));
		size_t len = (size_t)((comma ? comma : end) - s);

		if (!tar_decimal(s, len, INT64_MAX, &pair[have++]))
			return -EBADMSG;
		s += len + (comma ? 1 : 0);
		if (have < 2)
			continue;
		int rc = tar_pax_extent(p, pair[0], pair[1]);
		if (rc < 0)
			return rc;
		have = 0;
	}
	return have ? -EBADMSG : 0;
}

/* key is behind "GNU.sparse.". */
static int sparse_record(struct tar_pax *p, const char *key, struct value v)
{
	uint64_t n = 0;
	bool is_number = tar_decimal(v.s, v.len, INT64_MAX, &n);

	p->is_sparse = true;
	if (strcmp(key, "name") == 0)
		return text(v, &p->path);
	if (strcmp(key, "map") == 0)
		return sparse_map(p, v);
	if (!is_number)
		return -EBADMSG;
	if (strcmp(key, "major") == 0) {
		p->map_in_data = n == 1;
		return n <= 1 ? 0 : -EBADMSG;
	}
	if (strcmp(key, "realsize") == 0 || strcmp(key, "size") == 0) {
		p->has_real_size = true;
		p->real_size = n;
	} else if (strcmp(key, "offset") == 0) {
		p->has_pending = true;
		p->pending = n;
	} else if (strcmp(key, "numbytes") == 0) {
		if (!p->has_pending)
			return -EBADMSG;
		p->has_pending = false;
		return tar_pax_extent(p, p->pending, n);
	}
	return 0;
}

static const char *behind(const char *key, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(key, prefix, len) == 0 ? key + len : NULL;
}

static int other_record(struct tar_pax *p, const char *key, struct value v)
{
	const char *rest;

	if ((rest = behind(key, "SCHILY.xattr.")))
		return add_xattr(p, unquote((struct value){rest, strlen(rest)}, true), v.s, v.len);
	if ((rest = behind(key, "LIBARCHIVE.xattr.")))
		return add_base64(p, (struct value){rest, strlen(rest)}, v);
	if ((rest = behind(key, "GNU.sparse.")))
		return sparse_record(p, rest, v);
	if (strcmp(key, "SCHILY.acl.access") == 0)
		return add_acl(p, "system.posix_acl_access", v);
	if (strcmp(key, "SCHILY.acl.default") == 0)
		return add_acl(p, "system.posix_acl_default", v);
	if (strcmp(key, "SCHILY.devmajor") == 0)
		return id(v, &p->rdev_major, &p->has_major) ? 0 : -EBADMSG;
	if (strcmp(key, "SCHILY.devminor") == 0)
		return id(v, &p->rdev_minor, &p->has_minor) ? 0 : -EBADMSG;
	return 0;
}

static int record(struct tar_pax *p, const char *key, struct value v)
{
	if (strcmp(key, "path") == 0)
		/* With a sparse map this is the name for tars that do not know it. */
		return p->is_sparse && p->path ? 0 : text(v, &p->path);
	if (strcmp(key, "linkpath") == 0)
		return text(v, &p->link);
	if (strcmp(key, "uid") == 0)
		return id(v, &p->uid, &p->has_uid) ? 0 : -EBADMSG;
	if (strcmp(key, "gid") == 0)
		return id(v, &p->gid, &p->has_gid) ? 0 : -EBADMSG;
	if (strcmp(key, "size") == 0) {
		p->has_size = true;
		return tar_decimal(v.s, v.len, INT64_MAX, &p->size) ? 0 : -EBADMSG;
	}
	if (strcmp(key, "mtime") == 0) {
		p->has_mtime = true;
		return time_value(v, &p->mtime) ? 0 : -EBADMSG;
	}
	return other_record(p, key, v);
}

int tar_pax_read(const char *data, size_t len, struct tar_pax *p, const char **why)
{
	const char *s = data, *end = data + len;

	*why = "a damaged pax record";
	while (s < end) {
		size_t left = (size_t)(end - s);
		const char *space = memchr(s, ' ', left < 20 ? left : 20);
		uint64_t n = 0;

		if (!space || !tar_decimal(s, (size_t)(space - s), left, &n))
			return -EBADMSG;
		const char *stop = s + n;
		if (n < (size_t)(space - s) + 4 || stop[-1] != '\n')
			return -EBADMSG;
		const char *eq = memchr(space + 1, '=', (size_t)(stop - space - 1));
		if (!eq || memchr(space + 1, '\0', (size_t)(eq - space - 1)))
			return -EBADMSG;
		AUTO_FREE char *key = strndup(space + 1, (size_t)(eq - space - 1));
		if (!key)
			return -ENOMEM;
		struct value v = {eq + 1, (size_t)(stop - 1 - (eq + 1))};
		/* An empty value takes an earlier one back; there is none that we keep. */
		int rc = v.len || behind(key, "SCHILY.xattr.") ? record(p, key, v) : 0;
		if (rc < 0)
			return rc;
		s = stop;
	}
	return 0;
}

void tar_pax_done(struct tar_pax *p)
{
	for (size_t i = 0; i < p->xattr_count; i++) {
		free(p->xattrs[i].name);
		free(p->xattrs[i].value);
	}
	free(p->xattrs);
	free(p->extents);
	free(p->path);
	free(p->link);
	*p = (struct tar_pax){0};
}
