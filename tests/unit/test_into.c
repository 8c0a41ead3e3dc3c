/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A restore into a container, and a rollback, against the model of world.h: killed before each of
 * their operations, and each failing once.  Whatever comes, the container's thin device is there
 * after recover, and either nothing is left or the ledger names a safety snapshot that is there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "world.h"
#include "world_fixture.h"

#define ARCHIVE WORLD_DIR "/kept.tar.zst"
#define TARGET WORLD_DIR "/image-5.tree/rootfs/x"
#define ORIGIN 5u

static char name[] = "b"; /* whose device is ORIGIN and not active */
static struct {
	unsigned fired, kept, clean, good;
} total;

static int into(const struct run_options *o, bool keep)
{
	static char archive[] = ARCHIVE;
	char *args[] = {archive};
	const struct read_options r = {
		.cfg = o->cfg, .args = args, .arg_count = 1, .into = name, .keep_snapshot = keep};

	return run_restore(&r);
}

static int run_into(const struct run_options *o)
{
	return into(o, false);
}

static int run_into_keep(const struct run_options *o)
{
	return into(o, true);
}

static int run_back(const struct run_options *o)
{
	const struct rollback_options x = {.cfg = o->cfg, .container = name};

	return run_rollback(&x);
}

/* Without a fault; its exit code. */
static int plain(int (*what)(const struct run_options *))
{
	const enum fault_mode mode = world->mode;

	world->mode = FAULT_NONE;
	model_commit();
	const int status = fixture_run(what, false);
	world->mode = mode;
	if (world->violation[0])
		fail_msg("operation %u: %s", world->fail_at, world->violation);
	if (status)
		fail_msg("operation %u: status %#x\n%s", world->fail_at, status,
			fixture_text(FIXTURE_LOG));
	return world->code;
}

/* An archive of b, kept from the wiping of the destination. */
static void make_archive(void)
{
	static char data[1 << 16];
	DIR *d;
	size_t n = 0;

	fixture_pool();
	fixture_reset(FAULT_NONE, 0, 0);
	assert_int_equal(plain(run_batch), 0);
	assert_non_null(d = opendir(WORLD_DEST "/b"));
	for (const struct dirent *x; (x = readdir(d));) {
		char path[512];

		if (!strstr(x->d_name, ".tar.zst"))
			continue;
		(void)snprintf(path, sizeof(path), WORLD_DEST "/b/%s", x->d_name);
		FILE *f = fopen(path, "r");
		assert_non_null(f);
		n = fread(data, 1, sizeof(data), f);
		(void)fclose(f);
	}
	(void)closedir(d);
	assert_in_range(n, 1, sizeof(data) - 1);
	fixture_put(ARCHIVE, data, n);
}

static unsigned count_ids(uint32_t from)
{
	unsigned n = 0;

	for (size_t i = 0; i < WORLD_IDS; i++)
		n += world->m.ids[i].exists && world->m.ids[i].id >= from;
	return n;
}

static bool has_origin(void)
{
	for (size_t i = 0; i < WORLD_IDS; i++)
		if (world->m.ids[i].exists && world->m.ids[i].id == ORIGIN &&
			world->m.ids[i].root == ORIGIN)
			return true;
	return false;
}

static void check_devices(const char *when)
{
	for (size_t i = 0; i < WORLD_DEVICES; i++) {
		const struct model_dev *d = &world->m.devs[i];
		bool is_initial = false;

		for (size_t k = 0; k < WORLD_DEVICES; k++)
			is_initial |= fixture_initial.devs[k].exists &&
				      strcmp(fixture_initial.devs[k].name, d->name) == 0;
		if (d->exists && (!is_initial || d->suspended))
			fail_msg("operation %u, %s: device '%s' is left", world->fail_at, when,
				d->name);
	}
}

/* After recover; whether a safety snapshot is kept. */
static bool check_state(const char *when)
{
	const char *ledger = fixture_ledger();
	const bool is_kept = strstr(ledger, "\"keeps\":") != NULL;

	check_devices(when);
	if (!has_origin())
		fail_msg("operation %u, %s: the container's thin device is gone", world->fail_at,
			when);
	if (count_ids(0x1000) != is_kept || (!is_kept && *ledger))
		fail_msg("operation %u, %s: %u snapshots, ledger '%s'", world->fail_at, when,
			count_ids(0x1000), ledger);
	if (is_kept && strstr(ledger, "\"rollback\":true"))
		fail_msg("operation %u, %s: a rollback is not over", world->fail_at, when);
	return is_kept;
}

