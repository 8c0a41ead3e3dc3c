/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to restore: regular files, the small ones by several threads.  A file is written under a
 * temporary name, gets its metadata, and only then its own name.  Files of one folder go to one
 * thread in their order: the kernel lets one at a time into a folder anyway.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "err.h"
#include "trouble.h"
#include "untar.h"

#define RESTORE_PART 40            /* bytes of a temporary name */
#define RESTORE_SMALL (256u << 10) /* bytes of content that are handed to a thread, at most */

/* A regular file on its way.  What points somewhere is borrowed by restore_file_*. */
struct new_file {
	int dir; /* its folder's descriptor */
	char part[RESTORE_PART];
	struct tar_member member; /* path: as restore has cleaned it */
	char *data;               /* the extents' bytes, one behind the other */
	unsigned how;             /* of meta_how */
	/* How it went. */
	int code;         /* 0, or a negative errno and what failed */
	const char *what; /* static text */
	ino_t ino;
	struct trouble trouble; /* metadata that could not be set */
};

/* The descriptor of the new file under its temporary name, or a negative errno. */
int restore_file_open(const struct new_file *f);
/* Its size, metadata, number and name; end: behind what was written.  False: see f->code. */
bool restore_file_end(struct new_file *f, int fd, uint64_t end);
/* Takes away what restore_file_open made. */
void restore_file_drop(const struct new_file *f);

struct writers;

/* Threads start with the first file. */
int writers_new(struct writers **ret, struct err *e);
/* May a file with so many bytes be put? If not, take one first. */
bool writers_have_room(const struct writers *w, size_t bytes);
/*
 * Takes f->member and f->data over (also on failure); f->dir is duplicated, once for files of one
 * folder that follow one another.  0 or a negative errno.
 */
int writers_put(struct writers *w, struct new_file *f, size_t bytes);
/*
 * The next one in order that is done; wait: or will be.  False: there is none.  The caller frees it
 * with new_file_done.
 */
bool writers_take(struct writers *w, bool wait, struct new_file *ret);
void new_file_done(struct new_file *f);
/* Ends the threads; files not begun are not made. */
void writers_free(struct writers *w);
