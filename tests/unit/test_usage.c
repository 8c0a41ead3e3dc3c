/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ps --usage against the model of world.h: the figures of a pool that is idle, that commits all the
 * time, and whose metadata snapshot somebody else holds; and its own fault sweep, after which the
 * pool holds none, or the ledger names it until recover.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run.h"
#include "world.h"
#include "world_fixture.h"

#define FAULTS_MIN 250u
#define LEFT_MIN 5u /* kills that leave a metadata snapshot */

static struct {
	unsigned faults, failures, left, recovered, told, by_code[256];
} total;

static void complain(enum fault_mode mode, unsigned n, const char *what)
{
	if (total.failures++ < 20)
		(void)printf("FAIL mode %d, operation %u (%s): %s [exit code %d]\n%s\n", (int)mode,
			n, op_name(world->kind), what, world->code, fixture_text(FIXTURE_LOG));
}

static void start(enum fault_mode mode, unsigned n, unsigned pass, bool is_busy)
{
	fixture_reset(mode, n, pass);
	world->m.is_busy = is_busy;
}

/* Three blocks of 64 KiB each, of which one is its own. */
static bool tells_all(void)
{
	unsigned lines = 0;
	const char *out = fixture_text(FIXTURE_OUT);

	for (const char *at = out; (at = strstr(at, "192.0 KiB   64.0 KiB  128.0 KiB\n")); at++)
		lines++;
	return lines == 2 && strstr(out, "EXCLUSIVE     SHARED\n");
}

static unsigned count_unknown(void)
{
	unsigned lines = 0;

	for (const char *at = fixture_text(FIXTURE_OUT);
		(at = strstr(at, "         -          -\n")); at++)
		lines++;
	return lines;
}

static void test_idle(void **state)
{
	(void)state;
	start(FAULT_NONE, 0, 0, false);
	assert_int_equal(fixture_run(run_ps, true), 0);
	assert_int_equal(world->code, 0);
	assert_true(tells_all());
	/* Nothing was changed and nobody locked out. */
	assert_string_equal(world->violation, "");
	assert_int_equal(world->m.held_commits, 0);
	assert_int_not_equal(access("/run/thinark", F_OK), 0);
	assert_int_not_equal(access("/var/lib/thinark/ledger", F_OK), 0);
}

static void test_busy(void **state)
{
	(void)state;
	start(FAULT_NONE, 0, 0, true);
	assert_int_equal(fixture_run(run_ps, true), 0);
	assert_int_equal(world->code, 0);
	assert_true(tells_all());
	/* It was held, and is no more. */
	assert_true(world->m.held_commits > 0);
	assert_int_equal(world->m.held, 0);
	assert_string_equal(fixture_ledger(), "");
}

static void test_somebody_elses(void **state)
{
	(void)state;
	start(FAULT_NONE, 0, 0, true);
	assert_int_equal(model_hold("reserve_metadata_snap"), 0);
	world->m.is_held_by_others = true;
	assert_int_equal(fixture_run(run_ps, true), 0);
	assert_int_equal(world->code, 3);
	assert_int_equal(count_unknown(), 2);
	assert_non_null(strstr(fixture_text(FIXTURE_LOG), "somebody else holds its metadata"));
	assert_string_equal(world->violation, "");
	assert_int_not_equal(world->m.held, 0);
	assert_string_equal(fixture_ledger(), "");
	/* An idle pool needs none. */
	world->m.is_busy = false;
	model_commit();
	assert_int_equal(fixture_run(run_ps, true), 0);
	assert_int_equal(world->code, 0);
	assert_true(tells_all());
}

static void recover(enum fault_mode mode, unsigned n)
{
	total.recovered++;
	if (fixture_run(run_recover, false) || world->code != 0)
		complain(mode, n, "recover fails");
	if (world->m.held)
		complain(mode, n, "still held after recover");
	if (*fixture_ledger())
		complain(mode, n, "the ledger is not empty after recover");
}

