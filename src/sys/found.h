/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to sys: what one look at a name of the tree finds.  Threads look ahead of the packer, so
 * trouble is noted here first and reported in the order of the archive.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "pack.h"
#include "trouble.h"
#include "walk.h"

struct note {
	const char *what; /* a constant text */
	int error;        /* positive errno */
};

struct found {
	bool is_there; /* there is something to archive, and st is valid */
	struct stat st;
	char *symlink; /* target, or NULL */
	struct pack_xattr *xattrs;
	size_t xattr_count;
	struct note *notes;
	size_t note_count, notes_lost;
};

/* What all who look share. */
struct tree {
	const struct walk_options *o;
	dev_t dev; /* no other is entered */
	bool count_links, is_ext4;
	atomic_bool no_openat2; /* an old kernel */
};

/* Out of memory loses the text, never the count. */
void found_note(struct found *f, const char *what, int error);
/* Moves the notes to t. */
void found_report(struct found *f, const char *path, struct trouble *t);
/* All extended attributes of fd, or, if it is -1, of the name in the folder dirfd. */
void found_xattrs(struct found *f, int fd, int dirfd, const char *name);
void found_done(struct found *f);

/*
 * Opens name in dirfd: never a symbolic link, never on another mount.  A negative errno.
 * found_open_quietly does not change access times where it may.
 */
int found_open(struct tree *t, int dirfd, const char *name, int flags);
int found_open_quietly(struct tree *t, int dirfd, const char *name, int flags);
