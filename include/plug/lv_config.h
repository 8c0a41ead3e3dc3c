/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of LXC and Proxmox containers as text in memory: no path is opened here, so
 * that every parser of foreign text can be fuzzed.  LXC 1.0 to 6.0 (lxc.container.conf(5)); Proxmox
 * VE 4.2 and later (pct.conf(5), pve-storage's storage.cfg).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "container.h"
#include "lvm.h"

/*
 * The device of lxc.rootfs.path, or of the older lxc.rootfs, without quotes and "lvm:"; the last
 * line that sets it counts.  NULL: none.  The caller frees it.
 */
char *lxc_rootfs(const char *text, size_t len);

/* One volume of a Proxmox container. */
struct pve_volume {
	char key[8]; /* "rootfs", "mp0" */
	char storage[64], name[LVM_NAME_MAX];
	bool is_backed_up; /* of a mount point: backup=1; rootfs always is */
	bool is_foreign;   /* a path of the host, or nothing that is understood */
};

struct pve_config {
	struct pve_volume *volumes;
	size_t count;
	char hostname[256], lock[64];
	char *tags; /* separated by ';', ',' or blanks; NULL: none */
};

/* /etc/pve/lxc/VMID.conf without its snapshots; -ENOMEM, or 0. */
int pve_parse(const char *text, size_t len, struct pve_config *ret);
void pve_config_done(struct pve_config *c);
/* The group of a storage of type lvmthin in storage.cfg; false: there is none. */
bool pve_storage_group(const char *text, size_t len, const char *storage, char vg[LVM_NAME_MAX]);
/* "100.conf": the length of its number, else 0. */
size_t pve_is_config(const char *file);
