/* SPDX-License-Identifier: Apache-2.0 */
/* Large files: windows of them are read by several threads at a time, ahead of the packer. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ahead_state.h"
#include "stop.h"
#include "thread.h"

#define PER_FILE 8         /* windows of one file at a time */
#define READ_ERRORS_MAX 16 /* of one file; a dying disk takes seconds for each */

int window_new(struct ahead *a, size_t bytes)
{
	const unsigned count = bytes < 2 * AHEAD_WHOLE ? 2 : (unsigned)(bytes / AHEAD_WHOLE);

	a->windows = calloc(count, sizeof(*a->windows));
	for (; a->windows && a->window_count < count; a->window_count++) {
		struct window *w = &a->windows[a->window_count];

		w->buf = malloc(AHEAD_WHOLE);
		if (!w->buf)
			return -ENOMEM;
		w->next = a->free_windows;
		a->free_windows = w;
		a->free_count++;
	}
	return a->windows ? 0 : -ENOMEM;
}

static struct pack_extent extent_at(const struct entry *e, size_t i)
{
	const struct pack_extent all = {0, e->found.st.st_size};

	return e->map ? e->map[i] : all;
}

static size_t extent_count(const struct entry *e)
{
	return e->map ? e->data.map_len : 1;
}

/* The piece that comes next; 0: none. */
static size_t next_piece(struct entry *e, off_t *at)
{
	while (e->extent < extent_count(e)) {
		const struct pack_extent x = extent_at(e, e->extent);

		if (e->at < x.at)
			e->at = x.at;
		if (e->at < x.end) {
			*at = e->at;
			const off_t left = x.end - e->at;
			const size_t len = left < AHEAD_WHOLE ? (size_t)left : AHEAD_WHOLE;

			e->at += (off_t)len;
			return len;
		}
		e->extent++;
	}
	return 0;
}

void window_plan(struct ahead *a, struct entry *e, bool is_packed)
{
	const unsigned keep = is_packed ? 0 : a->window_count / 2;
	size_t planned = 0;

	while (e->window_count < PER_FILE && a->free_count > keep && e->errors < READ_ERRORS_MAX) {
		struct window *w = a->free_windows;
		off_t at = 0;
		const size_t len = next_piece(e, &at);

		if (!len)
			break;
		a->free_windows = w->next;
		a->free_count--;
		*w = (struct window){.owner = e, .buf = w->buf, .at = at, .len = len};
		if (e->last)
			e->last->next = w;
		else
			e->first = w;
		e->last = w;
		e->window_count++;
		if (a->queue_last)
			a->queue_last->queue = w;
		else
			a->queue_first = w;
		a->queue_last = w;
		planned++;
	}
	ahead_wake(a, planned);
}

struct window *window_pick(struct ahead *a)
{
	struct window *w = a->queue_first;

	if (!w)
		return NULL;
	a->queue_first = w->queue;
	if (!a->queue_first)
		a->queue_last = NULL;
	w->state = WORK_BUSY;
	return w;
}

static void unqueue(struct ahead *a, struct window *w)
{
	struct window *before = NULL;

	for (struct window *x = a->queue_first; x; before = x, x = x->queue) {
		if (x != w)
			continue;
		if (before)
			before->queue = w->queue;
		else
			a->queue_first = w->queue;
		if (a->queue_last == w)
			a->queue_last = before;
		return;
	}
}

/*
 * What was in the page cache before stays there; what we brought goes: it is read only once, and
 * the host has better use for the memory.
 */
static void fill(int fd, char *buf, off_t at, size_t len, int *ret_error, bool *ret_short)
{
	struct iovec v = {buf, len};
	ssize_t n = preadv2(fd, &v, 1, at, RWF_NOWAIT);
	size_t done = n > 0 ? (size_t)n : 0;

	if (done == len)
		return;
	while (done < len) {
		n = pread(fd, buf + done, len - done, at + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			*ret_error = n < 0 ? errno : EIO;
			*ret_short = n == 0;
			memset(buf + done, 0, len - done);
			break;
		}
		done += (size_t)n;
	}
	(void)posix_fadvise(fd, at, (off_t)len, POSIX_FADV_DONTNEED);
}

