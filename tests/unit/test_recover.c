/* SPDX-License-Identifier: Apache-2.0 */
/* What recover takes for its own, against the model of world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "ledger.h"
#include "run.h"
#include "world.h"
#include "world_fixture.h"

/* A run that is killed while its snapshot is there and known. */
static struct model_id *leave_snapshot(void)
{
	for (unsigned n = 100; n < WORLD_OPS; n++) {
		fixture_reset(FAULT_KILL, n, 0);
		(void)fixture_run(run_batch, true);
		for (size_t i = 0; i < WORLD_IDS; i++)
			if (world->m.ids[i].exists && world->m.ids[i].id > 0xFFF000 &&
				strstr(fixture_ledger(), "creation_time"))
				return &world->m.ids[i];
	}
	fail_msg("no run left a snapshot");
	return NULL;
}

/* The host was started again: the entry's boot is another one, and the pool has another name. */
static void start_host_again(void)
{
	DIR *d = opendir(LEDGER_STATE_DIR "/ledger");

	assert_non_null(d);
	for (const struct dirent *x; (x = readdir(d));) {
		char path[512], text[4096];

		(void)snprintf(path, sizeof(path), LEDGER_STATE_DIR "/ledger/%s", x->d_name);
		(void)snprintf(text, sizeof(text), "%s", fixture_text(path));
		char *boot = strstr(text, "\"boot_id\":\"");
		if (x->d_name[0] == '.' || !boot)
			continue;
		boot[11] = boot[11] == 'f' ? 'e' : 'f';
		fixture_put(path, text, strlen(text));
	}
	(void)closedir(d);
	(void)snprintf(world->m.devs[0].name, sizeof(world->m.devs[0].name), "docker-8:16-1-pool");
}

static int recover_all(void)
{
	world->mode = FAULT_NONE;
	model_commit();
	(void)fixture_run(run_recover, false);
	if (world->violation[0])
		fail_msg("%s", world->violation);
	return world->code;
}

/* Nothing is deleted but what the metadata says is the snapshot of the entry. */
static void test_identity(void **state)
{
	(void)state;
	fixture_pool();
	struct model_id *ours = leave_snapshot();
	ours->created++;
	assert_int_equal(recover_all(), 0);
	assert_true(ours->exists);
	assert_non_null(strstr(fixture_text(FIXTURE_LOG), "is not the snapshot of ours"));
	assert_string_equal(fixture_ledger(), "");

	ours = leave_snapshot();
	start_host_again();
	assert_int_equal(recover_all(), 0);
	assert_false(ours->exists);
	assert_string_equal(fixture_ledger(), "");

	ours = leave_snapshot();
	start_host_again();
	ours->created++;
	assert_int_equal(recover_all(), 21);
	assert_true(ours->exists);
	assert_string_not_equal(fixture_ledger(), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_identity)};

	return cmocka_run_group_tests(tests, fixture_setup, NULL);
}
