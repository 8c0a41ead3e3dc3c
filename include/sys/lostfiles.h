/* SPDX-License-Identifier: Apache-2.0 */
/* Which files lie on what is lost of a device: where their data is tells the file system (FIEMAP).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Bytes begin <= byte < end of the device. */
struct lost_range {
	uint64_t begin, end;
};

/* path: raw bytes, relative; bytes: of the file's content. */
typedef void lostfiles_fn(void *arg, const char *path, uint64_t bytes);

/*
 * Calls fn for each regular file below the folder some of whose content lies in the ranges, which
 * ascend and do not overlap.  What cannot be looked at is left out: whoever reads it will tell.
 * Kind ERR_FATAL (memory) or ERR_INTERRUPTED.
 */
int lostfiles_find(int root, const struct lost_range *ranges, size_t count, lostfiles_fn *fn,
	void *arg, struct err *e);
