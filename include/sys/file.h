/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that mean something are published atomically: temporary name ".NAME.part-TAG" in the
 * same folder (O_EXCL, O_NOFOLLOW, 0600), written, length checked, fsynced, renamed without
 * replacing, folder fsynced.  A failing fsync is final.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

struct file_part {
	int dirfd;      /* owned */
	int fd;         /* owned; -1 when closed */
	char name[256]; /* final name */
	char part[300]; /* temporary name; empty once published or dropped */
	uint64_t written;
	dev_t dev; /* and inode, once synced */
	ino_t ino;
};

/* Opens the folder path below rootfd, creating missing components 0700; never follows symlinks
 * below rootfd. */
int file_open_dir(int rootfd, const char *path, bool create, int *ret_fd, struct err *e);
/*
 * Sixteen hexadecimal digits for temporary names: eight of this host, so that hosts that share a
 * folder leave each other's alone, and eight by chance.
 */
int file_tag(char ret[17], struct err *e);
/* ".NAME.part-TAG"; NAME is cut to 200 bytes, so that the longest has one, too. */
void file_part_name(const char *name, const char *tag, char ret[300]);
/* dirfd is duplicated.  -EEXIST if the final name exists already. */
int file_part_begin(
	int dirfd, const char *name, const char *tag, struct file_part *p, struct err *e);
int file_part_write(struct file_part *p, const void *data, size_t len, struct err *e);
/* Checks the length, fsyncs and closes.  After a failure only file_part_drop is allowed. */
int file_part_sync(struct file_part *p, struct err *e);
/* Renames what was synced, without replacing; fsyncs the folder.  After a failure as above. */
int file_part_publish(struct file_part *p, struct err *e);
/* Renames within a folder without replacing; a negative errno. */
int file_rename_new(int dirfd, const char *from, const char *to);
/* Removes an unpublished file and closes everything; safe on a zeroed or half-made one. */
int file_part_drop(struct file_part *p, struct err *e);
/*
 * Opens the regular file path for reading, if nobody but root and the effective user could have
 * written it or put another in its place: it, each folder above it and each symbolic link on the
 * way belong to one of the two, and neither group nor others may write to it or to those folders
 * (a sticky folder may be writable: there each entry is its owner's).  Errors are of kind
 * ERR_CONFIG and name what is wrong and the command that mends it.  ret_fd may be NULL.
 */
int file_open_trusted(const char *path, int *ret_fd, struct err *e);
