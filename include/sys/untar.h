/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads tar members from any place of a stream: pax (POSIX.1-2017), ustar, v7 and GNU tar, with
 * sparse files in all of GNU tar's forms.  Names stay the bytes that they are, times exact, and
 * nothing is looked up, so a member comes out the same in every locale and on every host.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "err.h"

struct tar_source {
	/* Copies len bytes from at on; fewer only at the end; negative errno with *e set. */
	ssize_t (*read)(void *state, uint64_t at, void *to, size_t len, struct err *e);
	void *state;
};

struct tar_extent {
	uint64_t at, len; /* in the file; their bytes follow one another in the stream */
};

struct tar_xattr {
	char *name; /* as the kernel spells it */
	unsigned char *value;
	size_t len;
};

struct tar_member {
	char *path;    /* as in the tar, but folders without a slash behind */
	char *link;    /* of links */
	bool hardlink; /* link is an earlier path; mode has no type then */
	uint32_t mode; /* st_mode */
	uint32_t uid, gid, rdev_major, rdev_minor;
	uint64_t size; /* of the file, holes included */
	struct timespec mtime;
	bool sparse;
	struct tar_extent *extents; /* ascending; a whole file has one, an empty one none */
	size_t extent_count;
	struct tar_xattr *xattrs; /* ACLs as system.posix_acl_* */
	size_t xattr_count;
	const char *lost; /* metadata that could not be understood; static text, NULL: none */
	uint64_t header, data, end; /* offsets: first header, content, next member */
};

struct tar {
	struct tar_source from;
	uint64_t at; /* of the next member; may be set to the header of any */
};

/*
 * 1: *m is the next member, freed with tar_member_done.  0: the end mark was reached.
 * Errors of kind ERR_DAMAGED name the byte; the tar cannot be read on then.
 */
int tar_next(struct tar *t, struct tar_member *m, struct err *e);
void tar_member_done(struct tar_member *m);
/*
 * Removes "./", doubled and final slashes in place; the root becomes ".".  false: absolute, with
 * "..", or empty: such a path must not be used below a folder.
 */
bool tar_path_clean(char *path);
