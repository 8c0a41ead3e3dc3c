/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The critical section: suspend, create_snap, resume, by a child that does nothing else, with
 * the parent as its watchdog.  Raw ioctls (linux/dm-ioctl.h) prepared beforehand: between suspend
 * and resume nothing allocates, logs, opens or writes.  The raw resume keeps the origin's udev
 * properties, which libdevmapper's would rewrite.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "dm.h"
#include "err.h"

#define SNAPPER_ORIGINS 4 /* dm names one thin id may be active under */

struct snapper {
	const char *pool;    /* dm name */
	const char *message; /* "create_snap NEW ORIGIN" */
	const char *origins[SNAPPER_ORIGINS];
	size_t origin_count;  /* 0: origin is not active, nothing to suspend */
	unsigned deadline_ms; /* of the whole window */
	/* results */
	uint64_t window_ns; /* from before the suspend to after the resume; 0 without origin */
	int was_frozen;     /* 1: file system frozen; 0: freezing failed, crash-consistent */
};

/*
 * Runs it.  On return every origin is live again, whatever happened.  -EEXIST: the new id is
 * taken; -ETIMEDOUT: the deadline passed, -ECANCELED: asked to stop; the snapshot, if it exists,
 * must not be used.
 */
int snapper_run(struct snapper *s, struct err *e);
/* Flushes what the file system on the device has dirty, before the window; limit in seconds. */
int snapper_presync(const char *node, unsigned limit_s, struct err *e);
/* Resumes a device with the raw ioctl: 1 if it was suspended, 0 if it is live or missing. */
int snapper_resume(const char *name, struct err *e);
