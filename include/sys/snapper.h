/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The critical section: suspend, create_snap, resume, by a child that does nothing else, with
 * the parent as its watchdog.  Raw ioctls prepared beforehand: between suspend and resume nothing
 * allocates, logs, opens or writes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dm.h"
#include "err.h"

#define SNAPPER_ORIGINS 4 /* dm names one thin id may be active under */

/* One snapshot of the window. */
struct snapper_shot {
	const char *pool;    /* dm name */
	const char *message; /* "create_snap NEW ORIGIN" */
	const char *origins[SNAPPER_ORIGINS];
	size_t origin_count; /* 0: origin is not active, nothing to suspend */
	/* results */
	bool was_frozen; /* false: freezing failed, crash-consistent; or nothing to suspend */
	bool is_taken;   /* create_snap reported success */
};

struct snapper {
	struct snapper_shot *shots; /* all of them in one instant: all or none are good */
	size_t count;
	unsigned deadline_ms; /* of the whole window */
	/* results */
	uint64_t window_ns; /* first suspend to last resume; 0 when nothing was suspended */
	size_t failed;      /* on an error: which shot it came from */
};

/*
 * Suspends all origins, sends all messages, resumes all.  On return every origin is live again,
 * whatever happened, unless the kernel refuses for a second: then it fails with kind ERR_LEFTOVER.
 * -EEXIST: a new id is taken; -ETIMEDOUT: the deadline passed; -ECANCELED: asked to stop.  After an
 * error no snapshot may be used, but those with is_taken, and after -ETIMEDOUT and -ECANCELED any,
 * may exist.
 */
int snapper_run(struct snapper *s, struct err *e);
/* Flushes what the file system on the device has dirty, before the window; limit in seconds. */
int snapper_presync(const char *node, unsigned limit_s, struct err *e);
/* Resumes a device with the raw ioctl: 1; a live or missing one: 0. */
int snapper_resume(const char *name, struct err *e);
