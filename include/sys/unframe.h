/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compressed stream read back: any place of the tar through the seek table, or through a table
 * rebuilt from the frames when that is damaged; other tools' zstd files in order only.  Frames are
 * checked (XXH64, and SHA-256 where the index is known), and decoded ahead by threads while they
 * are asked for in order.  The only user of libzstd's decompression.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "index.h"

enum unframe_table {
	UNFRAME_TABLE,   /* the file's own seek table */
	UNFRAME_REBUILT, /* from the frames themselves; the file's is missing or damaged */
	UNFRAME_NONE     /* frames of unknown or too large size: a stream */
};

struct unframe_frame {
	uint64_t at, tar_at;  /* in the file, in the tar */
	uint32_t packed, raw; /* bytes */
};

struct unframe;

/* fd: the regular file, borrowed.  threads: decoders ahead of the reader, 0 to 16. */
int unframe_open(int fd, unsigned threads, struct unframe **ret, struct err *e);
enum unframe_table unframe_table(const struct unframe *u);
/* Frames of the tar; 0 when there is no table. */
size_t unframe_count(const struct unframe *u);
const struct unframe_frame *unframe_frame(const struct unframe *u, size_t i);
/* Length of the tar as the table has it; UINT64_MAX: not known. */
uint64_t unframe_tar_bytes(const struct unframe *u);
/*
 * Reads the parts of the index.  -ENOENT: there are none.  When some are damaged (ERR_DAMAGED), ret
 * holds the rest.  Later reads check frames against ret, which must outlive u, if it fits.
 */
int unframe_index(struct unframe *u, struct index *ret, struct err *e);
/* Hex SHA-256 of the index's frames as they lie in the file; "" if there are none. */
int unframe_index_sha256(const struct unframe *u, char out[DIGEST_HEX], struct err *e);
/*
 * Bytes of the tar from at on: *ret points to them until the next call.  Returns how many (at
 * least 1), 0 at the end.  Errors: ERR_DAMAGED names the frame; frames behind it can still be read
 * if there is a table.
 */
ssize_t unframe_map(struct unframe *u, uint64_t at, const unsigned char **ret, struct err *e);
/* Copies len bytes from at on; fewer at the end of the tar only. */
ssize_t unframe_read(struct unframe *u, uint64_t at, void *to, size_t len, struct err *e);
/* Checks the SHA-256 of frame i without decoding it. 1: good; 0: no digest is known. */
int unframe_check(struct unframe *u, size_t i, struct err *e);
void unframe_close(struct unframe *u);
