/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's API over its unix socket: only what it takes to pause a container for a moment, and a
 * guard that ends the pause whatever becomes of us.  No path of the API has a version in front, so
 * that every daemon answers in its own.
 */
#pragma once

#include <stddef.h>

#include "err.h"

#define ENGINE_ID_CAP 65      /* 64 hexadecimal digits, NUL */
#define ENGINE_SOCKET_CAP 108 /* sun_path of unix(7) */

enum engine_state {
	ENGINE_STOPPED, /* created, exited, dead: no process */
	ENGINE_RUNNING,
	ENGINE_PAUSED,
};

/*
 * socket is an absolute path, id 64 hexadecimal digits; deadline_ms is for the whole call.  Errors
 * are of kind ERR_SOURCE: -EINVAL for a wrong id or path, -ECONNREFUSED when nobody answers there,
 * -ETIMEDOUT, -ENOENT when the engine has no such container, -EPROTO for an answer that is not the
 * API's, -EREMOTEIO with the engine's own words when it refuses.
 */
int engine_state(const char *socket, const char *id, unsigned deadline_ms, enum engine_state *ret,
	struct err *e);
/* -EALREADY: somebody else has paused it, and it is his to resume. */
int engine_pause(const char *socket, const char *id, unsigned deadline_ms, struct err *e);
/* Success too if it is not paused, not running or gone.  Errors are of kind ERR_LEFTOVER. */
int engine_unpause(const char *socket, const char *id, unsigned deadline_ms, struct err *e);

/* The state in the answer to "inspect"; name is for messages.  Pure, so that it can be fuzzed. */
int engine_parse_state(
	const char *text, size_t len, const char *name, enum engine_state *ret, struct err *e);

/*
 * A process that unpauses the container: when told to, when we are dead, or when the deadline
 * passes.  Started before the pause; it holds nothing of ours open and takes no signal.
 */
struct engine_guard;

int engine_guard_start(const char *socket, const char *id, unsigned deadline_ms,
	struct engine_guard **ret, struct err *e);
/*
 * Unpauses now, reaps the guard and frees it; NULL is success.  -ETIMEDOUT of kind ERR_SOURCE: the
 * container runs, but the deadline had ended the pause before.  Kind ERR_LEFTOVER: it may still be
 * paused.
 */
int engine_guard_release(struct engine_guard *guard, struct err *e);
/* Ends the guard without unpausing; frees it.  NULL is nothing. */
void engine_guard_cancel(struct engine_guard *guard);
