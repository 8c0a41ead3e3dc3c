/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to sys: buffers for small files, a buddy allocator on one region.  They are taken by some
 * threads and given back by another, in any order, by the hundred thousand: the heap would grow
 * one arena a thread and fault its pages in again and again.  The caller locks.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BUFFERS_ORDERS 11 /* 1 KiB .. 1 MiB, powers of two */

struct buffers {
	size_t limit, used; /* bytes */
	char *base;
	uint8_t *state; /* of the block that begins at each KiB */
	struct buffer *free[BUFFERS_ORDERS];
};

/* limit: rounded down to whole MiB, at least one.  -ENOMEM only. */
int buffers_new(struct buffers *b, size_t limit);
/* What a buffer for so many bytes, at most 1 MiB, counts for. */
size_t buffers_size(size_t bytes);
/* From the heap when the region has no room in one piece; NULL without memory. */
void *buffers_take(struct buffers *b, size_t bytes);
/* bytes: as when it was taken. */
void buffers_give(struct buffers *b, void *buffer, size_t bytes);
void buffers_done(struct buffers *b);
