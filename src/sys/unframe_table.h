/* SPDX-License-Identifier: Apache-2.0 */
/* Private to unframe: where the frames of a file lie. */
#pragma once

#include "unframe.h"

#define FRAME_RAW_MAX (64u << 20) /* bytes; what has larger frames is read as a stream */

struct frame_table {
	enum unframe_table kind;
	struct unframe_frame *frames; /* of the tar */
	size_t count, cap;
	struct unframe_frame *parts; /* of the index, without their skippable headers */
	size_t part_count, part_cap;
	uint64_t tar_bytes;
	bool is_cut; /* what is behind the last frame could not be understood */
};

/* Reads exactly len bytes at at, or fails with ERR_DAMAGED or ERR_SOURCE. */
int frame_pread(int fd, void *to, size_t len, uint64_t at, struct err *e);
int frame_table_add(struct frame_table *t, bool is_part, struct unframe_frame frame);
/* The seek table at the end of the file.  -EBADMSG: none that makes sense. */
int frame_table_load(int fd, uint64_t size, struct frame_table *t, struct err *e);
void frame_table_done(struct frame_table *t);
