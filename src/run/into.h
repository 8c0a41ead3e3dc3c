/* SPDX-License-Identifier: Apache-2.0 */
/* Private to run: a stopped container's own device, as the target of a restore. */
#pragma once

#include "own_device.h"
#include "reader.h"
#include "safety.h"

struct into {
	const struct run_options *options;
	const char *name; /* of the container, as it was asked for */
	struct container_list list;
	const struct container *container;
	struct pools pools;
	struct pool_use *use;
	struct safety safety;
	struct own_device own;
	struct undo undo;
	int root; /* the container's '/'; -1: not open */
	struct watch *watch;
	bool has_safety;
};

/*
 * Everything that needs no archive; enters a mount namespace of our own, so before any thread is
 * started.  Also after a failure into_close is due.
 */
int into_prepare(struct into *t, struct err *e);
/* Room in the pool for bytes, safety snapshot, mount; t->root is the target then. */
int into_open(struct into *t, uint64_t bytes, struct err *e);
/*
 * Unmounts and drops the safety snapshot; but keeps that if the device may not be what it was and
 * keep is set or something fails here, as when the container was started meanwhile.  Frees.
 */
int into_close(struct into *t, bool keep, struct err *e);
