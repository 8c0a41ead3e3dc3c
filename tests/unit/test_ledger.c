/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of every kind come back as they were written; damaged ones are named and never guessed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"
#include "scope.h"

static char dir[] = "/tmp/thinark-ledger-XXXXXX";

static int sh(const char *script)
{
	char *cmd = NULL;

	assert_true(asprintf(&cmd, "cd %s/ledger && { %s\n}", dir, script) > 0);
	int rc = system(cmd);
	free(cmd);
	return rc;
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/thinark-ledger-XXXXXX");
	return mkdtemp(dir) ? setenv("THINARK_STATE_DIR", dir, 1) : -1;
}

static int teardown(void **state)
{
	(void)state;
	return sh("rm -rf \"$(dirname \"$PWD\")\"");
}

struct seen {
	struct ledger_entry entries[8];
	size_t count;
};

static int see(void *arg, struct ledger_entry *x, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	assert_true(s->count < ARRAY_LEN(s->entries));
	s->entries[s->count++] = *x;
	return 0;
}

static void test_round_trip(void **state)
{
	static struct ledger_entry in[] = {
		{.kind = LEDGER_ARCHIVE,
			.path = "/srv/\"b\"",
			.type = "directory",
			.name = "web/a",
			.tag = "0123456789abcdef",
			.kept = 3},
		{.kind = LEDGER_LOOP,
			.pool = "p-pool",
			.path = "/var/lib/x",
			.loop = 7,
			.backing_dev = 65040,
			.backing_ino = UINT64_C(1) << 60},
		{.kind = LEDGER_POOL, .pool = "p-pool"},
		{.kind = LEDGER_METADATA,
			.pool = "p-pool",
			.mark = {.has_before = true,
				.before = 7,
				.transaction = INT64_MAX,
				.block_sectors = 128},
			.held_root = 77,
			.held_checksum = UINT32_MAX},
		{.kind = LEDGER_LVM,
			.pool = "vg-p-tpool",
			.name = "vg/thinark_0123456789abcdef",
			.device = "thinark-lvm-0123456789abcdef",
			.origin_id = 4,
			.origins = {"vg-web"},
			.origin_count = 1},
		{.kind = LEDGER_SNAPSHOT,
			.pool = "p-pool",
			.device = "thinark-253-0-ffffff",
			.thin_id = 0xFFFFFF,
			.origin_id = 4,
			.origins = {"p-a", "p-b"},
			.origin_count = 2,
			.mark = {.has_before = true,
				.is_whole = true,
				.before = 7,
				.created = UINT32_MAX,
				.transaction = UINT64_C(1) << 62,
				.mapped = 5,
				.block_sectors = 128},
			.keeps = "0123",
			.keeps_name = "w\u00e9b",
			.is_rollback = true},
	};
	static struct seen out;
	struct err e = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		assert_int_equal(ledger_write(&in[i], &e), 0);
	assert_int_equal(ledger_each(see, &out, &e), 0);
	assert_int_equal(out.count, ARRAY_LEN(in));
	/* In the order in which they are undone. */
	for (size_t i = 0; i < out.count; i++) {
		struct ledger_entry *got = &out.entries[i];
		const struct ledger_entry *want = &in[ARRAY_LEN(in) - 1 - i];

		assert_int_equal(got->kind, want->kind);
		assert_true(got->is_this_boot);
		got->is_this_boot = false;
		assert_int_equal(strlen(got->time), 20);
		memset(got->time, 0, sizeof(got->time));
		assert_memory_equal(got, want, sizeof(*got));
		assert_int_equal(ledger_remove(got, &e), 0);
		assert_int_equal(ledger_remove(got, &e), 0);
	}
	assert_int_equal(sh("test -z \"$(ls -A)\""), 0);
}

/* What nobody can suspend any more is named no more. */
static void test_window_over(void **state)
{
	struct ledger_entry x = {.pool = "p", .device = "d", .origins = {"o"}, .origin_count = 1};
	static struct seen out;
	struct err e = {0};

	(void)state;
	assert_int_equal(ledger_write(&x, &e), 0);
	x.is_window_over = true;
	assert_int_equal(ledger_write(&x, &e), 0);
	out.count = 0;
	assert_int_equal(ledger_each(see, &out, &e), 0);
	assert_int_equal(out.count, 1);
	assert_int_equal(out.entries[0].origin_count, 0);
}

