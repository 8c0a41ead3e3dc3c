/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What could not be read of a container.  This is the type of source errors: they never end an
 * archive and cannot be mixed up with struct err, which reports the destination and always does.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct trouble_item {
	char *path; /* raw bytes, relative to the container's '/' */
	char *what; /* "open", "read", ... */
	int error;  /* positive errno */
};

#define TROUBLE_KEEP 1000 /* items kept; all are counted */

struct trouble {
	uint64_t count;
	struct trouble_item *items;
	size_t kept;
};

/* Notes one; out of memory only loses the text, never the count. */
void trouble_add(struct trouble *t, const char *path, const char *what, int error);
void trouble_done(struct trouble *t);
