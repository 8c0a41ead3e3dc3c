/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw device-mapper ioctls (linux/dm-ioctl.h), for the two places where libdevmapper cannot be
 * used: inside the suspend window, where nothing may allocate, and beside the main thread, since
 * the library is not thread-safe.  The only user of the kernel's header.
 */
#pragma once

#include <linux/dm-ioctl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* One request in the kernel's layout; the size is fixed, so nothing is allocated later. */
struct dmraw {
	struct dm_ioctl io;
	_Alignas(8) char room[512]; /* a struct dm_target_msg or dm_target_spec, and text */
};

/* An open /dev/mapper/control, or a negative errno. */
int dmraw_open(struct err *e);
void dmraw_prepare(struct dmraw *q, const char *name, uint32_t flags);
/* Prepares a target message; what does not fit is cut and refused by the kernel. */
void dmraw_prepare_message(struct dmraw *q, const char *name, const char *message);
/* 0 or a negative errno; async-signal-safe. */
int dmraw_call(int control, unsigned long what, struct dmraw *q);
/* 1: resumed; 0: was live, or is missing.  Keeps the udev properties, which libdevmapper's resume
 * would rewrite. */
int dmraw_resume(int control, const char *name);
/* Status line of the first target, without committing the pool's metadata. */
int dmraw_status(int control, const char *name, char *ret, size_t size);
