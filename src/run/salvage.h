/* SPDX-License-Identifier: Apache-2.0 */
/* Private to run: what salvage finds in a state folder, and what became of it. */
#pragma once

#include "job.h"
#include "store.h"

enum salvage_kind {
	SALVAGE_CONTAINER, /* the engine knows it */
	SALVAGE_ORPHAN,    /* a thin device that no record names */
	SALVAGE_RECORD,    /* a record, of no container, whose thin device is not there */
};

enum salvage_status {
	SALVAGE_PLANNED,
	SALVAGE_ARCHIVED,
	SALVAGE_DAMAGED, /* archived, with something missing */
	SALVAGE_LOST,    /* the evidence does not give it */
	SALVAGE_FAILED,  /* it may be there: the destination, or this host, was in the way */
	SALVAGE_STATUSES,
};

struct salvage_item {
	enum salvage_kind kind;
	enum salvage_status status;
	struct container container; /* owned; of an orphan or a record only its name is known */
	size_t pool;                /* in salvage.pools */
	char *archive;              /* below --to */
	char *reason;               /* why lost or failed, or what is missing; NULL: nothing */
	uint64_t mapped_bytes, lost_bytes, unreadable, entries, content_bytes, file_bytes;
	bool is_known;  /* mapped_bytes is */
	bool is_before; /* an earlier salvage archived it */
};

struct salvage_pool {
	char *name;                      /* of its dm device; NULL: given by hand */
	char *metadata_path, *data_path; /* NULL: not known */
	struct evidence evidence;        /* meta NULL: it cannot be read */
	char *problem;                   /* of one that cannot be read */
	char *doubt;                     /* of one whose superblock is damaged */
};

struct salvage {
	const struct salvage_options *options;
	struct cfg_store store; /* borrowed texts but root; root NULL: only a pool is given */
	char *root, *to;        /* absolute; without root NULL */
	int to_fd;
	struct salvage_pool *pools;
	size_t pool_count;
	struct salvage_item *items;
	size_t count, cap;
	uint64_t problems; /* of the evidence as a whole, each reported when it was found */
};

/* Where the state is and of which engine, by --root and --store.  Kind ERR_NOTHING: nothing there.
 */
int salvage_find_store(struct salvage *s, struct err *e);
/* Lists everything; what the evidence does not give is an item, not an error. */
int salvage_list(struct salvage *s, struct err *e);
/* Leaves the selected items, by the names and --exclude. */
void salvage_select(struct salvage *s);
void salvage_item_done(struct salvage_item *i);
void salvage_done(struct salvage *s);

/* Text is copied; out of memory loses it. */
void salvage_set(struct salvage_item *i, enum salvage_status status, const char *reason);
/* Something about the evidence as a whole. */
void salvage_problem(struct salvage *s, const char *what, const char *text);
/* Something odd about the engine's state, which may be harmless. */
void salvage_note(const struct salvage *s, const char *text);
/* One item that is finished (or planned): a line of JSON, or of the log. */
void salvage_report_item(const struct salvage *s, const struct salvage_item *i);
/* The table of all items, and the sums. */
void salvage_report_end(const struct salvage *s, double seconds, int code);
