/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stddef.h>

#include <cmocka.h>

#include "pool.h"
#include "thinmeta.h"

static void status_lines_of_all_kernels_are_read(void **state)
{
	struct pool_status s;
	struct err e = {0};

	(void)state;
	assert_int_equal(pool_status_parse("7 830/8192 100/2000 - rw no_discard_passdown "
					   "queue_if_no_space - 1024",
				 &s, &e),
		0);
	assert_int_equal(s.transaction, 7);
	assert_int_equal(s.meta_used, 830);
	assert_int_equal(s.data_total, 2000);
	assert_int_equal(s.meta_low_water, 1024);
	assert_int_equal(s.mode, POOL_RW);
	assert_false(s.needs_check);
	/* RHEL 7.2 ends after needs_check */
	assert_int_equal(pool_status_parse("1 5/10 6/10 128 ro discard_passdown "
					   "error_if_no_space needs_check",
				 &s, &e),
		0);
	assert_int_equal(s.mode, POOL_RO);
	assert_true(s.needs_check);
	assert_true(s.error_if_no_space);
	assert_int_equal(pool_status_parse("1 5/10 10/10 - out_of_data_space", &s, &e), 0);
	assert_int_equal(s.mode, POOL_OUT_OF_DATA);
	assert_int_equal(pool_status_parse("Fail", &s, &e), 0);
	assert_int_equal(s.mode, POOL_FAIL);
	assert_true(pool_status_parse("", &s, &e) < 0);
	assert_true(pool_status_parse("1 5 6/10 - rw", &s, &e) < 0);
}

/* Metadata made by thin_restore, the reference tool: our parser must agree with it. */
static void superblock_of_the_reference_tool_is_read(void **state)
{
	char dir[] = "/tmp/thinark-test-XXXXXX", command[512], path[64];
	struct thinmeta_superblock s;
	struct err e = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/meta", dir);
	(void)snprintf(command, sizeof(command),
		"cd %s && truncate -s 4M meta && echo '<superblock uuid=\"\" time=\"3\" "
		"transaction=\"9\" "
		"data_block_size=\"128\" nr_data_blocks=\"1000\"></superblock>' >x.xml && "
		"thin_restore -i x.xml -o meta >out 2>&1",
		dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(thinmeta_superblock_read(path, &s, &e), 0);
	assert_int_equal(s.time, 3);
	assert_int_equal(s.transaction, 9);
	assert_int_equal(s.block_sectors, 128);
	assert_int_equal(s.data_blocks, 1000);
	assert_int_equal(s.metadata_blocks, 1024);
	FILE *f = fopen(path, "r+");
	assert_int_equal(fseek(f, 100, SEEK_SET), 0);
	(void)fputc('x', f);
	(void)fclose(f);
	assert_true(thinmeta_superblock_read(path, &s, &e) < 0);
	assert_non_null(strstr(e.text, "checksum"));
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void crc32c_has_the_published_check_value(void **state)
{
	(void)state;
	assert_int_equal(thinmeta_crc32c((const uint8_t *)"123456789", 9), 0xE3069283u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_lines_of_all_kernels_are_read),
		cmocka_unit_test(superblock_of_the_reference_tool_is_read),
		cmocka_unit_test(crc32c_has_the_published_check_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
