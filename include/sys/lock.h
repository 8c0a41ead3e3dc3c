/* SPDX-License-Identifier: Apache-2.0 */
/* One run at a time: flock on /run/thinark/lock; dies with the process. */
#pragma once

#include <stdbool.h>

#include "err.h"

#define LOCK_RUN_DIR "/run/thinark"

/* *ret_fd holds the lock until closed.  -EWOULDBLOCK of kind ERR_LOCKED names the owner's pid. */
int lock_take(int *ret_fd, struct err *e);
/*
 * After lock_take refused: did the process that took the lock die?  Then a child of it holds the
 * lock on, one that ends a snapshot or hangs in the kernel with nobody watching it.
 */
bool lock_is_orphaned(void);
