/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file system's own checker says of it: "e2fsck -fn", "xfs_repair -n".  Both only read.  The
 * device must not be mounted, its journal replayed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct fscheck {
	const char *command; /* "e2fsck -fn"; static text; NULL: it is not installed here */
	bool is_sound;
	int code;          /* exit code; -1: it did not end by itself */
	char finding[200]; /* the first that it found wrong; "": nothing */
};

/* type: "xfs" or "ext4".  Fails only when the program cannot be run. */
int fscheck_run(const char *node, const char *type, struct fscheck *ret, struct err *e);
/* For the lines that it prints: is this one about something wrong? */
bool fscheck_is_finding(const char *line, size_t len);
