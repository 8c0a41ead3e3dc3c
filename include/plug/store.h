/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store answers only: which containers are there, and which thin device or folder is each one's
 * root. It reads the engine's state from disk, takes no snapshot, touches no device, writes
 * nothing.
 */
#pragma once

#include "cfg.h"
#include "container.h"
#include "err.h"
#include "str.h"

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
};

extern const struct store_ops store_docker, store_containerd, store_lvm, store_lxc, store_manual,
	store_podman, store_proxmox, store_tree;
/* NULL when there is none. */
const struct store_ops *store_find(const char *type);
