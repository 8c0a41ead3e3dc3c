/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The read-only view of a snapshot: a mount namespace of our own (propagation slave: a private
 * one would pin every container's mount), the file system type from our own probe of the
 * superblock, an explicit errors= (an image may ask for errors=panic).  The only user of libmount.
 */
#pragma once

#include <stdbool.h>

#include "err.h"

#define VIEW_DIR "/run/thinark/mnt"

/* Enters the namespace; once, while single-threaded.  Mounts of the pool's thin devices are
 * detached in it. */
int view_isolate(struct err *e);
/* Is the file system on this block device mounted in any mount namespace of this host? */
bool view_is_mounted(unsigned major, unsigned minor);
/* "xfs" or "ext4" (also for ext2 and ext3) by magic number; static text.  Others are refused. */
int view_probe(const char *node, const char **ret_type, struct err *e);
/* Read-only: the journal is replayed if it has to be; or not, and what is seen may be torn. */
enum view_mode { VIEW_READ_ONLY, VIEW_UNREPLAYED, VIEW_WRITABLE };
/*
 * Mounts node on target; without devices, set-id programs and access times, and unless it is
 * writable without programs.  -EROFS: the journal needs a writable device.
 */
int view_mount(
	const char *node, const char *type, const char *target, enum view_mode mode, struct err *e);
/*
 * From now on what this process reaches by the absolute path is read-only and its access times
 * stay: in our namespace alone, so after view_isolate.  Mounts below it keep their own modes.
 */
int view_protect(const char *path, struct err *e);
/* Opens subdir (one component, "" for the root) of the view for reading. */
int view_open(const char *subdir, int *ret_fd, struct err *e);
/* Unmounts at once or not at all: -EBUSY (kind ERR_LOCKED) if somebody is in it. */
int view_umount_now(const char *target, struct err *e);
/* Unmounts VIEW_DIR, or another target; not mounted is success.  Kind ERR_LEFTOVER. */
int view_umount(const char *target, struct err *e);
