/* SPDX-License-Identifier: Apache-2.0 */
/* Superblocks as mkfs and mkfs.xfs make them, and impossible ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fscheck.h"
#include "fsinfo.h"
#include "scope.h"

static void parse_made(const char *command, struct fsinfo *ret)
{
	char path[] = "/tmp/thinark-test-XXXXXX", line[512];
	uint8_t b[FSINFO_BYTES];
	struct err e = {0};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	(void)snprintf(line, sizeof(line), command, path, path);
	assert_int_equal(system(line), 0);
	assert_int_equal(pread(fd, b, sizeof(b), 0), sizeof(b));
	(void)close(fd);
	(void)unlink(path);
	assert_int_equal(fsinfo_parse(b, ret, &e), 0);
}

static void made_ones(void **state)
{
	static const struct {
		const char *command, *type;
		uint64_t size;
	} rows[] = {
		{"truncate -s 9M %s; mke2fs -q -F -t ext4 -b 1024 %s >/dev/null", "ext4", 9 << 20},
		{"truncate -s 64M %s; mke2fs -q -F -t ext4 -b 4096 -O 64bit %s >/dev/null", "ext4",
			64 << 20},
		{"truncate -s 9M %s; mke2fs -q -F -t ext2 %s >/dev/null", "ext4", 9 << 20},
		{"truncate -s 320M %s; mkfs.xfs -q %s", "xfs", 320 << 20},
		{"truncate -s 320M %s; mkfs.xfs -q -b size=1024 %s", "xfs", 320 << 20},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fsinfo fs;

		parse_made(rows[i].command, &fs);
		assert_string_equal(fs.type, rows[i].type);
		assert_int_equal(fs.size_bytes, rows[i].size);
		assert_false(fs.needs_replay);
	}
}

static void impossible_ones(void **state)
{
	uint8_t b[FSINFO_BYTES] = {0};
	struct fsinfo fs;
	struct err e = {0};

	(void)state;
	assert_int_equal(fsinfo_parse(b, &fs, &e), -EMEDIUMTYPE);
	/* ext4: 2^32 - 1 blocks of 2^(10 + 63) bytes; then of 1 KiB, with a high half that is too
	 * much */
	b[0x438] = 0x53;
	b[0x439] = 0xEF;
	memset(b + 1024 + 4, 0xff, 4);
	b[1024 + 0x18] = 63;
	assert_int_equal(fsinfo_parse(b, &fs, &e), 0);
	assert_int_equal(fs.size_bytes, 0);
	b[1024 + 0x18] = 0;
	b[1024 + 0x60] = 0x84;
	assert_int_equal(fsinfo_parse(b, &fs, &e), 0);
	assert_true(fs.needs_replay);
	assert_int_equal(fs.size_bytes, 0xffffffffull * 1024);
	memset(b + 1024 + 0x150, 0xff, 4);
	assert_int_equal(fsinfo_parse(b, &fs, &e), 0);
	assert_int_equal(fs.size_bytes, 0);
	/* xfs: blocks of 1 byte, and more than there can be */
	memcpy(b, "XFSB\0\0\0\1\0\0\0\0\0\0\0\1", 16);
	assert_int_equal(fsinfo_parse(b, &fs, &e), 0);
	assert_int_equal(fs.size_bytes, 0);
	memcpy(b, "XFSB\0\0\x10\0\xff\0\0\0\0\0\0\0", 16);
	assert_int_equal(fsinfo_parse(b, &fs, &e), 0);
	assert_int_equal(fs.size_bytes, 0);
}

static void findings(void **state)
{
	static const struct {
		const char *line;
		bool is_one;
	} rows[] = {
		{"Pass 1: Checking inodes, blocks, and sizes", false},
		{"e2fsck 1.47.0 (5-Feb-2023)", false},
		{"Phase 3 - for each AG...", false},
		{"        - agno = 0", false},
		{"", false},
		{"No modify flag set, skipping phase 5", false},
		{"Inode 13 ref count is 2, should be 1.  Fix? no", true},
		{"Metadata CRC error detected at 0x5581, xfs_dir3_block block 0x40/0x1000", true},
		{"bad magic number", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(
			fscheck_is_finding(rows[i].line, strlen(rows[i].line)), rows[i].is_one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_ones),
		cmocka_unit_test(impossible_ones),
		cmocka_unit_test(findings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
