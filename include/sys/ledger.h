/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: one fsynced file for each snapshot, written before it exists and removed when it is
 * gone.  /var/lib/thinark/ledger/POOL_ID.json:
 *   {"version":1,"kind":"snapshot","pool":NAME,"thin_id":N,"origin_id":N,"device":NAME,
 *    "origins":[NAME...],"pause_socket":PATH,"pause_id":ID,"boot_id":UUID,"pid":N,"time":RFC3339}
 * (pause_* only while a container is paused or about to be) or, for a pool assembled by us,
 * POOL.pool.json with kind "pool".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dm.h"
#include "engine.h"
#include "err.h"
#include "snapper.h"

#define LEDGER_STATE_DIR "/var/lib/thinark"

struct ledger_entry {
	char file[320]; /* name in the ledger folder; set by the functions below */
	bool is_pool;
	char pool[DM_NAME_MAX], device[DM_NAME_MAX];
	uint32_t thin_id, origin_id;
	char origins[SNAPPER_ORIGINS][DM_NAME_MAX];
	int origin_count;
	char pause_socket[ENGINE_SOCKET_CAP], pause_id[ENGINE_ID_CAP]; /* empty: not paused */
	bool is_this_boot;                                             /* read only */
};

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
 * Snapshots first, then pools.  An unreadable entry fails with kind ERR_LEFTOVER and names the
 * file, after all others were visited; so does a failing fn.
 */
typedef int ledger_fn(void *arg, struct ledger_entry *entry, struct err *e);
int ledger_each(ledger_fn *fn, void *arg, struct err *e);
