/* SPDX-License-Identifier: Apache-2.0 */
/* What pack needs to know of an entry beyond stat: extended attributes, and earlier names. */
#pragma once

#include "pack.h"

struct pack_xattr_ops {
	/* name as the kernel spells it. */
	void (*add)(void *arg, const char *name, const void *value, size_t len);
	void *arg;
};

/* Calls ops->add for every extended attribute in byte order of names; failures are trouble. */
void pack_xattrs(
	const struct pack_entry *entry, const struct pack_xattr_ops *ops, struct trouble *t);

/* Names of inodes that have more than one. */
struct pack_links {
	struct pack_link *items;
	size_t count, cap;
};

/*
 * The first path of the inode, NULL if this is the first (then it is remembered).  Returns
 * -ENOMEM only.
 */
int pack_link_find(
	struct pack_links *l, const struct stat *st, const char *path, const char **first);
void pack_links_done(struct pack_links *l);
