/* SPDX-License-Identifier: Apache-2.0 */
#include "reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static ssize_t read_stream(void *state, uint64_t at, void *to, size_t len, struct err *e)
{
	return unframe_read(state, at, to, len, e);
}

static int open_for(int fd, unsigned threads, const char *path, struct reader *r, struct err *e)
{
	*r = (struct reader){.index.only = path};
	int rc = unframe_open(fd, threads, &r->stream, e);

	if (rc < 0)
		return rc;
	r->tar.from = (struct tar_source){read_stream, r->stream};
	rc = unframe_index(r->stream, &r->index, &r->index_problem);
	r->has_index = rc == 0;
	if (r->index_problem.kind == ERR_FATAL || r->index_problem.kind == ERR_SOURCE) {
		*e = r->index_problem;
		reader_close(r);
		return rc;
	}
	return 0;
}

int reader_open(int fd, unsigned threads, struct reader *r, struct err *e)
{
	return open_for(fd, threads, NULL, r, e);
}

int reader_open_path(int fd, const char *path, struct reader *r, struct err *e)
{
	return open_for(fd, 0, path, r, e);
}

void reader_close(struct reader *r)
{
	unframe_close(r->stream);
	index_done(&r->index);
	free(r->by_path);
	*r = (struct reader){0};
}

int reader_next(struct reader *r, struct tar_member *m, struct err *e)
{
	return tar_next(&r->tar, m, e);
}

/* The first entry whose header is at or behind at. */
static size_t first_from(const struct index *x, uint64_t at)
{
	size_t lo = 0, hi = x->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (x->entries[mid].header < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool reader_resume(struct reader *r, const struct index_entry **ret)
{
	const struct index *x = &r->index;
	size_t i = first_from(x, r->tar.at);
	bool is_known = i < x->count && x->entries[i].header == r->tar.at;

	*ret = is_known ? &x->entries[i] : NULL;
	i += is_known;
	if (i >= x->count)
		return false;
	r->tar.at = x->entries[i].header;
	return true;
}

int reader_at(
	struct reader *r, const struct index_entry *entry, struct tar_member *m, struct err *e)
{
	r->tar.at = entry->header;
	int rc = tar_next(&r->tar, m, e);

	if (rc == 1 && (m->end != entry->end || m->body != entry->data)) {
		tar_member_done(m);
		rc = 0;
	}
	if (rc == 0)
		return err_set(e, ERR_DAMAGED, -EBADMSG, "the index does not fit the tar");
	return rc < 0 ? rc : 0;
}

static int by_path(const void *a, const void *b)
{
	const struct index_entry *x = *(const struct index_entry *const *)a;
	const struct index_entry *y = *(const struct index_entry *const *)b;
	int order = strcmp(x->path, y->path);

	return order ? order : x->header < y->header ? -1 : x->header > y->header;
}

const struct index_entry *reader_find(struct reader *r, const char *path)
{
	const struct index *x = &r->index;
	size_t lo = 0, hi = x->count;

	if (!r->by_path && x->count) {
		r->by_path = calloc(x->count, sizeof(struct index_entry *));
		if (!r->by_path)
			return NULL;
		for (size_t i = 0; i < x->count; i++)
			r->by_path[i] = &x->entries[i];
		qsort(r->by_path, x->count, sizeof(struct index_entry *), by_path);
	}
	/* Behind the last that is not greater: of equal ones the last counts, as in a restore. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(r->by_path[mid]->path, path) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && strcmp(r->by_path[lo - 1]->path, path) == 0 ? r->by_path[lo - 1] : NULL;
}

int reader_content(struct reader *r, const struct tar_member *m,
	int (*fn)(void *arg, uint64_t at, const void *data, size_t len, struct err *e), void *arg,
	struct err *e)
{
	uint64_t from = m->data;

	for (size_t i = 0; i < m->extent_count; i++) {
		uint64_t at = m->extents[i].at, left = m->extents[i].len;

		while (left) {
			const unsigned char *data = NULL;
			ssize_t n = unframe_map(r->stream, from, &data, e);

			if (n == 0)
				return err_set(e, ERR_DAMAGED, -EBADMSG, "the tar ends within it");
			if (n < 0)
				return (int)n;
			size_t len = (uint64_t)n < left ? (size_t)n : (size_t)left;
			int rc = fn(arg, at, data, len, e);
			if (rc < 0)
				return rc;
			from += len;
			at += len;
			left -= len;
		}
	}
	return 0;
}
