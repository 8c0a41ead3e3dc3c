/* SPDX-License-Identifier: Apache-2.0 */
/* Private to run: one container on its way, and the parts of a batch. */
#pragma once

#include <time.h>

#include "dest.h"
#include "frames.h"
#include "manifest.h"
#include "pack.h"
#include "run.h"
#include "snap.h"
#include "trouble.h"
#include "undo.h"

/* Fills from left to right: each stage reads what earlier ones wrote. */
struct job {
	/* select */
	const struct run_options *options;
	const struct cfg_job *cfg;
	const struct cfg_dest *dest;
	const struct dest_ops *dest_ops;
	const struct container *container;
	const struct pool *pool;
	char *name; /* of the archive */
	const char *hostname;
	size_t number, total;
	/* snapshot */
	time_t time;
	struct snap snap;
	uint64_t mapped_bytes;
	/* mount */
	const char *fs_type, *mount_mode;
	/* archive */
	struct dest_writer *writer;
	struct trouble trouble;
	struct pack_counts counts;
	uint64_t tar_bytes, file_bytes, started_ns, progress_ns;
	char sha256[65];
	bool is_sealed, is_skipped;
	struct undo undo;
};

/* Runs all stages and always the teardown. */
int job_run(struct job *j, struct err *e);

/* The containers of all stores; problems of a store are logged; returns the worst exit code. */
int list_stores(const struct cfg *cfg, struct container_list *list);

/* Recovers entries of one pool (NULL: all); *ret_left counts what remains.  Needs the lock. */
int recover_entries(const char *pool, size_t *ret_left, struct err *e);

/* "good", "incomplete", "failed" or "skipped". */
const char *job_result(const struct job *j);
/* Reports: text or JSON lines on stdout. */
void report_item(const struct job *j, const struct err *failure);
void report_plan(const struct job *j);
void report_progress(void *job, uint64_t content_bytes);
void report_error(const struct run_options *o, const char *what, const struct err *e);
void report_line(const struct strbuf *b);
