/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pax tar member after the other, by libarchive's pax writer (the only user of libarchive's
 * writer).  Errors here are errors of the destination; what cannot be read of the source is
 * noted in the trouble list and the member is padded with zeros so that the archive stays whole.
 */
#pragma once

#include <stdint.h>
#include <sys/stat.h>

#include "err.h"
#include "frames.h"
#include "trouble.h"

struct pack_counts {
	uint64_t entries, files, dirs, symlinks, hardlinks, devices, fifos, sockets_skipped;
	uint64_t excluded, content_bytes;
};

/* One entry as the walk found it.  Descriptors are borrowed. */
struct pack_entry {
	const char *path; /* relative to the container's '/', raw bytes; "." is the root itself */
	const struct stat *st;
	int fd;              /* O_PATH descriptor of the entry */
	int content_fd;      /* regular files and directories: open for reading; else -1 */
	const char *symlink; /* target, NULL unless a symlink */
	int dirfd;           /* its folder, and its name there: symlinks and special files have */
	const char *name;    /* no content_fd, so their xattrs are read by this pair */
};

struct pack;

int pack_new(struct frames *to, struct pack **ret, struct err *e);
/* Adds one; a file whose (dev, inode) came before becomes a hard link.  Sockets are counted only.
 */
int pack_add(struct pack *p, const struct pack_entry *entry, struct trouble *t, struct err *e);
/* End-of-archive blocks, and the index for frames_finish. */
int pack_finish(struct pack *p, struct err *e);
struct pack_counts *pack_counts(struct pack *p);
void pack_free(struct pack *p);