/* False: the fault did not come to pass. */
static bool trial(enum fault_mode mode, unsigned n, unsigned pass)
{
	start(mode, n, pass, true);
	int status = fixture_run(run_ps, true);
	const bool fired = world->fired > 0, is_left = world->m.held != 0;
	const bool has_ledger = *fixture_ledger() != '\0';

	total.faults += fired;
	total.left += is_left;
	if (is_left && !has_ledger)
		complain(mode, n, "held, and the ledger does not know");
	if (world->violation[0])
		complain(mode, n, world->violation);
	if (mode < FAULT_KILL) {
		total.by_code[world->code & 255]++;
		total.told += tells_all();
		if (status || !world->ended)
			complain(mode, n, "it did not end by itself");
		if (world->fds_after != world->fds_before)
			complain(mode, n, "descriptors leak");
		if ((is_left || has_ledger) && world->code != 21)
			complain(mode, n, "left, without exit code 21");
		if (world->code == 0 && !tells_all())
			complain(mode, n, "success without figures");
		if (world->code && !strstr(fixture_text(FIXTURE_LOG), "error: ") &&
			!strstr(fixture_text(FIXTURE_LOG), "warning: "))
			complain(mode, n, "no message");
	}
	if (is_left || has_ledger)
		recover(mode, n);
	return fired;
}

static void test_sweep(void **state)
{
	static unsigned char kinds[WORLD_OPS];

	(void)state;
	assert_false(trial(FAULT_NONE, 0, 0));
	assert_int_equal(world->code, 0);
	const unsigned ops = world->ops;
	assert_in_range(ops, 50, WORLD_OPS - 1);
	memcpy(kinds, world->kinds, sizeof(kinds));
	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned n = 1; trial(FAULT_ONCE, n, pass); n++)
			continue;
	for (unsigned n = 1; trial(FAULT_KIND, n, 0); n++)
		continue;
	for (unsigned n = 1; n <= ops; n++) {
		if (!op_has_effect((enum op)kinds[n]))
			continue;
		(void)trial(FAULT_LATE, n, 0);
		(void)trial(FAULT_KILL, n, 0);
	}
	(void)printf("%u operations; %u faults, %u times the figures all the same; %u metadata "
		     "snapshots left, %u recoveries; exit codes:",
		ops, total.faults, total.told, total.left, total.recovered);
	for (unsigned i = 0; i < 256; i++)
		if (total.by_code[i])
			(void)printf(" %u: %u", i, total.by_code[i]);
	(void)printf("\n");
	assert_int_equal(total.failures, 0);
	assert_true(total.faults >= FAULTS_MIN);
	assert_true(total.left >= LEFT_MIN);
	assert_true(total.told >= 20);
}

/* Killed while it holds one that its entry tells the block of. */
static void leave_held(void)
{
	for (unsigned n = 1; n < WORLD_OPS; n++) {
		start(FAULT_KILL, n, 0, true);
		(void)fixture_run(run_ps, true);
		if (world->m.held && strstr(fixture_ledger(), "\"root\":3"))
			return;
	}
	fail_msg("no kill left one");
}

static void test_recover(void **state)
{
	struct model_dev *pool = &world->m.devs[0];

	(void)state;
	/* The pool has another name after a boot. */
	leave_held();
	(void)snprintf(pool->name, sizeof(pool->name), "docker-8:16-1-pool");
	recover(FAULT_NONE, 1);
	assert_non_null(strstr(fixture_text(FIXTURE_LOG), "is 'docker-8:16-1-pool' now"));

	/* It is not there: the entry stays. */
	leave_held();
	pool->exists = false;
	assert_int_equal(fixture_run(run_recover, false), 0);
	assert_int_equal(world->code, 21);
	assert_string_not_equal(fixture_ledger(), "");
	pool->exists = true;
	recover(FAULT_NONE, 2);

	/* Ours was released by hand, and somebody has reserved another one in its place. */
	leave_held();
	world->m.held = 0;
	world->m.commits++;
	assert_int_equal(model_hold("reserve_metadata_snap"), 0);
	world->m.is_held_by_others = true;
	assert_int_equal(fixture_run(run_recover, false), 0);
	assert_int_equal(world->code, 0);
	assert_string_equal(world->violation, "");
	assert_int_not_equal(world->m.held, 0);
	assert_string_equal(fixture_ledger(), "");

	/* The next ps does recover's work, and its own. */
	leave_held();
	assert_int_equal(fixture_run(run_ps, false), 0);
	assert_int_equal(world->code, 0);
	assert_true(tells_all());
	assert_int_equal(world->m.held, 0);
	assert_string_equal(fixture_ledger(), "");
	assert_int_equal(total.failures, 0);
}

static int setup(void **state)
{
	const int r = fixture_setup(state);

	if (r == 0)
		fixture_pool();
	return r;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_somebody_elses),
		cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_recover),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
