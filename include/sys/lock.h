/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run at a time on each pool and each destination: flock on /run/thinark/KIND-NAME.lock, or for
 * other users than root below $XDG_RUNTIME_DIR or $HOME, which dies with the process.  The file is
 * never unlinked and says who holds it.
 */
#pragma once

#include "err.h"

#define LOCK_RUN_DIR "/run/thinark"

/*
 * *ret_fd holds the lock until closed.  Waits up to wait_s seconds, or until a signal; then
 * -EWOULDBLOCK of kind ERR_LOCKED, which names the owner.  what: for others to read, such as
 * "job nightly".
 */
int lock_take(const char *kind, const char *name, const char *what, unsigned wait_s, int *ret_fd,
	struct err *e);
