/* SPDX-License-Identifier: Apache-2.0 */
/* What the stores on LVM share: a container whose root is a thin volume. */
#pragma once

#include "container.h"
#include "err.h"
#include "lvm.h"

/* The names in a folder but those that begin with a dot, sorted; free with lv_names_done. */
struct lv_names {
	char **items;
	size_t count;
};
/* dir stays open; name is its name in messages.  Kind ERR_STORE, or ERR_FATAL without memory. */
int lv_read_names(int dir, const char *name, struct lv_names *ret, struct err *e);
void lv_names_done(struct lv_names *n);

/* The volume that "/dev/VG/LV" or "/dev/mapper/VG-LV" means, or NULL; borrowed. */
const struct lvm_lv *lv_by_device(const struct lvm_list *all, const char *path);
/*
 * Fills in pool, thin id, size, lv, id (the volume's uuid, unless there is one) and state; or the
 * problem, which begins with where, if there is no such thin volume.  -ENOMEM, or 0.
 */
int lv_fill(const struct lvm_list *all, const char *vg, const char *name, const char *where,
	struct container *c, struct err *e);
