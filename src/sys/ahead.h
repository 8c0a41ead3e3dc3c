/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to sys: reading ahead of the packer.  One thread walks (order.c) and puts entries into a
 * ring in the order of the archive; readers (ahead.c) list folders, look at entries and read
 * small files whole, in the order of inodes within a batch; large files come in windows
 * (window.c).  The packer takes entries from the ring in order; what nobody has begun when it is
 * needed it does itself, so that it never waits for anything that waits for it.
 *
 * One lock guards all of it but the contents of an entry, a folder or a window that is BUSY, which
 * belong to the thread that made it so.
 */
#pragma once

#include <pthread.h>

#include "digest.h"
#include "err.h"
#include "folder.h"
#include "found.h"

#define AHEAD_WHOLE (1u << 20) /* bytes; a larger file is read in windows of that size */

enum work_state { WORK_NEW, WORK_BUSY, WORK_DONE };

/* A piece of a large file. */
struct ahead;

struct window {
	struct window *next;  /* of the same entry, or free */
	struct window *queue; /* waiting for a reader */
	struct entry *owner;
	enum work_state state;
	char *buf;
	off_t at;
	size_t len;
	int error;     /* of reading; what could not be read is zeros */
	bool is_short; /* the file ends before */
};

/* One name on its way to the packer. */
struct entry {
	struct ahead *ahead;
	struct folder *folder; /* that holds it; NULL: it is the root */
	const char *name;
	uint8_t type; /* DT_* */
	uint64_t ino, seq;
	enum work_state state;
	struct found found;
	/* regular files */
	struct pack_data data;
	struct pack_extent *map;
	int fd;            /* of a large file */
	char *whole;       /* content of a small one */
	size_t whole_size; /* against the limit for those */
	bool is_left;      /* another name was expected to bring the content */
	unsigned char extents[16];
	unsigned errors;
	/* the windows of a large one */
	struct window *first, *last, *current;
	unsigned window_count;
	size_t extent; /* in the map: where the next window begins */
	off_t at;
};

/* root_fd must be open while it lives.  Starts the threads. */
int ahead_new(int root_fd, const struct walk_options *o, struct ahead **ret, struct err *e);
/*
 * The next entry in order; *ret is NULL behind the last, and valid until the next call.  Waits; a
 * signal ends that.
 */
int ahead_next(struct ahead *a, struct entry **ret, struct err *e);
/* Reads now what is_left. */
void ahead_load(struct ahead *a, struct entry *e);
uint64_t ahead_excluded(struct ahead *a);
/* Stops and joins the threads; NULL is fine. */
void ahead_free(struct ahead *a);
