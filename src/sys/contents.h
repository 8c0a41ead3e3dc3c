/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to frames: which bytes of a frame are contents of files, so that the threads that
 * compress and write it also make the files' digests (docs/format.md, content).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"

/* A stretch of one file's content in a frame. */
struct piece {
	size_t at, len;
	uint64_t note[2]; /* little endian, hashed before it: of a file with holes */
	bool has_note;
	bool is_first; /* nothing of the file lies before it */
	unsigned char
		*out; /* behind it the file ends, and its digest goes here; NULL: it goes on */
};

/* Those of a frame, in their order.  Zero-initialised is empty. */
struct contents {
	struct piece *items;
	size_t count, cap;
};

/* The file that is being written. */
struct content {
	bool is_on;    /* what is written now belongs to it */
	bool is_begun; /* something of it was hashed already */
};

/* len bytes of the file are at at.  All return 0 or -ENOMEM. */
int contents_add(struct contents *c, struct content *file, size_t at, size_t len);
/* at: the length of the frame so far. */
int contents_note(struct contents *c, struct content *file, size_t at, const uint64_t note[2]);
int contents_end(struct contents *c, struct content *file, size_t at, unsigned char *out);
/* Room that the jobs of one frame need. */
size_t contents_jobs(const struct contents *c);
/* Files that are whole in it: each a job of its own. */
size_t contents_whole(
	const struct contents *c, const unsigned char *frame, struct digest_job *jobs);
/* All others, for d, which must see the frames in their order. */
size_t contents_parts(const struct contents *c, const unsigned char *frame, struct digest *d,
	struct digest_job *jobs);
void contents_done(struct contents *c);
