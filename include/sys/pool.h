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
#include "ledger.h"

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
/* What a thin-pool's table says: "META DATA BLOCK_SECTORS LOW_WATER ...". */
bool pool_parse_table(
	const char *name, const struct dmdev_info *i, const char *params, struct pool *ret);
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
/* Detaches the entry's loop device if it is over that file and will not go with its last user. */
int pool_loop_release(const struct ledger_entry *x, struct err *e);
/* Takes an assembled pool down (its loop devices go by themselves); leaves it to a running engine.
 */
int pool_close(struct pool *p, struct err *e);
/*
 * Refuses (ERR_POOL) unless rw, no needs_check and as much is free as p->limits want.  The kernel's
 * metadata watermark is no limit: on a small device it is a quarter of it.
 */
int pool_guard(const struct pool *p, struct err *e);
/*
 * What is known of a snapshot before it is made (pool_mark_before) and after (pool_mark_after),
 * from the committed metadata.  Kind ERR_POOL; of the latter -ENODATA if the id is in none.
 */
int pool_mark_before(const struct pool *p, struct thin_mark *ret, struct err *e);
int pool_mark_after(const struct pool *p, uint32_t id, struct thin_mark *mark, struct err *e);
/* Is the thin device of this id the marked one?  Without a mark every one is. */
enum pool_match { POOL_SAME, POOL_OTHER, POOL_ABSENT };
int pool_match(const struct pool *p, uint32_t id, const struct thin_mark *mark,
	enum pool_match *ret, struct err *e);
/* The active pool that holds the marked device (is_whole), under whatever name; -ENOENT: none. */
int pool_find_marked(uint32_t id, const struct thin_mark *mark, struct pool *ret, struct err *e);
/* The active pool of this name; -ENOENT if it is none or not active. */
int pool_named(const char *name, struct pool *ret, struct err *e);
/* Names of active devices of a thin id; at most max; returns the count or a negative errno. */
int pool_find_thin(
	const struct pool *p, uint32_t id, char names[][DM_NAME_MAX], int max, struct err *e);
/* Mapped bytes of an active thin device. */
int pool_thin_mapped(const char *name, uint64_t *ret_bytes, struct err *e);
/* 1 if the id exists, 0 if it is free: loads a table and drops it, never active.  Needs the lock.
 */
int pool_has_id(const struct pool *p, uint32_t id, struct err *e);
/* Removes what pool_has_id of this process, or of one that died, left behind. */
int pool_drop_probes(struct err *e);
