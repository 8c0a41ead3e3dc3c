/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that mean something are published atomically: temporary name ".NAME.part-RANDOM" in the
 * same folder (O_EXCL, O_NOFOLLOW, 0600), written, length checked, fsynced, renamed without
 * replacing, folder fsynced.  A failing fsync is final.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct file_part {
	int dirfd;      /* owned */
	int fd;         /* owned; -1 when closed */
	char name[256]; /* final name */
	char part[300]; /* temporary name; empty once published or dropped */
	uint64_t written;
};

/* Opens the folder path below rootfd, creating missing components 0700; never follows symlinks
 * below rootfd. */
int file_open_dir(int rootfd, const char *path, bool create, int *ret_fd, struct err *e);
/* dirfd is duplicated.  -EEXIST if the final name exists already. */
int file_part_begin(int dirfd, const char *name, struct file_part *p, struct err *e);
int file_part_write(struct file_part *p, const void *data, size_t len, struct err *e);
/* fsync, publish, fsync the folder.  After a failure only file_part_drop is allowed. */
int file_part_publish(struct file_part *p, struct err *e);
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
