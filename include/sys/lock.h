/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run at a time: flock on a file, which dies with the process.  Root's is /run/thinark/lock,
 * other users' $XDG_RUNTIME_DIR/thinark.lock or $HOME/.thinark.lock.
 */
#pragma once

#include "err.h"

#define LOCK_RUN_DIR "/run/thinark"

/* *ret_fd holds the lock until closed.  -EWOULDBLOCK of kind ERR_LOCKED names the owner's pid. */
int lock_take(int *ret_fd, struct err *e);
