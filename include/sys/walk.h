/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a read-only tree in a stable order (byte order of names in each directory, parents before
 * children), by descriptors only, never following a symlink and never crossing a mount.  No
 * recursion on the stack; depth at most WALK_DEPTH_MAX (deeper is trouble).  Drives the archive:
 * walk -> pack -> frames -> sink.  Threads read ahead, so that the packer rarely waits for the
 * device; they live only during the call, and the order of the archive does not depend on them.
 *
 * In a snapshot nothing vanishes: ENOENT on a name that readdir returned is data loss and goes into
 * the trouble list, as does a directory stream without "." and "..", or (ext4, xfs) a directory
 * whose link count is not 2 + number of sub-directories.  A folder that is read live is held to
 * the same: whatever changes under the walk makes the archive incomplete.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cfg.h"
#include "err.h"
#include "pack.h"
#include "trouble.h"

#define WALK_DEPTH_MAX 1024

struct walk_options {
	/*
	 * Patterns relative to the root, without leading '/'; '*' and '?' stop at '/', "**" does
	 * not.  "tmp/" + "**" leaves out what is below tmp but keeps tmp itself; a pattern that
	 * matches a directory leaves out the whole directory.  The root is never left out.
	 */
	const struct cfg_strings *exclude;
	bool exclude_caches; /* folders with a CACHEDIR.TAG that has the signature */
	const struct cfg_strings *exclude_if_present; /* folders that hold such a name */
	unsigned readers;                             /* threads that read ahead; 0: 16 */
	size_t memory;                                /* see budget.h; 0: the default */
	/* Called after each entry with content bytes so far; NULL: none. */
	void (*progress)(void *arg, uint64_t content_bytes);
	void *progress_arg;
};

/* Does path (no leading '/') match one of the patterns? */
bool walk_excluded(const struct cfg_strings *exclude, const char *path);
/* root_fd: directory open for reading.  Ends early only for a destination error or a signal. */
int walk_tree(int root_fd, const struct walk_options *o, struct pack *to, struct trouble *t,
	struct err *e);
