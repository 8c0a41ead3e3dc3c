/* SPDX-License-Identifier: Apache-2.0 */
#include "thinmeta.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "scope.h"

#define MAGIC 27022010u
#define SUPERBLOCK_SALT 160774u

static uint64_t le(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	for (int i = bytes; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

uint32_t thinmeta_crc32c(const uint8_t *data, size_t len)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
	}
	return ~crc;
}

int thinmeta_superblock_parse(
	const uint8_t b[THINMETA_BLOCK], struct thinmeta_superblock *ret, struct err *e)
{
	const struct thinmeta_superblock s = {
		.flags = (uint32_t)le(b + 4, 4),
		.version = (uint32_t)le(b + 40, 4),
		.time = (uint32_t)le(b + 44, 4),
		.transaction = le(b + 48, 8),
		.held_root = le(b + 56, 8),
		.data_blocks = le(b + 64, 8),
		.metadata_blocks = le(b + 192, 8),
		.block_sectors = (uint32_t)le(b + 336, 4),
	};

	if (le(b + 32, 8) != MAGIC)
		return err_set(
			e, ERR_POOL, -EBADMSG, "superblock: no thin-pool metadata (bad magic)");
	if ((~thinmeta_crc32c(b + 4, THINMETA_BLOCK - 4) ^ SUPERBLOCK_SALT) != le(b, 4))
		return err_set(e, ERR_POOL, -EBADMSG, "superblock: checksum does not match");
	if (le(b + 8, 8) != 0)
		return err_set(e, ERR_POOL, -EBADMSG, "superblock: block number is not 0");
	if (s.version < 1 || s.version > 2 || le(b + 360, 4) != 0)
		return err_set(e, ERR_POOL, -ENOTSUP,
			"superblock: version %u, features %#x: unknown", s.version,
			(unsigned)le(b + 360, 4));
	if (s.block_sectors < 128 || s.block_sectors > 2097152 || s.block_sectors % 128)
		return err_set(e, ERR_POOL, -EBADMSG, "superblock: block size of %u sectors",
			s.block_sectors);
	if (s.data_blocks == 0 || s.data_blocks > UINT64_MAX / 512 / s.block_sectors ||
		s.metadata_blocks == 0 || s.metadata_blocks > 255u * 16320u)
		return err_set(e, ERR_POOL, -EBADMSG, "superblock: sizes are out of range");
	*ret = s;
	return 0;
}

int thinmeta_superblock_read(const char *path, struct thinmeta_superblock *ret, struct err *e)
{
	_Alignas(THINMETA_BLOCK) uint8_t block[THINMETA_BLOCK];
	struct stat st;
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, ERR_POOL, -errno, "metadata '%s'", path);
	if (S_ISBLK(st.st_mode) && fcntl(fd, F_SETFL, O_DIRECT) < 0)
		return err_sys(e, ERR_POOL, -errno, "metadata '%s': O_DIRECT", path);
	ssize_t n = pread(fd, block, sizeof(block), 0);
	if (n != (ssize_t)sizeof(block))
		return err_sys(e, ERR_POOL, n < 0 ? -errno : -EIO, "metadata '%s': read", path);
	int r = thinmeta_superblock_parse(block, ret, e);
	if (r < 0)
		return err_add(e, "metadata '%s'", path);
	return 0;
}
