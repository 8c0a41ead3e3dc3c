/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thin pools: finding the active one, reading its status, assembling one whose engine is
 * stopped, and the guard that refuses work on a pool in danger.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "container.h"
#include "dm.h"
#include "err.h"

enum pool_mode { POOL_RW, POOL_RO, POOL_OUT_OF_DATA, POOL_FAIL };

/* The kernel's status line; blocks of data are the pool's, of metadata 4096 bytes. */
struct pool_status {
	uint64_t transaction, meta_used, meta_total, data_used, data_total;
	uint64_t meta_low_water; /* 0 when the kernel does not tell */
	enum pool_mode mode;
	bool needs_check, error_if_no_space;
};

/* How much must be free, in percent. */
struct pool_limits {
	unsigned min_free_data, min_free_metadata;
};

struct pool {
	char name[DM_NAME_MAX];
	struct pool_limits limits; /* set by whoever uses it */
	unsigned major, minor;
	unsigned meta_major, meta_minor;
	uint32_t block_sectors;
	uint64_t low_water_blocks;
	bool is_ours; /* assembled by us: pool_close takes it down */
};

/* Parses a status line (Linux Documentation/admin-guide/device-mapper/thin-provisioning.rst);
 * trailing fields may be missing. */
int pool_status_parse(const char *line, struct pool_status *ret, struct err *e);
int pool_status(const struct pool *p, struct pool_status *ret, struct err *e);
/*
 * Finds the active pool: by name, by a thin device of the engine, or by the loop file below it.
 * -ENOENT if none is active.
 */
int pool_find(const struct pool_ref *ref, struct pool *ret, struct err *e);
/*
 * Assembles the pool of a stopped engine from its files or devices, under the engine's own name,
 * so that an engine that starts meanwhile adopts it instead of opening the metadata twice.
 * Refuses damaged metadata, needs_check, short files, and when a process named dockerd runs.
 */
int pool_assemble(const struct pool_ref *ref, struct pool *ret, struct err *e);
/* Takes an assembled pool down (its loop devices go by themselves); leaves it to a running engine.
 */
int pool_close(struct pool *p, struct err *e);
/*
 * Refuses (ERR_POOL) unless rw, no needs_check and as much is free as p->limits want.  The kernel's
 * metadata watermark is no limit: on a small device it is a quarter of it.
 */
int pool_guard(const struct pool *p, struct err *e);
/* The pool's time counter from its metadata device, -1 if it cannot be read. */
int64_t pool_time(const struct pool *p);
/* Names of active devices of a thin id; at most max; returns the count or a negative errno. */
int pool_find_thin(
	const struct pool *p, uint32_t id, char names[][DM_NAME_MAX], int max, struct err *e);
/* Mapped bytes of an active thin device. */
int pool_thin_mapped(const char *name, uint64_t *ret_bytes, struct err *e);
/* 1 if the id exists, 0 if it is free: loads a table and drops it, never active. */
int pool_has_id(const struct pool *p, uint32_t id, struct err *e);
/* Removes what pool_has_id of this process, or of one that died, left behind. */
int pool_drop_probes(struct err *e);
