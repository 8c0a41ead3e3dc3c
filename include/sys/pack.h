/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pax tar member after the other, by libarchive's pax writer (the only user of libarchive's
 * writer).  Errors here are errors of the destination; what cannot be read of the source is
 * noted in the trouble list and the member is padded with zeros so that the archive stays whole.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "err.h"
#include "frames.h"
#include "trouble.h"

struct pack_counts {
	uint64_t entries, files, dirs, symlinks, hardlinks, devices, fifos, sockets_skipped;
	uint64_t excluded, content_bytes;
};

#define PACK_PIECE (1u << 20) /* bytes of content asked for at a time, at most */

/* name as the kernel spells it. */
struct pack_xattr {
	const char *name;
	const void *value;
	size_t len;
};

struct pack_extent {
	off_t at, end;
};

/* The content of a regular file. */
struct pack_data {
	bool is_sparse; /* else all of it is data, and there is no map */
	const struct pack_extent *map;
	size_t map_len;
	const unsigned char *extents; /* fingerprint of its places on the device; NULL: unknown */
	bool has_generation;
	uint32_t generation;
	/*
	 * The next piece: at most PACK_PIECE, all of one extent, one behind the other.  *ret is
	 * valid until the next call.  What cannot be read is zeros and makes it is_broken; only a
	 * signal is an error.
	 */
	int (*read)(void *arg, off_t at, size_t want, const void **ret, struct err *e);
	void *arg;
	bool is_broken;
};

/* One entry as the walk found it.  Everything is borrowed. */
struct pack_entry {
	const char *path; /* relative to the container's '/', raw bytes; "." is the root itself */
	const struct stat *st;
	const char *symlink;             /* target, NULL unless a symlink */
	const struct pack_xattr *xattrs; /* in byte order of names */
	size_t xattr_count;
	struct pack_data *data; /* of regular files; a further name of an inode needs none */
};

struct pack;

int pack_new(struct frames *to, struct pack **ret, struct err *e);
/* Adds one; a file whose (dev, inode) came before becomes a hard link.  Sockets are counted only.
 */
int pack_add(struct pack *p, const struct pack_entry *entry, struct trouble *t, struct err *e);
/* Was a name of this inode added?  Only inodes with several names are known. */
bool pack_has_inode(const struct pack *p, const struct stat *st);
/* End-of-archive blocks, and the index for frames_finish. */
int pack_finish(struct pack *p, struct err *e);
struct pack_counts *pack_counts(struct pack *p);
void pack_free(struct pack *p);
