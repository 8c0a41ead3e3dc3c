/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as data.  Loaded by cfg_load (cfg_load.c, the only user of libyaml) from the
 * tables in cfg_keys.c; the same tables print the schema, the sample and the man page.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

struct cfg_strings {
	char **items;
	size_t count;
};

/* One folder that stands for a container. */
struct cfg_tree {
	char *name, *path;
};

/* One thin device named by hand: as it is active, or as an id of a pool. */
struct cfg_volume {
	char *name;
	char *device;    /* path of the active device; NULL: pool and thin_id tell */
	char *pool;      /* dm name or path of the pool; NULL with device */
	int64_t thin_id; /* with pool */
	int64_t size;    /* bytes; 0: that of the active device */
	char *subdir;    /* folder that is the container's '/', relative; empty: all of it */
};

struct cfg_store {
	char *name, *type;
	char *root;             /* NULL for types without one */
	char *config_dir;       /* of type proxmox only: its /etc/pve */
	char *graphroot;        /* of type podman only: the root of containers/storage */
	char *pool;             /* dm name of its pool; empty or NULL: found by itself */
	struct cfg_tree *trees; /* of type tree only */
	size_t tree_count;
	struct cfg_volume *volumes; /* of type manual only */
	size_t volume_count;
	struct cfg_strings logical_volumes; /* of type lvm only: "VG/LV" with globs, or "@TAG" */
	char *socket;                       /* of the engine's API; only to pause containers */
};

struct cfg_dest {
	char *name, *type, *path;
};

struct cfg_job {
	char *name;
	struct cfg_strings stores;             /* names of stores; all exist */
	struct cfg_strings containers;         /* patterns, see plan.h */
	struct cfg_strings exclude_containers; /* patterns */
	char *destination;                     /* name of a destination; exists */
	char *archive_name_format;
	char *compression;                     /* as written: "zstd,3" */
	int zstd_level;                        /* parsed from compression: 1..19 */
	struct cfg_strings exclude_patterns;   /* relative to the container's '/', see walk.h */
	int64_t exclude_caches;                /* 1: leave out folders with a CACHEDIR.TAG */
	struct cfg_strings exclude_if_present; /* names; folders that hold one are left out */
	char *consistency;                     /* "freeze" or "pause" */
	int64_t group;                         /* 1: one instant for all containers of the job */
	int64_t archive_timeout;               /* seconds for one container's archive */
	char *on_pool_limit;                   /* "continue" or "stop" */
};

/* A program run before or after a job or a container. */
struct cfg_command {
	char *before, *after;      /* "job" or "container"; exactly one is set */
	struct cfg_strings jobs;   /* names of jobs; none: all; all exist */
	struct cfg_strings states; /* "finish", "fail"; none: both; only with after */
	struct cfg_strings run;    /* program and arguments; the first is an absolute path */
	int64_t timeout;           /* seconds */
};

struct cfg {
	struct cfg_store *stores;
	size_t store_count;
	struct cfg_dest *dests;
	size_t dest_count;
	struct cfg_job *jobs;
	size_t job_count;
	struct cfg_command *commands;
	size_t command_count;
	int64_t pool_min_free_data, pool_min_free_metadata; /* percent */
	int64_t lock_wait;                                  /* seconds */
	int64_t nice;                                       /* 0..19 */
	char *io_class;                                     /* "best-effort" or "idle" */
	int64_t memory;                                     /* bytes for the archive stage */
	int64_t rate_limit;                                 /* bytes a second; 0: none */
};

#define CFG_FILE_MAX (1u << 20) /* bytes; libyaml is quadratic in depth */
#define CFG_DEPTH_MAX 32

/*
 * Loads text[len].  All mistakes are appended to *mistakes, one a line, as
 * "file:line:column: key: reason"; any mistake makes the call fail with kind ERR_CONFIG.  On
 * success *ret is filled and owned by the caller (cfg_done).
 */
int cfg_load(const char *text, size_t len, const char *file, struct cfg *ret,
	struct strbuf *mistakes, struct err *e);
void cfg_done(struct cfg *c);
const struct cfg_store *cfg_find_store(const struct cfg *c, const char *name);
const struct cfg_dest *cfg_find_dest(const struct cfg *c, const char *name);
const struct cfg_job *cfg_find_job(const struct cfg *c, const char *name);

/* Printed from the same tables. */
void cfg_doc_schema(struct strbuf *out); /* JSON Schema 2020-12 */
void cfg_doc_sample(struct strbuf *out); /* commented YAML that cfg_load accepts as it is */
void cfg_doc_man(struct strbuf *out);    /* thinark.yaml.5, man(7) macros */
