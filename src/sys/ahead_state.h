/* SPDX-License-Identifier: Apache-2.0 */
/* Private to ahead.c, order.c, window.c and load.c: what the threads share. */
#pragma once

#include "ahead.h"
#include "extents.h"

struct seen {
	uint64_t ino, seq; /* ino 0: free */
};

struct ahead {
	struct tree tree;
	pthread_mutex_t lock;
	/* For readers; for the packer; for the walker: room in the ring, a folder; for memory. */
	pthread_cond_t work, ready, room, listed, memory;
	struct entry *ring;
	size_t cap;
	/* Numbers of entries; n is at ring[n % cap]. */
	uint64_t packed, emitted, offered;
	bool is_out, is_walked; /* the packer holds entry packed; nothing more will come */
	uint64_t *queue;        /* offered entries in the order of reading */
	uint64_t queue_head, queue_tail;
	struct folder *folders; /* not entered yet, in the order of the walk */
	uint64_t folder_ids;
	unsigned listed_ahead;
	struct window *windows, *free_windows, *queue_first, *queue_last;
	unsigned window_count, free_count;
	size_t whole_limit, whole_used;
	unsigned memory_waiters, idle;
	bool walker_waits, packer_waits, is_stopped;
	struct seen *seen; /* inodes with several names: which one brings the content */
	size_t seen_count, seen_cap;
	int rc; /* -ENOMEM of a thread */
	uint64_t excluded;
	struct digest *digest; /* the packer's */
	char *buf;             /* the packer's, for want of a window */
	struct folder *root;
	pthread_t *threads, walker;
	unsigned thread_count;
	bool has_walker;
};

/* All called with the lock held, except where it says otherwise. */

void ahead_stop(struct ahead *a, int rc);
void ahead_wake(struct ahead *a, size_t tasks);
/* Hands what was emitted to the readers. */
void ahead_offer(struct ahead *a);
/* Drops references; the last frees or closes. */
void ahead_drop_folder(struct folder *f);
void ahead_drop_user(struct folder *f);

/* order.c: the walker's thread, and a folder that a reader has listed. */
void *order_run(void *a);
/* A folder to list next, made busy; NULL: none. */
struct folder *order_pick(struct ahead *a);
/* Lists it; called without the lock. */
void order_list(struct ahead *a, struct folder *f);

/* load.c: looks at a name and reads it as far as it is not large; without the lock. */
void load_entry(struct ahead *a, struct entry *e, struct digest *d);
/* Takes size bytes for e; waits, unless the packer waits for e.  Without the lock. */
void ahead_charge(struct ahead *a, struct entry *e, size_t size);
/* Is another name of the same inode expected to bring the content? Without the lock. */
bool ahead_is_seen(struct ahead *a, const struct entry *e);

/* window.c */
int window_new(struct ahead *a, size_t bytes);
/* Hands windows of e to the readers; all that are free if it is the packer's, else some. */
void window_plan(struct ahead *a, struct entry *e, bool is_packed);
struct window *window_pick(struct ahead *a);
/* Reads it; without the lock. */
void window_fill(struct window *w);
/* Gives all windows of e back. */
void window_drop(struct ahead *a, struct entry *e);
/* The packer's pack_data.read; arg: the entry.  Without the lock. */
int window_read(void *arg, off_t at, size_t want, const void **ret, struct err *err);
