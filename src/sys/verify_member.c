/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_member.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "scope.h"

struct sum {
	struct digest *d;
	const struct tar_member *m;
	size_t extent; /* next one to be announced */
};

static int add_number(struct digest *d, uint64_t v, struct err *e)
{
	v = htole64(v);
	return digest_add(d, &v, sizeof(v), e);
}

static int on_content(void *arg, uint64_t at, const void *data, size_t len, struct err *e)
{
	struct sum *s = arg;
	int rc = 0;

	if (s->m->sparse && s->extent < s->m->extent_count && at == s->m->extents[s->extent].at) {
		rc = add_number(s->d, at, e);
		if (rc == 0)
			rc = add_number(s->d, s->m->extents[s->extent].len, e);
		s->extent++;
	}
	return rc < 0 ? rc : digest_add(s->d, data, len, e);
}

static int by_name(const void *a, const void *b)
{
	const struct tar_xattr *x = *(const struct tar_xattr *const *)a;
	const struct tar_xattr *y = *(const struct tar_xattr *const *)b;

	return strcmp(x->name, y->name);
}

static int add_xattrs(struct digest *d, const struct tar_member *m, struct err *e)
{
	AUTO_FREE const struct tar_xattr **order = calloc(m->xattr_count, sizeof(*order));
	int rc = 0;

	if (!order)
		return err_sys(e, ERR_FATAL, -ENOMEM, "verify");
	for (size_t i = 0; i < m->xattr_count; i++)
		order[i] = &m->xattrs[i];
	qsort(order, m->xattr_count, sizeof(*order), by_name);
	for (size_t i = 0; i < m->xattr_count && rc == 0; i++) {
		const struct tar_xattr *x = order[i];

		rc = add_number(d, strlen(x->name), e);
		if (rc == 0)
			rc = digest_add(d, x->name, strlen(x->name), e);
		if (rc == 0)
			rc = add_number(d, x->len, e);
		if (rc == 0)
			rc = digest_add(d, x->value, x->len, e);
	}
	return rc;
}

int member_sums(
	struct reader *r, const struct tar_member *m, struct member_sums *ret, struct err *e)
{
	struct sum s = {.m = m};
	int rc = digest_new(&s.d, e);

	if (rc == 0)
		rc = reader_content(r, m, on_content, &s, e);
	if (rc == 0)
		rc = digest_next(s.d, ret->content, e);
	ret->has_xattrs = m->xattr_count > 0;
	if (rc == 0 && ret->has_xattrs)
		rc = add_xattrs(s.d, m, e);
	if (rc == 0 && ret->has_xattrs)
		rc = digest_next(s.d, ret->xattrs, e);
	digest_free(s.d);
	return rc;
}

/* The tar cannot hold the fraction of the last second before 1970. */
static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && (a.tv_nsec == b.tv_nsec || a.tv_sec == -1);
}

static bool same_path(const char *tar, const char *index)
{
	AUTO_FREE char *clean = strdup(tar);

	return clean && tar_path_clean(clean) && strcmp(clean, index) == 0;
}

const char *member_differs(
	const struct tar_member *m, const struct member_sums *sums, const struct index_entry *want)
{
	const bool is_hard = (want->has & INDEX_HARDLINK) != 0;

	if (!same_path(m->path, want->path))
		return "has another path in the index";
	if (m->header != want->header || m->data != want->data || m->end != want->end)
		return "lies elsewhere than the index says";
	if (m->hardlink != is_hard || (!is_hard && (m->mode & S_IFMT) != (want->mode & S_IFMT)))
		return "has another type in the index";
	if ((m->mode & 07777) != (want->mode & 07777) || m->uid != want->uid || m->gid != want->gid)
		return "has another owner or mode in the index";
	if (!same_time(m->mtime, want->mtime))
		return "has another time in the index";
	if (m->rdev_major != want->rdev_major || m->rdev_minor != want->rdev_minor)
		if (!is_hard)
			return "has another device number in the index";
	if ((m->link && !want->link) || (m->link && strcmp(m->link, want->link) != 0))
		return "has another target in the index";
	if (!is_hard && (m->size != want->size || m->sparse != !!(want->has & INDEX_SPARSE)))
		return "has another size in the index";
	if ((want->has & INDEX_CONTENT) && memcmp(sums->content, want->content, DIGEST_LEN) != 0)
		return "has content that the index does not have";
	if (!is_hard &&
		(sums->has_xattrs != !!(want->has & INDEX_XATTRS) ||
			(sums->has_xattrs && memcmp(sums->xattrs, want->xattrs, DIGEST_LEN) != 0)))
		return "has other extended attributes in the index";
	return NULL;
}
