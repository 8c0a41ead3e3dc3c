/* SPDX-License-Identifier: Apache-2.0 */
/* What pack needs to know of an entry beyond what it is given: earlier names of its inode. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

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
bool pack_links_have(const struct pack_links *l, const struct stat *st);
void pack_links_done(struct pack_links *l);
