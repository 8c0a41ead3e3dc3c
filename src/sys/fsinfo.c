/* SPDX-License-Identifier: Apache-2.0 */
#include "fsinfo.h"

#include <errno.h>
#include <string.h>

#define SIZE_LIMIT ((uint64_t)INT64_MAX)

static uint64_t little(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return v;
}

static uint64_t big(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static uint64_t product(uint64_t blocks, uint64_t block_bytes)
{
	return block_bytes && blocks <= SIZE_LIMIT / block_bytes ? blocks * block_bytes : 0;
}

static void parse_ext4(const uint8_t *super, struct fsinfo *ret)
{
	enum { NEEDS_RECOVERY = 0x4, IS_64BIT = 0x80 }; /* s_feature_incompat, at 0x60 */
	const uint64_t shift = little(super + 0x18, 4), features = little(super + 0x60, 4);
	uint64_t blocks = little(super + 0x4, 4);

	if (features & IS_64BIT)
		blocks |= little(super + 0x150, 4) << 32;
	ret->type = "ext4";
	ret->size_bytes = shift <= 6 ? product(blocks, UINT64_C(1024) << shift) : 0;
	ret->needs_replay = features & NEEDS_RECOVERY;
}

int fsinfo_parse(const uint8_t b[FSINFO_BYTES], struct fsinfo *ret, struct err *e)
{
	*ret = (struct fsinfo){0};
	if (memcmp(b, "XFSB", 4) == 0) {
		const uint64_t block = big(b + 4, 4);

		ret->type = "xfs";
		ret->size_bytes =
			block >= 512 && block <= 65536 ? product(big(b + 8, 8), block) : 0;
		return 0;
	}
	/* The superblock is at byte 1024, its magic number 0xEF53 at 0x38 in it. */
	if (b[0x438] == 0x53 && b[0x439] == 0xEF) {
		parse_ext4(b + 1024, ret);
		return 0;
	}
	return err_set(e, ERR_SOURCE, -EMEDIUMTYPE,
		"no file system that is known here (xfs, ext2, ext3, ext4)");
}
