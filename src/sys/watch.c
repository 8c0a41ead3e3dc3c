/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "dmraw.h"
#include "scope.h"
#include "stop.h"

#define POLL_S 1
#define RATE_S 10       /* the rate of use is measured over this time */
#define LEFT_MIN_S 60.0 /* as long as a pool without space queues writes by default */
#define LATE_AGAIN_S 60u

struct watch {
	const struct pool *pool;
	struct watch_ops ops;
	int control;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool is_over;
	atomic_bool is_pool_limit;
	const char *stage;
	unsigned limit_s, told_s;
	uint64_t stage_ns;
	uint64_t used[RATE_S]; /* data blocks, a ring of one a second */
	size_t polls;
};

int watch_judge(const struct pool *p, const struct pool_status *s, double left_s, struct err *e)
{
	const uint64_t free_data = s->data_total - s->data_used;
	const uint64_t free_meta = s->meta_total - s->meta_used;

	if (s->needs_check || s->mode == POOL_RO || s->mode == POOL_FAIL)
		return err_set(
			e, ERR_SOURCE, -EROFS, "pool '%s' failed while it was read", p->name);
	if (s->mode == POOL_OUT_OF_DATA)
		return err_set(e, ERR_SOURCE, -ENOSPC, "pool '%s' ran out of data space", p->name);
	/* Half of what a run needs to begin: the way down is what the snapshot may cost. */
	if (free_data * 200 < s->data_total * p->limits.min_free_data ||
		free_meta * 200 < s->meta_total * p->limits.min_free_metadata)
		return err_set(e, ERR_SOURCE, -ENOSPC,
			"pool '%s' fills up: %" PRIu64 " of %" PRIu64 " data and %" PRIu64
			" of %" PRIu64 " metadata blocks free; the work is given up",
			p->name, free_data, s->data_total, free_meta, s->meta_total);
	if (left_s < LEFT_MIN_S)
		return err_set(e, ERR_SOURCE, -ENOSPC,
			"pool '%s' will be full in %.0f s; the work is given up", p->name, left_s);
	return 0;
}

/* Seconds until the data are used up, at the rate of the last seconds. */
static double time_left(struct watch *w, const struct pool_status *s)
{
	const size_t n = w->polls < RATE_S ? w->polls : RATE_S;
	double left = INFINITY;

	if (n == RATE_S) {
		const uint64_t then = w->used[w->polls % RATE_S];

		if (s->data_used > then)
			left = (double)((s->data_total - s->data_used) * RATE_S * POLL_S) /
			       (double)(s->data_used - then);
	}
	w->used[w->polls++ % RATE_S] = s->data_used;
	return left;
}

static void poll_pool(struct watch *w)
{
	char line[512];
	struct pool_status s;
	struct err e = {0};

	/* A status that cannot be read says nothing about the pool. */
	if (!w->pool || w->is_pool_limit ||
		dmraw_status(w->control, w->pool->name, line, sizeof(line)) < 0 ||
		pool_status_parse(line, &s, &e) < 0)
		return;
	if (watch_judge(w->pool, &s, time_left(w, &s), &e) < 0) {
		w->is_pool_limit = true;
		stop_cancel(&e);
	}
}

/* Without the lock the callback may take its time. */
static void poll_stage(struct watch *w)
{
	const char *stage = w->stage;
	const unsigned limit = w->limit_s;
	const unsigned passed = (unsigned)((clock_ns() - w->stage_ns) / 1000000000u);
	struct err e = {0};

	if (!limit || passed < limit || passed < w->told_s)
		return;
	w->told_s = passed + LATE_AGAIN_S;
	(void)err_set(&e, ERR_SOURCE, -ETIMEDOUT, "not done within %u s", limit);
	stop_cancel(&e);
	(void)pthread_mutex_unlock(&w->lock);
	w->ops.late(w->ops.arg, stage, passed);
	(void)pthread_mutex_lock(&w->lock);
}

static void *run(void *arg)
{
	struct watch *w = arg;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->is_over) {
		struct timespec until;

		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += POLL_S;
		poll_pool(w);
		poll_stage(w);
		while (!w->is_over &&
			pthread_cond_timedwait(&w->wake, &w->lock, &until) != ETIMEDOUT)
			continue;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* Signals are for the main thread, whose calls they interrupt. */
static int start_thread(struct watch *w)
{
	sigset_t all, before;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(&w->thread, NULL, run, w);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int watch_start(
	const struct pool *pool, const struct watch_ops *ops, struct watch **ret, struct err *e)
{
	struct watch *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;

	if (!w)
		return err_sys(e, ERR_FATAL, -ENOMEM, "watcher");
	*w = (struct watch){.pool = pool, .ops = *ops, .control = -1, .stage = ""};
	w->control = pool ? dmraw_open(e) : -1;
	if (pool && w->control < 0) {
		free(w);
		return e->code;
	}
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	int r = start_thread(w);
	if (r < 0) {
		w->is_over = true;
		if (w->control >= 0)
			(void)close(w->control);
		free(w);
		return err_sys(e, ERR_FATAL, r, "watcher");
	}
	*ret = w;
	return 0;
}

void watch_stage(struct watch *w, const char *name, unsigned seconds)
{
	(void)pthread_mutex_lock(&w->lock);
	w->stage = name;
	w->limit_s = seconds;
	w->told_s = 0;
	w->stage_ns = clock_ns();
	(void)pthread_mutex_unlock(&w->lock);
}

bool watch_is_pool_limit(const struct watch *w)
{
	return w->is_pool_limit;
}

void watch_stop(struct watch *w)
{
	if (!w)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->is_over = true;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
	(void)pthread_cond_destroy(&w->wake);
	(void)pthread_mutex_destroy(&w->lock);
	if (w->control >= 0)
		(void)close(w->control);
	free(w);
}
