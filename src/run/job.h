/* SPDX-License-Identifier: Apache-2.0 */
/* Private to run: one container on its way, and the parts of a batch. */
#pragma once

#include <time.h>

#include "dest.h"
#include "frames.h"
#include "fscheck.h"
#include "fsinfo.h"
#include "loop.h"
#include "lostfiles.h"
#include "manifest.h"
#include "pack.h"
#include "run.h"
#include "snap.h"
#include "thinview.h"
#include "trouble.h"
#include "undo.h"
#include "watch.h"

/* A pool that is not active, opened to be read by ourselves. */
struct evidence {
	struct thinmeta *meta;
	const char *metadata_path, *data_path;
	const char *doubt; /* why it may not be its last state, for every archive; NULL: it is */
	int scratch;       /* folder for the copies, which have no names */
};

/* Of all jobs together, in mapped bytes, each copied and archived: for the time that is left. */
struct pace {
	uint64_t started_ns, done, total;
};

/* A thin device of it, copied: what a mount replays goes into the copy. */
struct offline {
	int image, loop; /* -1: not yet, or closed */
	char node[LOOP_NODE_CAP];
	struct fsinfo fs;
	struct thinview_copied copied;
	struct lost_range *lost; /* of the device, the first of them */
	size_t lost_count;
	struct fscheck check;
};

/* Fills from left to right: each stage reads what earlier ones wrote. */
struct job {
	/* select */
	const struct run_options *options;
	const struct cfg_job *cfg;
	const struct cfg_dest *dest;
	const struct dest_ops *dest_ops;
	const struct container *container;
	const struct pool *pool;
	int pool_lock;
	char *name; /* of the archive */
	const char *hostname;
	size_t number, total;
	/* copy */
	const struct evidence *evidence;
	struct offline offline;
	const struct pace *pace; /* NULL: this job's own */
	/* snapshot */
	uint32_t *next_id; /* of the pool, shared by a group */
	bool is_shot;      /* together with its group, before the stages run */
	time_t time;
	struct snap snap;
	uint64_t mapped_bytes;
	/* mount */
	const char *fs_type, *mount_mode;
	int root; /* the container's '/', open for reading; -1: not yet, or closed */
	/* archive */
	struct dest_writer *writer;
	struct trouble trouble;
	struct pack_counts counts;
	uint64_t tar_bytes, file_bytes, started_ns, progress_ns;
	char sha256[65], index_sha256[65];
	bool is_due; /* the programs before it have begun, so those after it follow */
	bool is_sealed, is_skipped, is_pool_limit;
	struct watch *watch;
	struct undo undo;
};

/* Runs all stages and always the teardown. */
int job_run(struct job *j, struct err *e);
/* The stages of VOLUME_OFFLINE. */
int offline_copy(struct job *j, struct err *e);
int offline_mount(struct job *j, struct err *e);
int offline_check(struct job *j, struct err *e);
/* What the manifest tells of it. */
void offline_describe(const struct job *j, struct manifest *m, struct manifest_salvage *s);
/* Gives a member of a group up. */
int job_drop(struct job *j, const char *why, struct err *e);
/*
 * The snapshots of a group in one instant, of those whose ret is 0; each is then run.  Those that
 * fail are unwound, with their ret and error set.
 */
void job_shoot_group(struct job *jobs, size_t count, int *rets, struct err *errors);

/* The pools that one job of the configuration uses: found or assembled, locked, recovered. */
struct pools {
	const struct run_options *options;
	const char *what; /* for those who wait for the lock */
	struct pool_use {
		const struct pool_ref *ref; /* borrowed */
		struct pool pool;
		struct ledger_entry entry; /* of one that we assembled */
		uint32_t next_id;
		int lock;
		struct undo undo;
	} * *items; /* they do not move */
	size_t count;
};

int pools_enter(struct pools *p, const struct pool_ref *ref, struct pool_use **ret, struct err *e);
/* One that was assembled stays, with its entry, until recover finds that nothing uses it. */
void pools_keep(struct pool_use *u);
/* Takes assembled pools down and frees; an exit code. */
int pools_leave(struct pools *p);
/* Whether both tell the same of their pool; the same pool may be told of in two ways. */
bool pools_same(const struct pool_ref *a, const struct pool_ref *b);
struct pool_limits pools_limits(const struct cfg *cfg);
/* lock_take with the waiting that the configuration wants, and a word about it. */
int pools_lock(const struct run_options *o, const char *kind, const char *name, const char *what,
	int *ret_fd, struct err *e);

/* The containers of all stores; problems of a store are logged; returns the worst exit code. */
int list_stores(const struct cfg *cfg, struct container_list *list);
/* By name or id; NULL with -ENOENT, or -ENOTUNIQ if several have the name. */
const struct container *list_find(
	const struct container_list *list, const char *name, struct err *e);

/*
 * Recovers the entries of one pool, whose lock the caller holds, or (NULL) of all pools that no run
 * uses; *ret_left counts what remains.
 */
int recover_entries(const char *pool, size_t *ret_left, struct err *e);
/* Undoes one entry, under the lock of its pool, and removes it. */
int recover_mounted(const struct ledger_entry *x, int lock, struct err *e);
/* The same for unfinished archives, which need no device mapper; what is out of reach waits. */
int recover_archives(struct err *e);

/* "good", "incomplete", "failed" or "skipped". */
const char *job_result(const struct job *j);
/* Reports: text or JSON lines on stdout. */
void report_item(const struct job *j, const struct err *failure);
void report_plan(const struct job *j);
void report_progress(void *job, uint64_t content_bytes);
void report_copy(void *job, uint64_t copied_bytes);
void report_error(const struct run_options *o, const char *what, const struct err *e);
void report_line(const struct strbuf *b);
