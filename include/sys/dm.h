/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device mapper: the only user of libdevmapper.  Never synchronises with udev (a stopped udevd
 * would hang us) but passes udev flags, so that no rule probes or links our devices.  Errors
 * keep the ioctl's errno: every task is one step.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define DM_NAME_MAX 128

struct dmdev_info {
	bool exists, suspended, has_inactive_table, is_internally_suspended, is_read_only;
	int open_count;
	unsigned major, minor;
};

/* One target of a table; type and params are owned by the callee of the callback. */
struct dmdev_target {
	uint64_t length_sectors; /* 512 bytes each */
	const char *type, *params;
};

/* Quiet library, no udev synchronisation; fails where the kernel has no device mapper. */
int dmdev_init(struct err *e);
/* A missing device is success with exists false. */
int dmdev_info(const char *name, struct dmdev_info *ret, struct err *e);
/* Calls fn for each active device with its single target; devices with other tables are passed
 * over.  Ends with the first that is not 0. */
typedef int dmdev_fn(void *arg, const char *name, const struct dmdev_info *info,
	const struct dmdev_target *t, struct err *e);
int dmdev_each(dmdev_fn *fn, void *arg, struct err *e);
/* As dmdev_each, with any table or none.  fn may remove the device. */
typedef int dmdev_name_fn(void *arg, const char *name, struct err *e);
int dmdev_each_name(dmdev_name_fn *fn, void *arg, struct err *e);
/* Status line of the first target; noflush, since a plain status commits the pool's metadata. */
int dmdev_status(const char *name, char *ret, size_t size, struct err *e);
/* Table line of the first target. */
int dmdev_table(
	const char *name, char *type, size_t type_size, char *params, size_t size, struct err *e);
int dmdev_message(const char *name, const char *message, struct err *e);
/*
 * CREATE, RELOAD, RESUME as three steps, each with its own errno; undone on failure.
 * is_private: our snapshot devices; udev rules keep away.  A taken name or uuid is -EBUSY.
 */
int dmdev_create(const char *name, const char *uuid, const struct dmdev_target *t, bool read_only,
	bool is_private, struct dmdev_info *ret, struct err *e);
/* Missing is success.  Busy is retried for 2 s, then a deferred removal; then -EBUSY while it
 * exists. */
int dmdev_remove(const char *name, struct err *e);
/* The kernel removes it at the last close. */
int dmdev_remove_deferred(const char *name, struct err *e);
/* Waits up to ms until the device is gone; -EBUSY if it is not. */
int dmdev_wait_gone(const char *name, unsigned ms, struct err *e);
/* "/dev/NAME" of a block device by its number; ret holds 64 bytes. */
int dmdev_node(unsigned major, unsigned minor, char ret[64], struct err *e);
