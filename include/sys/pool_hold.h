/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool's metadata snapshot: what it has committed, kept as it is while the pool goes on
 * (reserve_metadata_snap; Linux Documentation/admin-guide/device-mapper/thin-provisioning.rst).
 * There is one for each pool, whoever reserved it; it survives reboots, and while it is held each
 * change of the metadata takes new blocks.  So it is held for seconds, and named in the ledger
 * before it exists.
 */
#pragma once

#include "err.h"
#include "ledger.h"
#include "pool.h"

/*
 * Reserves it, under the pool's lock and within its limits.  Fills and writes *entry; *ret_root is
 * for thinmeta_open.  Whatever it returns, pool_hold_end is to follow.  -EBUSY: there is one
 * already.
 */
int pool_hold(const struct pool *p, struct ledger_entry *entry, uint64_t *ret_root, struct err *e);
/*
 * Releases the entry's; one that is somebody else's stays, and that is success, as is none.  An
 * entry that does not tell its block yet is of any that is no older: nobody else could reserve one
 * while ours was there.  The entry itself stays.
 */
int pool_hold_end(const struct pool *p, const struct ledger_entry *entry, struct err *e);
/*
 * The active pool of the entry, also under another name, if that holds the entry's metadata
 * snapshot; -ENOENT: none.
 */
int pool_hold_find(const struct ledger_entry *entry, struct pool *ret, struct err *e);
