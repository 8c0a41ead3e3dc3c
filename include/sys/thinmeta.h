/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dm-thin metadata on disk.  Format: Linux drivers/md/dm-thin-metadata.c, struct
 * thin_disk_superblock; little-endian, 4096-byte blocks, CRC-32C xor salt 160774.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define THINMETA_BLOCK 4096u
#define THINMETA_ID_MAX 0xFFFFFFu /* thin ids have 24 bits */

struct thinmeta_superblock {
	uint32_t flags; /* bit 0: needs_check */
	uint32_t version, time, block_sectors;
	uint64_t transaction, data_blocks, metadata_blocks, held_root;
};

/* Checks magic, checksum, place, version, flags and ranges; kind ERR_POOL. */
int thinmeta_superblock_parse(
	const uint8_t block[THINMETA_BLOCK], struct thinmeta_superblock *ret, struct err *e);
/* Reads block 0 of path; O_DIRECT on devices, since the kernel writes past the page cache. */
int thinmeta_superblock_read(const char *path, struct thinmeta_superblock *ret, struct err *e);
/* CRC-32C with inversion at both ends (the usual one). */
uint32_t thinmeta_crc32c(const uint8_t *data, size_t len);