void window_fill(struct window *w)
{
	fill(w->owner->fd, w->buf, w->at, w->len, &w->error, &w->is_short);
}

static void give_back(struct ahead *a, struct window *w)
{
	w->owner = NULL;
	w->next = a->free_windows;
	a->free_windows = w;
	a->free_count++;
}

void window_drop(struct ahead *a, struct entry *e)
{
	if (e->current)
		give_back(a, e->current);
	e->current = NULL;
	while (e->first) {
		struct window *w = e->first;

		if (w->state == WORK_NEW)
			unqueue(a, w);
		/* It cannot be called off. */
		while (w->state == WORK_BUSY)
			thread_wait(&a->ready, &a->lock);
		e->first = w->next;
		give_back(a, w);
	}
	e->last = NULL;
	e->window_count = 0;
}

/* Takes the first window of e, filled; 0, or a signal. */
static int take(struct ahead *a, struct entry *e, struct err *err)
{
	struct window *w = e->first;

	if (w->state == WORK_NEW) {
		unqueue(a, w);
		w->state = WORK_BUSY;
		(void)pthread_mutex_unlock(&a->lock);
		window_fill(w);
		(void)pthread_mutex_lock(&a->lock);
		w->state = WORK_DONE;
	}
	while (w->state == WORK_BUSY) {
		int rc = stop_check(err);

		if (rc < 0)
			return rc;
		thread_wait(&a->ready, &a->lock);
	}
	e->first = w->next;
	if (!e->first)
		e->last = NULL;
	e->window_count--;
	e->current = w;
	return 0;
}

static void account(struct entry *e, int error, bool is_short)
{
	if (!error)
		return;
	if (e->errors == 0)
		found_note(&e->found, is_short ? "read: file is shorter" : "read", error);
	e->errors = is_short ? READ_ERRORS_MAX : e->errors + 1;
	e->data.is_broken = true;
}

/* No window is free, or nothing more is expected of the file: one piece, by the packer itself. */
static void read_alone(struct ahead *a, struct entry *e, off_t *at, size_t *len)
{
	int error = 0;
	bool is_short = false;

	*len = next_piece(e, at);
	if (e->errors >= READ_ERRORS_MAX) {
		memset(a->buf, 0, *len);
		return;
	}
	fill(e->fd, a->buf, *at, *len, &error, &is_short);
	account(e, error, is_short);
}

static int read_large(
	struct ahead *a, struct entry *e, off_t at, size_t want, const void **ret, struct err *err)
{
	off_t got_at = 0;
	size_t got = 0;
	int rc = 0;

	(void)pthread_mutex_lock(&a->lock);
	if (e->current) {
		give_back(a, e->current);
		e->current = NULL;
	}
	window_plan(a, e, true);
	if (e->first)
		rc = take(a, e, err);
	(void)pthread_mutex_unlock(&a->lock);
	if (rc < 0)
		return rc;
	if (e->current) {
		if (e->errors >= READ_ERRORS_MAX)
			memset(e->current->buf, 0, e->current->len);
		else
			account(e, e->current->error, e->current->is_short);
		got_at = e->current->at;
		got = e->current->len;
		*ret = e->current->buf;
	} else {
		read_alone(a, e, &got_at, &got);
		*ret = a->buf;
	}
	if (got_at != at || got != want)
		return err_set(err, ERR_FATAL, -EINVAL, "pieces of a large file out of order");
	return 0;
}

int window_read(void *arg, off_t at, size_t want, const void **ret, struct err *err)
{
	struct entry *e = arg;

	if (!e->whole)
		return read_large(e->ahead, e, at, want, ret, err);
	*ret = e->whole + at;
	return 0;
}
