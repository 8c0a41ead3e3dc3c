/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run at a time on each pool and each destination: flock on KIND-NAME.lock, which dies with the
 * process.  Root's lie in /run/thinark, other users' in $XDG_RUNTIME_DIR or as dot-files in $HOME.
 * The file is never unlinked and says who holds it.
 */
#pragma once

#include <stdbool.h>

#include "err.h"

#define LOCK_RUN_DIR "/run/thinark"

/*
 * *ret_fd holds the lock until closed.  Waits up to wait_s seconds, or until a signal; then
 * -EWOULDBLOCK of kind ERR_LOCKED, which names the owner.  what: for others to read, such as
 * "job nightly".
 */
int lock_take(const char *kind, const char *name, const char *what, unsigned wait_s, int *ret_fd,
	struct err *e);
/*
 * After lock_take refused: did the process that took the lock die?  Then a child of it holds the
 * lock on, one that ends a snapshot or hangs in the kernel with nobody watching it.
 */
bool lock_is_orphaned(const char *kind, const char *name);
