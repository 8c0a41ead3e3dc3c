/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the first bytes of a device tell about its file system.  ext2, 3 and 4: Linux fs/ext4/ext4.h
 * (struct ext4_super_block); xfs: fs/xfs/libxfs/xfs_format.h (struct xfs_dsb).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define FSINFO_BYTES 2048u

struct fsinfo {
	const char *type;    /* "xfs", or "ext4" (also for ext2 and ext3); static text */
	uint64_t size_bytes; /* 0: what it says is impossible */
	bool needs_replay;   /* ext4: its journal is not empty; xfs does not tell here */
};

/* By magic number; others are refused (ERR_SOURCE, -EMEDIUMTYPE). */
int fsinfo_parse(const uint8_t b[FSINFO_BYTES], struct fsinfo *ret, struct err *e);
