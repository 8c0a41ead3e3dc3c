/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage that reading does not show: a corrupt ext4 folder may read as empty without an error. What
 * the kernel says about the file system meanwhile decides: ext4's error counter in sysfs, file
 * system error events (fanotify FAN_FS_ERROR, Linux 5.16), and the kernel log where we may read it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "trouble.h"

struct damage {
	char device[32]; /* "dm-7" */
	int events, log; /* descriptors, -1: not to be had */
	int64_t before;  /* ext4's counter, -1: none */
};

/*
 * From here on; the file system on node ("/dev/dm-7") is mounted on dir.  What a kernel does not
 * offer is left out.  damage_end must follow.
 */
void damage_begin(struct damage *d, const char *node, const char *dir);
/* Notes what was reported since as one entry of the trouble list, and closes. */
void damage_end(struct damage *d, struct trouble *t);
/*
 * Is a record of /dev/kmsg ("PRIORITY,SEQUENCE,TIME,FLAGS;TEXT") an error message about the device?
 * text receives its start.
 */
int damage_is_about(const char *record, const char *device, char *text, size_t size);
