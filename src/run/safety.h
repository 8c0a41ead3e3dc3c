/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to run: safety snapshots.  One of a container's device is taken before something changes
 * that, and named in the ledger as kept: neither recover nor a run removes it.
 */
#pragma once

#include "job.h"

struct safety {
	struct snap snap;
	struct undo undo; /* unwound: the snapshot is dropped */
};

/* The entry of the container's safety snapshot; 1, or 0 if there is none. */
int safety_find(const struct container *c, struct ledger_entry *ret, struct err *e);
/* The only one of a container of that name or id, which need not be there any more. */
int safety_find_named(const char *name, struct ledger_entry *ret, struct err *e);
/* s must not move.  A failure leaves nothing. */
int safety_take(struct safety *s, const struct pool *pool, uint32_t *next_id,
	const struct container *c, struct err *e);
/* From now on it is a snapshot as any other, which recover removes. */
int safety_release(struct ledger_entry *x, struct err *e);
int safety_drop(struct safety *s, struct err *e);
/* What is kept, and how to end that: a line of warning. */
void safety_tell(const struct ledger_entry *x);
/* The same of all. */
void safety_tell_all(void);
