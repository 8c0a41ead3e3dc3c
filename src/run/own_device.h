/* SPDX-License-Identifier: Apache-2.0 */
/* Private to run: a container's own device, activated and mounted read-write by us. */
#pragma once

#include <limits.h>

#include "job.h"

struct own_device {
	const struct pool *pool; /* borrowed, as the container */
	const struct container *container;
	struct ledger_entry entry;
	char dir[PATH_MAX]; /* where it is to be mounted; absolute */
	const char *fs_type;
	bool was_written; /* from the mount on, which replays a journal */
	bool is_shared;   /* after the undo: somebody else has it mounted, and it was left to him */
};

/*
 * Finds a container whose volume is a thin device that we may activate by ourselves.  Kind
 * ERR_USAGE for another one, as for a volume of LVM's.
 */
int own_find(const struct container_list *list, const char *name, const struct container **ret,
	struct err *e);
/* Kind ERR_SOURCE, -EBUSY: whoever has it active may have it mounted. */
int own_check_unused(const struct pool *pool, const struct container *c, struct err *e);
/*
 * Activates and mounts on dir.  is_public: for a user, so that recover leaves it alone as long as
 * it is mounted; else the kernel takes the device away when the mount is gone.  Under the engine's
 * own name for it, so that an engine that starts the container meanwhile finds the device there and
 * shares the one mounted file system, instead of mounting a second one.  All is armed on u.
 */
int own_mount(struct own_device *d, bool is_public, struct undo *u, struct err *e);