static void test_other_boot(void **state)
{
	struct ledger_entry x = {.kind = LEDGER_POOL, .pool = "p"};
	static struct seen out;
	struct err e = {0};

	(void)state;
	assert_int_equal(ledger_write(&x, &e), 0);
	assert_int_equal(sh("sed -i 's/\"boot_id\":\"[^\"]*\"/\"boot_id\":\"\"/' p.pool.json"), 0);
	assert_int_equal(ledger_each(see, &out, &e), 0);
	assert_int_equal(out.count, 1);
	assert_false(out.entries[0].is_this_boot);
}

/* Each damage makes its entry fail by name, and the sound one beside it is still worked off. */
static void test_damage(void **state)
{
	static const char *const damages[] = {"s/snapshot/snapsho/", "s/\"p-pool\"/\"a\\/b\"/",
		"s/16777215/16777216/", "s/16777215/-1/", "s/\"thin_id\"/\"thin\"/", "s/\"o\"/7/",
		"s/{/[/", "s/}//", "s/\"device\":\"d\"/\"device\":\"..\\/d\"/",
		"s/pool_time\":1/pool_time\":-1/", "s/pool_time/x/", "s/block_sectors/x/",
		"s/creation_time\":2/creation_time\":4294967296/",
		"s/transaction\":3/transaction\":-3/", "s/transaction/x/",
		"s/mapped\":4/mapped\":\"4\"/", "s/\"keeps\":\"c\"/\"keeps\":\"\"/",
		"s/keeps_name/x/", "s/\"rollback\":false/\"rollback\":0/"};
	size_t tried = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		struct ledger_entry x = {.pool = "p-pool",
			.device = "d",
			.thin_id = 0xFFFFFF,
			.origins = {"o"},
			.origin_count = 1,
			.mark = {true, true, 1, 128, 2, 3, 4},
			.keeps = "c"};
		struct ledger_entry sound = {.kind = LEDGER_POOL, .pool = "sound"};
		static struct seen out;
		struct err e = {0};
		char script[200];

		out.count = 0;
		assert_int_equal(ledger_write(&sound, &e), 0);
		assert_int_equal(ledger_write(&x, &e), 0);
		(void)snprintf(
			script, sizeof(script), "sed -i '%s' p-pool_ffffff.json", damages[i]);
		assert_int_equal(sh(script), 0);
		assert_true(ledger_each(see, &out, &e) < 0);
		assert_int_equal(e.kind, ERR_LEFTOVER);
		assert_non_null(strstr(e.text, "p-pool_ffffff.json"));
		assert_int_equal(out.count, 1);
		tried++;
	}
	print_message("%zu damaged entries refused\n", tried);
	assert_true(tried >= 19);
}

static void test_damaged_metadata(void **state)
{
	static const char *const damages[] = {"s/\"p\"/\"a\\/b\"/", "s/pool_time/x/",
		"s/block_sectors\":128/block_sectors\":\"128\"/",
		"s/transaction\":3/transaction\":-3/", "s/root\":5/root\":-5/", "s/root/x/",
		"s/checksum\":6/checksum\":4294967296/"};
	size_t tried = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		struct ledger_entry x = {.kind = LEDGER_METADATA,
			.pool = "p",
			.mark = {.before = 1, .block_sectors = 128, .transaction = 3},
			.held_root = 5,
			.held_checksum = 6};
		static struct seen out;
		struct err e = {0};
		char script[200];

		out.count = 0;
		assert_int_equal(ledger_write(&x, &e), 0);
		assert_int_equal(ledger_each(see, &out, &e), 0);
		(void)snprintf(script, sizeof(script), "sed -i '%s' p.metadata.json", damages[i]);
		assert_int_equal(sh(script), 0);
		assert_true(ledger_each(see, &out, &e) < 0);
		assert_int_equal(out.count, 1);
		tried++;
	}
	assert_true(tried >= 7);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {CASE(test_round_trip), CASE(test_window_over),
		CASE(test_other_boot), CASE(test_damage), CASE(test_damaged_metadata)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
