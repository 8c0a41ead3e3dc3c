/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store answers only: which containers are there, and which thin device or folder is each one's
 * root. It reads the engine's state from disk, takes no snapshot, touches no device, writes
 * nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cfg.h"
#include "container.h"
#include "err.h"
#include "str.h"

/*
 * One thin device that the engine has a record of, whether a container, an image layer or nothing
 * uses it.  Everything is borrowed for the call.
 */
struct store_record {
	const struct pool_ref *pool;
	const char *name; /* the engine's of the record; NULL: only that there is this pool */
	uint32_t thin_id; /* and the size: unless problem is set */
	uint64_t size_bytes;
	bool is_deleted;     /* its deletion is pending: the device may be gone already */
	const char *problem; /* why the record cannot be used; NULL: it can */
};

typedef int store_record_fn(void *arg, const struct store_record *r, struct err *e);

struct store_ops {
	const char *type; /* value of "type:" in the configuration */
	const char *help;
	/*
	 * Appends every container (all states) to *list with c->store = cfg->name.  A container
	 * whose record cannot be used is listed all the same, with c->problem set, so that nobody
	 * believes it archived.  A problem of the store as a whole fails with kind ERR_STORE.
	 * What is odd but harmless goes to *notes, one a line.
	 */
	int (*list)(const struct cfg_store *cfg, struct container_list *list, struct strbuf *notes,
		struct err *e);
	/*
	 * Every record of a thin device, after one call for the pool alone; ends with the first
	 * negative value of fn.  NULL where a store has no such records.
	 */
	int (*records)(const struct cfg_store *cfg, store_record_fn *fn, void *arg,
		struct strbuf *notes, struct err *e);
};

extern const struct store_ops store_docker, store_containerd, store_lvm, store_lxc, store_manual,
	store_podman, store_proxmox, store_tree;
/* NULL when there is none. */
const struct store_ops *store_find(const char *type);
