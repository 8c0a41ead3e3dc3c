/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LVM through its own programs: what it has, and snapshots of thin volumes, which on its pools it
 * has to take itself (a thin id that it does not know would become the next volume it makes).  No
 * shell; names are checked before they become arguments.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define LVM_NAME_MAX 128      /* of a group or a volume, with NUL: NAME_LEN of LVM */
#define LVM_PREFIX "thinark_" /* of the snapshots that we have made; */
#define LVM_TAG "thinark"     /* they have this tag as well */
#define LVM_REPORT_MAX (64u << 20)

struct lvm_lv {
	char vg[LVM_NAME_MAX], name[LVM_NAME_MAX];
	char pool[LVM_NAME_MAX];   /* of a thin volume */
	char origin[LVM_NAME_MAX]; /* volume that it was made from; empty: none is left */
	char uuid[40];
	char *tags; /* separated by commas; owned by the list */
	uint32_t thin_id;
	uint64_t size_bytes;
	bool is_thin, is_open;
	const char *problem; /* of its record; NULL: sound */
};

struct lvm_list {
	struct lvm_lv *items;
	size_t count;
};

/* What "lvs --reportformat json" prints; kind ERR_STORE. */
int lvm_parse(const char *text, size_t len, const char *name, struct lvm_list *ret, struct err *e);
void lvm_list_done(struct lvm_list *l);
/* All volumes that are not hidden; kind ERR_STORE. */
int lvm_list(struct lvm_list *ret, struct err *e);
/* One of the list, or NULL; borrowed. */
const struct lvm_lv *lvm_in_list(const struct lvm_list *l, const char *vg, const char *name);
bool lvm_has_tag(const struct lvm_lv *v, const char *tag);
/* Has it our prefix and our tag? */
bool lvm_is_ours(const struct lvm_lv *v);

/* Is it the device of a pool in which LVM has thin volumes of its own? */
bool lvm_owns(unsigned major, unsigned minor);
/* A name as LVM allows it: letters, digits and "+_.-", no hyphen first. */
bool lvm_is_name(const char *s);
/* "VG/LV" of two such names. */
bool lvm_is_full_name(const char *s);
/* The part behind '/'; borrowed. */
const char *lvm_name(const char *full);
/* "VG-LVsuffix" with its hyphens doubled, as device mapper has it; false if it does not fit. */
bool lvm_dm_name(const char *vg, const char *lv, const char *suffix, char *out, size_t size);

/*
 * Takes a snapshot of the thin volume origin ("VG/LV"), which becomes full ("VG/LV") with our tag,
 * inactive and not activated by anybody's "vgchange -ay".  LVM freezes and suspends an active
 * origin itself.  lock: a descriptor whose lock lasts until LVM is done, whatever happens to us.
 * *ret_killed: LVM had to be killed, so that the origin may be suspended.  Kind ERR_SOURCE.
 */
int lvm_snapshot(const char *origin, const char *full, int lock, bool *ret_killed, struct err *e);
/* Removes a snapshot of ours; missing is success, one of others -EPERM.  Kind ERR_LEFTOVER. */
int lvm_remove(const char *full, int lock, struct err *e);
