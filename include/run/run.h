/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The straight path: lock -> recover leftovers -> select -> for each container snapshot, mount,
 * archive, seal, teardown -> report.  Functions return exit codes and log what went wrong.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cfg.h"
#include "container.h"
#include "err.h"

struct run_options {
	const struct cfg *cfg;
	char **jobs; /* names; none: all */
	size_t job_count;
	bool dry_run, json;
	bool resume; /* of run_recover: at once and only what is quick */
	bool usage;  /* of run_ps: also how much is shared */
};

/* Of the commands that read archives. */
struct read_options {
	const struct cfg *cfg; /* NULL: no name needs it */
	char **args;           /* behind the command */
	size_t arg_count;
	const char *to;   /* folder to restore to; or */
	const char *into; /* container, by name or id, to restore into */
	bool json, deep, no_devices;
	bool keep_snapshot; /* with into: also after success */
};

/* Of export; texts as given on the command line, NULL if they were not. */
struct export_options {
	const struct cfg *cfg;            /* with container */
	const char *container;            /* name or id; else thin_id, metadata and data */
	const char *thin_id, *size;       /* decimal; size in bytes */
	const char *metadata, *data, *to; /* files; to must not exist */
	bool json;
};

struct mount_options {
	const struct cfg *cfg;
	const char *container, *dir; /* name or id; an existing folder with nothing mounted on it */
	bool read_write, json;
};

struct rollback_options {
	const struct cfg *cfg;
	const char *container; /* name or id */
	bool drop, json;
};

/* Of salvage; texts as given on the command line, NULL if they were not. */
struct salvage_options {
	const char *root, *store;    /* folder of an engine's state; its type, NULL: found */
	const char *metadata, *data; /* both or none: of the pool */
	const char *to;
	char **names; /* patterns as in the configuration's "containers"; none: all */
	size_t name_count;
	char **excluded;
	size_t excluded_count;
	bool dry_run, json;
};

int run_batch(const struct run_options *o);
/*
 * Undoes what interrupted runs left behind; 21 if something remains.  With resume: whatever a live
 * run is in the middle of is its own (0); suspended origins come first; what lies in an inactive
 * pool can wait (0).
 */
int run_recover(const struct run_options *o);
/*
 * Lists all containers of all stores; with usage, for which each pool's whole metadata is read: 3
 * if that of a pool cannot be.
 */
int run_ps(const struct run_options *o);
int run_archives(const struct run_options *o);
/* Whether arg is the path of a file, not a name that the configuration knows. */
bool run_is_path(const char *arg);
/* Lists entries: ARCHIVE [PATH...]. */
int run_ls(const struct read_options *o);
/* Writes one file to standard output: ARCHIVE PATH. */
int run_cat(const struct read_options *o);
/*
 * Restores into o->to, which is new or empty: ARCHIVE [PATH...]; or over what is in the own device
 * of the container o->into, which nothing has active.  A safety snapshot of that device is taken
 * before and dropped after success; else it stays until run_rollback.
 */
int run_restore(const struct read_options *o);
/*
 * Makes a container's device what it was in its safety snapshot, which is gone then; or (drop) only
 * drops it.  10 if there is none.
 */
int run_rollback(const struct rollback_options *x);
/* Reads archives back: ARCHIVE...; 22 if one is damaged. */
int run_verify(const struct read_options *o);
/* Writes a thin device of a pool that is not active as a sparse image; 3 if some of it is lost. */
int run_export(const struct export_options *x);
/*
 * Mounts a snapshot of a container on a folder of the host, read-only; or read_write: its own
 * device, if nothing has that active.  It stays until run_umount or the next boot; recover and runs
 * leave it alone while it is mounted.
 */
int run_mount(const struct mount_options *x);
/* Ends what run_mount began on dir; 11 while a process is in it, 10 if there is no such mount. */
int run_umount(const struct run_options *o, const char *dir);
/*
 * Archives what can be read of a failed host's state folder, without device mapper and without
 * writing to it; 3 if something is damaged or lost.
 */
int run_salvage(const struct salvage_options *x);
/* Says of each store, pool and destination whether it is usable; changes nothing. */
int run_check(const struct run_options *o);
