/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compressed stream: independent zstd frames with checksums, one a FRAMES_CUT of
 * uncompressed bytes, then the index and the seek table of the zstd seekable format in skippable
 * frames (docs/format.md).  Also SHA-256: of everything written, of each frame, of the contents of
 * files.  The only user of libzstd's compression.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "err.h"
#include "sink.h"

#define FRAMES_CUT (4u << 20) /* bytes */

struct frame_info {
	uint32_t packed, raw;             /* bytes in the file, bytes of tar */
	unsigned char sha256[DIGEST_LEN]; /* of the packed bytes */
};

struct frames;

/*
 * Levels 1..19.  The sink must outlive it; it is called from a thread of ours, one call at a time,
 * until frames_end_data or frames_finish returns.  Caller frees with frames_free.
 */
int frames_new(struct sink *to, int level, struct frames **ret, struct err *e);
/*
 * Before the first write: threads that compress (0: one a core) and bytes of memory (budget.h; 0:
 * the default), which limits the threads as well.  The bytes written do not depend on either.
 * Errors of the threads come back from a later call.
 */
void frames_limit(struct frames *f, unsigned workers, size_t memory);
/* At most so many bytes go in a second; 0: no limit. */
void frames_rate(struct frames *f, uint64_t bytes_per_s);
int frames_write(struct frames *f, const void *data, size_t len, struct err *e);
/*
 * Whose digest is made on the way: between on and off what is written is content of a file.  Of a
 * file with holes, its stretch at..at+len follows.
 */
void frames_content(struct frames *f, bool is_on);
int frames_content_at(struct frames *f, uint64_t at, uint64_t len, struct err *e);
/* The file's end: its digest is in out (DIGEST_LEN bytes) once frames_hashed is up to here. */
int frames_content_end(struct frames *f, unsigned char *out, struct err *e);
/* Bytes of the tar up to which digests are known. */
uint64_t frames_hashed(const struct frames *f);
/* A good place to cut: ends the frame when it is at least FRAMES_CUT long (member boundaries). */
int frames_boundary(struct frames *f, struct err *e);
/* Ends the last frame of the tar and waits until all are written; after that frames_info knows them
 * all. */
int frames_end_data(struct frames *f, struct err *e);
/* The i-th frame of the tar, NULL behind the last. */
const struct frame_info *frames_info(const struct frames *f, size_t i);
/* Keeps one part of the index, compressed, for frames_finish. */
int frames_add_index(struct frames *f, const void *part, size_t len, struct err *e);
/* Ends the last frame, writes the index and the seek table. */
int frames_finish(struct frames *f, struct err *e);
/* Ends the threads, whatever is left to do: no digest will be written any more. */
void frames_stop(struct frames *f);
uint64_t frames_bytes_in(const struct frames *f);
uint64_t frames_bytes_out(const struct frames *f);
/* Hex SHA-256 of all bytes written, valid after frames_finish. */
void frames_sha256(const struct frames *f, char out[65]);
/* The same of the skippable frames that hold the index; "" if there are none. */
void frames_index_sha256(const struct frames *f, char out[65]);
void frames_free(struct frames *f);
