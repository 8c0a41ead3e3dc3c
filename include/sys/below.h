/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths below a folder, resolved one component after the other by descriptors that follow no
 * symlink: whatever the names are, nothing outside is reached, and there is no PATH_MAX.  The
 * folders of the last path stay open, since the next one is mostly near.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define BELOW_OPEN 48 /* folders kept open */

struct below {
	int root;   /* borrowed */
	char *path; /* of the folders that are open */
	size_t len;
	struct below_level {
		int fd;
		size_t end; /* of its path in path */
	} levels[BELOW_OPEN];
	size_t count;
	int deep; /* a folder deeper than these; -1: none */
};

void below_init(struct below *b, int root);
/*
 * The folder of path, which tar_path_clean has cleaned, and the last component in *ret_name.  The
 * descriptor (O_PATH) is borrowed until the next call; for "." it is the root, and the name ".".
 * create: makes missing folders, 0700.  Negative errno: -ENOTDIR or -ELOOP for what is no folder.
 */
int below_parent(struct below *b, const char *path, bool create, const char **ret_name);
/* Opens path itself: O_PATH, and O_NOFOLLOW, added to flags.  The caller closes it. */
int below_open(struct below *b, const char *path, int flags);
void below_done(struct below *b);
