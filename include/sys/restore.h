/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes members of an archive below a folder, which was empty before unless is_over is set: then a
 * file or link there gives way to the archive's, in one step, a folder only to a folder, and what
 * the archive does not have stays.  Paths are resolved without
 * symlinks, metadata is set by descriptor, files are written under a temporary name and renamed,
 * hard links go to what this restore made itself.  What is hostile or damaged is left out and
 * noted; the rest is restored.  In the end the whole file system of the target is synced, once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "reader.h"
#include "trouble.h"

struct restore_options {
	int dirfd;
	char *const *paths; /* cleaned; these, what is below and the folders above; none: all */
	size_t path_count;
	bool no_devices;                                     /* leave device nodes out */
	bool is_over;                                        /* the folder may have content */
	void (*progress)(void *arg, uint64_t content_bytes); /* after each member; NULL: none */
	void *progress_arg;
};

struct restore_counts {
	uint64_t entries, files, dirs, symlinks, hardlinks, devices, fifos;
	uint64_t devices_skipped, content_bytes;
	uint64_t damaged; /* members that could not be read from the archive */
};

/* A full or broken target and a signal end it; all else is trouble. */
int restore_tree(struct reader *r, const struct restore_options *o, struct restore_counts *counts,
	struct trouble *t, struct err *e);
/* Is path one of paths, below one, or (folders) above one?  found[i] is set for those it is at or
 * below of; may be NULL. */
bool restore_selects(
	char *const *paths, size_t count, const char *path, bool is_folder, bool *found);
