/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: one fsynced file for each thing that outlives a process, written before it exists and
 * removed when it is gone.  Below /var/lib/thinark/ledger, or $THINARK_STATE_DIR/ledger:
 *   POOL_ID.json         a snapshot: its pool, ids, device, origins that may be suspended, the
 *                        container that is paused or about to be, what tells it from others; of a
 *                        safety snapshot also whose it is: it is kept until its user decides
 *   POOL_ID.mount.json   a container's own device, activated and mounted to be repaired
 *   NAME.lvm.json        a snapshot that LVM takes, by the name it has there
 *   POOL.metadata.json   a metadata snapshot, and the state of the pool that it is of
 *   POOL.pool.json       a pool assembled by us
 *   TAG.archive.json     an unfinished archive: its destination, name and temporary files
 *   loopN.loop.json      a loop device that is not yet set to vanish with its last user
 * Every entry tells version, kind, boot_id, pid and time, and what its kind needs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dm.h"
#include "engine.h"
#include "err.h"
#include "snapper.h"

#define LEDGER_STATE_DIR "/var/lib/thinark"
#define LEDGER_KEEPS_CAP 512

/* In the order in which they are undone. */
enum ledger_kind {
	LEDGER_SNAPSHOT,
	LEDGER_LVM,
	LEDGER_MOUNT,
	LEDGER_METADATA,
	LEDGER_POOL,
	LEDGER_LOOP,
	LEDGER_ARCHIVE,
	LEDGER_KINDS
};

/*
 * What tells our snapshot from another thin device of its id, and its pool from others when it
 * comes back under another name.  Times are the pool's counter.
 */
struct thin_mark {
	bool has_before, is_whole; /* which of the following are known */
	uint32_t before;           /* has_before: the pool's time: the snapshot is younger */
	uint32_t block_sectors;    /* has_before: of the pool */
	uint32_t created;          /* is_whole: its creation time */
	/* is_whole: the pool's transaction when it was made, and the blocks that it mapped then,
	 * which never become fewer: a new thin device of the same time has none.  Below 2^63. */
	uint64_t transaction, mapped;
};

struct ledger_entry {
	enum ledger_kind kind;
	char file[320];         /* name in the ledger folder; set by ledger_write and ledger_each */
	char pool[DM_NAME_MAX]; /* all but archive */
	/* snapshot, lvm; mount: of these device and thin_id */
	char device[DM_NAME_MAX];
	uint32_t thin_id, origin_id;
	char origins[SNAPPER_ORIGINS][DM_NAME_MAX];
	int origin_count;
	bool is_window_over; /* nothing of ours can be suspended: written without origins */
	/* metadata: has_before is always set, with transaction; is_whole never */
	struct thin_mark mark;
	/* metadata: its block and the checksum in it; 0 and 0 until it is known to exist */
	uint64_t held_root;
	uint32_t held_checksum;
	char pause_socket[ENGINE_SOCKET_CAP], pause_id[ENGINE_ID_CAP]; /* empty: not paused */
	/* snapshot: the container's id or, where it has none, its name; empty: no safety snapshot
	 */
	char keeps[LEDGER_KEEPS_CAP];
	char keeps_name[LEDGER_KEEPS_CAP]; /* for people */
	/* of such: the origin's id is deleted and made anew from the snapshot */
	bool is_rollback;
	/* loop: its number, and device and inode of its backing file (its path changes with mounts)
	 */
	uint32_t loop;
	uint64_t backing_dev, backing_ino;
	/* loop: the backing file, for people; archive: folder of the destination; snapshot, mount:
	 * where it is mounted for whoever asked for it, or empty */
	char path[4096];
	/* archive */
	char type[32];     /* of the destination */
	char name[1024];   /* of the archive, below path; lvm: "VG/LV" of the snapshot */
	char tag[17];      /* of its temporary files, 16 hexadecimal digits */
	uint32_t kept;     /* length of the part of name's folder that was there before */
	bool is_this_boot; /* read only */
	char time[24];     /* RFC 3339: when it came into being; empty: now */
};

/*
 * Users who are not root have none: they archive folders, and what they leave is unfinished files,
 * which the next run to the same destination removes.
 */
bool ledger_is_kept(void);
/* 1 if there is an entry for this pool and id, which still names something; sets file. */
int ledger_has(struct ledger_entry *entry, struct err *e);
/* Written, fsynced, folder fsynced before it returns. */
int ledger_write(struct ledger_entry *entry, struct err *e);
/* Missing is success. */
int ledger_remove(const struct ledger_entry *entry, struct err *e);
/* One entry as text; name is the file's.  Kind ERR_LEFTOVER or ERR_STORE. */
int ledger_parse(
	const char *text, size_t len, const char *name, struct ledger_entry *ret, struct err *e);
/*
 * All entries, by kind; removes what a killed ledger_write left.  An unreadable entry fails with
 * kind ERR_LEFTOVER and names the file, after all others were visited; so does a failing fn.
 */
typedef int ledger_fn(void *arg, struct ledger_entry *entry, struct err *e);
int ledger_each(ledger_fn *fn, void *arg, struct err *e);
