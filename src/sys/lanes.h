/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to sys: pieces of work done by several threads and delivered in the order in which they
 * were handed in, by one thread of its own.  A fixed number of slots and a limit on their bytes
 * hold the caller back.  The first error stops everything.
 */
#pragma once

#include <stddef.h>

#include "err.h"

struct lanes;

struct lanes_ops {
	/* By any of the threads, whose number tells; the slot is the thread's own meanwhile. */
	int (*work)(void *arg, unsigned thread, unsigned slot, struct err *e);
	/* In order, one at a time; the slot is free afterwards. */
	int (*deliver)(void *arg, unsigned slot, struct err *e);
	void *arg;
};

/* Slots are numbered from 0.  Free with lanes_free. */
int lanes_new(const struct lanes_ops *ops, unsigned threads, unsigned slots, size_t limit_bytes,
	struct lanes **ret, struct err *e);
/*
 * The next slot, once it is free and bytes more are within the limit.  Any error of a thread, or a
 * signal, ends the wait.
 */
int lanes_get(struct lanes *l, size_t bytes, unsigned *ret_slot, struct err *e);
/* Hands in the slot of the last lanes_get; it holds so many bytes after all. */
void lanes_put(struct lanes *l, size_t bytes);
/* Waits until everything is delivered. */
int lanes_drain(struct lanes *l, struct err *e);
/* Stops the threads, whatever they have left to do; NULL is fine. */
void lanes_free(struct lanes *l);
