/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thin snapshots by pool messages: take, activate, drop.  The ids go from 0xFFFFFF downwards, so
 * that no engine's allocator meets them; the pool's transaction id is never set.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "container.h"
#include "err.h"
#include "ledger.h"
#include "pool.h"
#include "undo.h"

#define SNAP_ID_TOP 0xFFFFFFu
#define SNAP_ID_BAND 0x1000u /* ids of the band; never one outside it is deleted */
#define SNAP_DEADLINE_MS 10000u
/*
 * The guard ends a pause after this, whatever happens: the window's deadline, as much for the
 * engine's answer, and as much for the others of a group.
 */
#define SNAP_PAUSE_MS 30000u

struct snap {
	const struct pool *pool; /* borrowed */
	struct ledger_entry entry;
	uint64_t size_bytes;
	char node[64];           /* "/dev/dm-7" while active */
	bool was_active;         /* the origin was */
	bool is_used, is_guests; /* it is open; but its file system is not this host's */
	struct undo *undo;       /* borrowed: where the id's deletion is armed */
	uint64_t window_ns; /* of the whole window, also for one of a group; by LVM: all of its work
			     */
	int lock;           /* by LVM: of the pool */
	const char *freeze; /* as in the manifest */
	struct engine_guard *guard;         /* of the pause; NULL: none */
	uint64_t pause_start_ns, paused_ns; /* from before the pause to after its end; 0: none */
	bool was_paused;                    /* during the snapshot, by us or by somebody else */
	struct pool_status status;          /* of the pool, after the snapshot */
};

/*
 * Everything before the window.  pause_socket: where the engine is asked to pause the container for
 * the window, NULL: not at all.  Finds the active devices of c's thin device, picks an id below
 * *next_id (which moves on, for the next one of a group), writes the ledger, flushes dirty data and
 * guards the pool.  Every step is armed on u before it is done; s must live until u is unwound.
 */
int snap_prepare(const struct pool *pool, const struct container *c, const char *pause_socket,
	uint32_t *next_id, struct undo *u, struct snap *s, struct err *e);
/*
 * Takes all prepared snapshots in one window, all or none; their containers are paused before it
 * and go on right after it.  After an error each must be unwound; *ret_failed is the one that it
 * came from.
 */
int snap_shoot(struct snap *const *snaps, size_t count, size_t *ret_failed, struct err *e);
/* Checks that the pool is well and that nobody wrote to its origin meanwhile. */
int snap_confirm(struct snap *s, struct err *e);
/* Activates under our own name (again, if it is active in the other mode). */
int snap_activate(struct snap *s, bool read_only, struct err *e);
/*
 * Activates and mounts read-only on target; *ret_type and *ret_mode (for the manifest) are static
 * texts.  The caller arms the unmount before and finds the device's name in s->entry.
 */
int snap_mount(struct snap *s, const char *target, const char **ret_type, const char **ret_mode,
	struct err *e);
/*
 * Takes the snapshot of c, which has an lv, by LVM: instead of snap_prepare and snap_shoot, and
 * otherwise as these.  lock: the pool's, held until LVM is done.
 */
int snap_lvm_take(const struct pool *pool, const struct container *c, int lock, struct undo *u,
	struct snap *s, struct err *e);
/* Undoes what an entry of kind LEDGER_LVM names, as snap_drop_entry; lock as above. */
int snap_lvm_drop_entry(const struct ledger_entry *entry, int lock, struct err *e);
/*
 * Undoes what a ledger entry names on an active pool: resumes its origins and unpauses its
 * container (if that was in this boot), removes the device, deletes the id if the metadata says
 * that it is the entry's.  Idempotent.
 */
int snap_drop_entry(const struct pool *pool, const struct ledger_entry *entry, struct err *e);
/*
 * Makes the origin of a snapshot that a ledger entry names what that is: its id is deleted and made
 * anew.  Nothing may have either active.  Before, the entry says so in the ledger (is_rollback);
 * interrupted, the origin's id may be missing, which snap_end_rollback makes good.
 */
int snap_roll_back(const struct pool *pool, const struct ledger_entry *x, struct err *e);
/* Makes the origin's id from the snapshot if it is missing: 1; 0: it was there. */
int snap_end_rollback(const struct pool *pool, const struct ledger_entry *x, struct err *e);
