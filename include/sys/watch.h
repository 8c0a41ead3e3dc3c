/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread beside the work on one container: it reads the pool's status once a second, and knows
 * how long each stage may take.  When the pool comes into danger or a stage takes too long it ends
 * the work (stop_cancel).  It never undoes anything itself.
 */
#pragma once

#include <stdbool.h>

#include "err.h"
#include "pool.h"

struct watch;

struct watch_ops {
	/* Called from the thread when a stage is over its time, then once a minute. */
	void (*late)(void *arg, const char *stage, unsigned seconds);
	void *arg;
};

/* pool NULL: only the stages' times.  Both must outlive it. */
int watch_start(
	const struct pool *pool, const struct watch_ops *ops, struct watch **ret, struct err *e);
/* A stage begins; its name must live on.  0 seconds: as long as it likes. */
void watch_stage(struct watch *w, const char *name, unsigned seconds);
/* Did the pool's limit end the work? */
bool watch_is_pool_limit(const struct watch *w);
/* Ends the thread and frees; NULL is fine. */
void watch_stop(struct watch *w);
/*
 * Why a pool must be relieved of our snapshot at once; 0 if it need not.  left_s: seconds until its
 * data are used up at the present rate.  Kind ERR_SOURCE, code -ENOSPC or -EROFS.
 */
int watch_judge(const struct pool *p, const struct pool_status *s, double left_s, struct err *e);
