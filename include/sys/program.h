/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A foreign program in a session and process group of its own: no shell, nothing of ours open,
 * stdin empty, no signal blocked or ignored, working folder "/".
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define PROGRAM_GRACE_MS 5000u /* from SIGTERM to SIGKILL */
#define PROGRAM_KEPT 3
#define PROGRAM_LINE_MAX 1000u /* bytes; longer lines arrive in pieces */

/* One line of its stdout or stderr, without the newline; any bytes. */
typedef void program_line_fn(void *arg, const char *text, size_t len);

struct program {
	char *const *argv; /* argv[0]: the program's path; NULL at the end */
	char *const *env;  /* all of its environment; NULL at the end */
	int keep;          /* a descriptor of ours that it has as PROGRAM_KEPT; 0 or less: none */
	uint64_t timeout_ms;
	uint64_t stop_ms; /* how long it may go on once we are asked to stop (stop.h) */
	program_line_fn *line;
	void *arg;
};

enum program_end {
	PROGRAM_EXITED,    /* by itself; code is its exit code */
	PROGRAM_SIGNALLED, /* by a signal that was not ours; code is its number */
	PROGRAM_TIMED_OUT, /* killed by us with its process group */
	PROGRAM_STOPPED,   /* the same, because we are asked to stop */
};

struct program_result {
	enum program_end end;
	int code;
};

/*
 * Runs it to its end.  What it leaves in the background is left alone, unless it had to be killed.
 * Fails (kind ERR_SOURCE) only when it cannot be started, or does not go away when killed.
 */
int program_run(const struct program *s, struct program_result *ret, struct err *e);