/* What was said must be so: success means restored and nothing kept. */
static void check_word(bool wants_restored)
{
	const bool is_kept = strstr(fixture_ledger(), "\"keeps\":") != NULL;
	const char *log = fixture_text(FIXTURE_LOG);

	total.good += world->code == 0;
	if (world->fds_before != world->fds_after)
		fail_msg("operation %u: descriptors leak", world->fail_at);
	if (world->code == 0 && (is_kept || *fixture_ledger() || count_ids(0x1000)))
		fail_msg("operation %u: success, but something is left\n%s", world->fail_at, log);
	if (world->code == 0 && wants_restored && strcmp(fixture_text(TARGET), "x") != 0)
		fail_msg("operation %u: success, but not restored\n%s", world->fail_at, log);
	if (world->code != 0 && wants_restored && is_kept && world->code != 21 &&
		!strstr(fixture_text(FIXTURE_LOG), "thinark rollback"))
		fail_msg("operation %u: kept and not told\n%s", world->fail_at,
			fixture_text(FIXTURE_LOG));
}

/* One run of what with the fault; false: it did not come to pass. */
static bool trial(enum fault_mode mode, unsigned n, int (*what)(const struct run_options *))
{
	fixture_reset(mode, n, 0);
	fixture_put_text("damaged", TARGET);
	if (what == run_back && plain(run_into_keep) != 0)
		fail_msg("nothing to roll back: %s", fixture_text(FIXTURE_LOG));
	world->fired = 0;
	const int status = fixture_run(what, true);
	const unsigned fired = world->fired;

	if (world->violation[0])
		fail_msg("operation %u: %s", n, world->violation);
	if (mode != FAULT_KILL && (status || !world->ended))
		fail_msg("operation %u: status %#x\n%s", n, status, fixture_text(FIXTURE_LOG));
	if (mode != FAULT_KILL)
		check_word(what == run_into);
	if (plain(run_recover) != 0)
		fail_msg(
			"operation %u: recover: %d\n%s", n, world->code, fixture_text(FIXTURE_LOG));
	const bool is_kept = check_state("recover");
	total.fired += fired > 0;
	total.kept += is_kept;
	total.clean += !is_kept;
	if (plain(run_back) != (is_kept ? 0 : 10))
		fail_msg("operation %u: rollback: %d\n%s", n, world->code,
			fixture_text(FIXTURE_LOG));
	if (check_state("rollback"))
		fail_msg("operation %u: kept after the rollback", n);
	return fired > 0;
}

static void sweep(const char *what, int (*run)(const struct run_options *), enum fault_mode mode,
	unsigned floor)
{
	memset(&total, 0, sizeof(total));
	world->rolls_back = true;
	for (unsigned n = 1; trial(mode, n, run); n++)
		continue;
	print_message("%s: %u faults; then a snapshot was kept %u times, none %u times; %u runs "
		      "succeeded\n",
		what, total.fired, total.kept, total.clean, total.good);
	assert_true(total.fired >= floor);
	assert_true(total.kept >= 10 && total.clean >= 10);
}

static void test_into_killed(void **state)
{
	(void)state;
	sweep("restore into a container, killed", run_into, FAULT_KILL, 200);
}

static void test_into_failing(void **state)
{
	(void)state;
	sweep("restore into a container, one failure", run_into, FAULT_ONCE, 200);
}

static void test_rollback_killed(void **state)
{
	(void)state;
	sweep("rollback, killed", run_back, FAULT_KILL, 100);
}

static void test_rollback_failing(void **state)
{
	(void)state;
	sweep("rollback, one failure", run_back, FAULT_ONCE, 100);
}

static int setup(void **state)
{
	int r = fixture_setup(state);

	if (r == 0)
		make_archive();
	return r;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_into_killed),
		cmocka_unit_test(test_into_failing),
		cmocka_unit_test(test_rollback_killed),
		cmocka_unit_test(test_rollback_failing),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
