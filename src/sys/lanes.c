/* SPDX-License-Identifier: Apache-2.0 */
#include "lanes.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "stop.h"
#include "thread.h"

struct lane {
	size_t bytes;
	bool is_done;
};

struct lanes {
	struct lanes_ops ops;
	pthread_mutex_t lock;
	pthread_cond_t work, done, room; /* for threads, for the deliverer, for the caller */
	struct lane *slots;
	unsigned slot_count;
	/* Numbers of pieces; a piece n is in slot n % slot_count. */
	uint64_t handed, begun, delivered;
	size_t limit, used;
	bool is_stopped;
	int rc; /* the first error, in *failure */
	struct err failure;
	pthread_t *threads, deliverer;
	unsigned thread_count, named;
	bool has_deliverer;
};

static void fail(struct lanes *l, int rc, const struct err *e)
{
	if (l->rc == 0) {
		l->rc = rc;
		l->failure = *e;
	}
	l->is_stopped = true;
	(void)pthread_cond_broadcast(&l->work);
	(void)pthread_cond_broadcast(&l->done);
	(void)pthread_cond_broadcast(&l->room);
}

static void *run_worker(void *arg)
{
	struct lanes *l = arg;
	struct err e = {0};

	(void)pthread_mutex_lock(&l->lock);
	const unsigned thread = l->named++;
	while (!l->is_stopped) {
		if (l->begun == l->handed) {
			(void)pthread_cond_wait(&l->work, &l->lock);
			continue;
		}
		const uint64_t piece = l->begun++;
		const unsigned slot = (unsigned)(piece % l->slot_count);

		(void)pthread_mutex_unlock(&l->lock);
		int rc = l->ops.work(l->ops.arg, thread, slot, &e);
		(void)pthread_mutex_lock(&l->lock);
		l->slots[slot].is_done = true;
		if (rc < 0)
			fail(l, rc, &e);
		else if (piece == l->delivered)
			(void)pthread_cond_signal(&l->done);
	}
	(void)pthread_mutex_unlock(&l->lock);
	return NULL;
}

static void *run_deliverer(void *arg)
{
	struct lanes *l = arg;
	struct err e = {0};

	(void)pthread_mutex_lock(&l->lock);
	while (!l->is_stopped) {
		const unsigned slot = (unsigned)(l->delivered % l->slot_count);

		if (l->delivered == l->handed || !l->slots[slot].is_done) {
			(void)pthread_cond_wait(&l->done, &l->lock);
			continue;
		}
		(void)pthread_mutex_unlock(&l->lock);
		int rc = l->ops.deliver(l->ops.arg, slot, &e);
		(void)pthread_mutex_lock(&l->lock);
		l->used -= l->slots[slot].bytes;
		l->slots[slot] = (struct lane){0};
		l->delivered++;
		if (rc < 0)
			fail(l, rc, &e);
		(void)pthread_cond_signal(&l->room);
	}
	(void)pthread_mutex_unlock(&l->lock);
	return NULL;
}

int lanes_new(const struct lanes_ops *ops, unsigned threads, unsigned slots, size_t limit_bytes,
	struct lanes **ret, struct err *e)
{
	struct lanes *l = calloc(1, sizeof(*l));

	if (!l)
		return err_sys(e, ERR_FATAL, -ENOMEM, "threads");
	*l = (struct lanes){.ops = *ops, .slot_count = slots, .limit = limit_bytes};
	(void)pthread_mutex_init(&l->lock, NULL);
	(void)pthread_cond_init(&l->work, NULL);
	(void)pthread_cond_init(&l->done, NULL);
	(void)pthread_cond_init(&l->room, NULL);
	l->slots = calloc(slots, sizeof(*l->slots));
	l->threads = calloc(threads, sizeof(*l->threads));
	int rc = l->slots && l->threads ? 0 : -ENOMEM;

	if (rc == 0) {
		rc = thread_start(&l->deliverer, run_deliverer, l);
		l->has_deliverer = rc == 0;
	}
	while (rc == 0 && l->thread_count < threads) {
		rc = thread_start(&l->threads[l->thread_count], run_worker, l);
		l->thread_count += rc == 0;
	}
	/* Fewer are slower, that is all. */
	if (rc < 0 && l->thread_count == 0) {
		lanes_free(l);
		return err_sys(e, ERR_FATAL, rc, "threads");
	}
	*ret = l;
	return 0;
}

static int state(struct lanes *l, struct err *e)
{
	if (l->rc < 0) {
		if (e)
			*e = l->failure;
		return l->rc;
	}
	return stop_check(e);
}

int lanes_get(struct lanes *l, size_t bytes, unsigned *ret_slot, struct err *e)
{
	(void)pthread_mutex_lock(&l->lock);
	int rc = state(l, e);
	/* One is always let through, or a small limit would be the end. */
	while (rc == 0 && (l->handed - l->delivered == l->slot_count ||
				  (l->used && l->used + bytes > l->limit))) {
		thread_wait(&l->room, &l->lock);
		rc = state(l, e);
	}
	if (rc == 0) {
		*ret_slot = (unsigned)(l->handed % l->slot_count);
		l->slots[*ret_slot].bytes = bytes;
		l->used += bytes;
	}
	(void)pthread_mutex_unlock(&l->lock);
	return rc;
}

void lanes_put(struct lanes *l, size_t bytes)
{
	(void)pthread_mutex_lock(&l->lock);
	struct lane *slot = &l->slots[l->handed % l->slot_count];

	l->used = l->used - slot->bytes + bytes;
	slot->bytes = bytes;
	l->handed++;
	(void)pthread_cond_signal(&l->work);
	(void)pthread_mutex_unlock(&l->lock);
}

int lanes_drain(struct lanes *l, struct err *e)
{
	(void)pthread_mutex_lock(&l->lock);
	int rc = state(l, e);
	while (rc == 0 && l->delivered != l->handed) {
		thread_wait(&l->room, &l->lock);
		rc = state(l, e);
	}
	(void)pthread_mutex_unlock(&l->lock);
	return rc;
}

void lanes_free(struct lanes *l)
{
	if (!l)
		return;
	(void)pthread_mutex_lock(&l->lock);
	l->is_stopped = true;
	(void)pthread_cond_broadcast(&l->work);
	(void)pthread_cond_broadcast(&l->done);
	(void)pthread_mutex_unlock(&l->lock);
	for (unsigned i = 0; i < l->thread_count; i++)
		(void)pthread_join(l->threads[i], NULL);
	if (l->has_deliverer)
		(void)pthread_join(l->deliverer, NULL);
	(void)pthread_cond_destroy(&l->work);
	(void)pthread_cond_destroy(&l->done);
	(void)pthread_cond_destroy(&l->room);
	(void)pthread_mutex_destroy(&l->lock);
	free(l->threads);
	free(l->slots);
	free(l);
}
