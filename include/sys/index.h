/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of an archive (docs/format.md): one record for each entry, with where it lies in the
 * tar, and one for each frame.  Parts are encoded and decoded in memory; nothing here does I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "digest.h"
#include "err.h"
#include "frames.h"
#include "str.h"

#define INDEX_VERSION 1
#define INDEX_PART 1048576u       /* a writer ends a part that is at least as long */
#define INDEX_PART_MAX (8u << 20) /* a reader takes no longer one */
#define INDEX_EXTENTS_LEN 16

/* What an entry has; the values are those of the format. */
enum index_has {
	INDEX_HARDLINK = 1,    /* link names an earlier entry of the same inode */
	INDEX_SYMLINK = 2,     /* link is the target */
	INDEX_CONTENT = 4,     /* content is set */
	INDEX_SPARSE = 8,      /* content is the digest of a file with holes */
	INDEX_XATTRS = 16,     /* xattrs is set */
	INDEX_EXTENTS = 32,    /* extents is set */
	INDEX_GENERATION = 64, /* generation is set */
	INDEX_UNREADABLE = 128 /* part of the content could not be read and is zeros */
};

struct index_entry {
	const char *path; /* as tar_path_clean leaves it; owned by struct index */
	const char *link; /* NULL unless a link; lies behind path */
	uint32_t has;
	uint32_t mode; /* st_mode */
	uint32_t uid, gid, rdev_major, rdev_minor, generation;
	uint64_t size, inode;
	struct timespec mtime, ctime;
	uint64_t header, data,
		end; /* offsets in the tar: first header, behind the headers, next member */
	unsigned char content[DIGEST_LEN], xattrs[DIGEST_LEN], extents[INDEX_EXTENTS_LEN];
};

struct index {
	struct index_entry *entries; /* in the order of the tar */
	size_t count, cap;
	struct frame_info *frames;
	size_t frame_count, frame_cap;
	uint64_t tar_bytes; /* of the end record */
	uint64_t want_entries, want_frames;
	bool ended; /* the end record was seen */
	/*
	 * Set before reading: only the entries of this path are looked at and kept, the others
	 * counted; borrowed.  NULL: all.
	 */
	const char *only;
	size_t seen;      /* entries read, kept or not */
	size_t misplaced; /* number of the first that begins before another's end, from 1; 0: none
			   */
	uint64_t last_end;
};

/* Encoding: a part is begun, filled with records, and complete at any time. */
void index_part_begin(struct strbuf *part);
/* Returns where in the part its content digest is, 0 if it has none. */
size_t index_put_entry(struct strbuf *part, const struct index_entry *entry);
void index_put_frame(struct strbuf *part, const struct frame_info *frame);
void index_put_end(struct strbuf *part, uint64_t entries, uint64_t frames, uint64_t tar_bytes);

/*
 * Adds what a part holds.  Records of unknown kinds are left out.  Errors (kind ERR_DAMAGED) name
 * the byte of the part.  After one, ret still holds the records before it.
 */
int index_part_read(const void *part, size_t len, struct index *ret, struct err *e);
/* Whether all parts are there and fit together: counts, order of offsets. */
int index_check(const struct index *x, struct err *e);
void index_done(struct index *x);
