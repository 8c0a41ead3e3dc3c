/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include "pool.h"
#include "thinmeta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t block[THINMETA_BLOCK] = {0};
	char line[600] = {0};
	struct thinmeta_superblock s;
	struct pool_status status;
	struct err e;

	memcpy(block, data, size < sizeof(block) ? size : sizeof(block));
	(void)thinmeta_superblock_parse(block, &s, &e);
	/* With a right checksum the checks behind it are reached. */
	uint32_t sum = ~thinmeta_crc32c(block + 4, THINMETA_BLOCK - 4) ^ 160774u;
	memcpy(block, &sum, 4);
	(void)thinmeta_superblock_parse(block, &s, &e);
	memcpy(line, data, size < sizeof(line) - 1 ? size : sizeof(line) - 1);
	(void)pool_status_parse(line, &status, &e);
	return 0;
}
