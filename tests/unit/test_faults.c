/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault sweep: whole runs against the model of world.h.  Operation 1, 2, 3 ... of a run fails
 * in several ways until a run ends without meeting a fault.  After each run nothing may be
 * suspended; either the world is as it was, or the ledger names what is left and the exit code
 * says so; then recover and a run without faults must leave it as it was.
 * Needs root or user namespaces: it mounts a tmpfs over /var/lib and /run in its own namespace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dest.h"
#include "digest.h"
#include "ledger.h"
#include "run.h"
#include "scope.h"
#include "store.h"
#include "thinmeta.h"
#include "world.h"
#include "world_fixture.h"

#define FAULTS_MIN 500

static char baseline[2][DIGEST_HEX]; /* of the archives of a and b */
static struct {
	unsigned faults, failures, trials, recovered, left_but_clean;
	unsigned by_op[OP_COUNT], by_code[256];
} total;

static const char *const mode_name[] = {
	"none", "once", "kind", "late", "kill", "kill parent", "kill both"};

static void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *fmt, ...)
{
	va_list ap;

	if (total.failures++ >= 40)
		return;
	va_start(ap, fmt);
	(void)printf("FAIL %s, operation %u (%s, %s%s%s): ", mode_name[world->mode], world->fail_at,
		op_name(world->kind), strerror(world->error), world->in_child ? ", child" : "",
		world->in_batch ? ", batch" : "");
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)printf(" [exit code %d]\n%s\n", world->code, fixture_text(FIXTURE_LOG));
}

static struct {
	int parts, orphans, lone;
} found;

static int look_at_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
	const char *end = strstr(path, ".tar.zst"), *json = strstr(path, ".json");
	char manifest[512];

	(void)st;
	if (type != FTW_F)
		return 0;
	if (strstr(path + at->base, ".part")) {
		found.parts++;
	} else if (end) {
		(void)snprintf(manifest, sizeof(manifest), "%.*s.json", (int)(end - path), path);
		found.orphans += access(manifest, F_OK) < 0;
	} else if (json && strncmp(path, WORLD_DEST, strlen(WORLD_DEST)) == 0) {
		(void)snprintf(
			manifest, sizeof(manifest), "%.*s.tar.zst", (int)(json - path), path);
		found.lone += access(manifest, F_OK) < 0;
	}
	return 0;
}

static void look_at_files(void)
{
	found.parts = found.orphans = found.lone = 0;
	(void)nftw(WORLD_DEST, look_at_file, 16, FTW_PHYS);
	(void)nftw(LEDGER_STATE_DIR, look_at_file, 16, FTW_PHYS);
}

static void file_digest(const char *path, char hex[DIGEST_HEX])
{
	static char data[1 << 16];
	struct digest *d;
	struct err e;
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	assert_int_equal(digest_new(&d, &e), 0);
	while ((n = fread(data, 1, sizeof(data), f)))
		assert_int_equal(digest_add(d, data, n, &e), 0);
	assert_int_equal(digest_end(d, hex, &e), 0);
	digest_free(d);
	(void)fclose(f);
}

/* How many archives call themselves complete; each must be the one of a run without faults. */
static int count_good(void)
{
	struct dest_list list;
	struct err e;
	int good = 0;

	assert_int_equal(dest_directory.list(&fixture_cfg.dests[0], &list, &e), 0);
	for (size_t i = 0; i < list.count; i++) {
		char path[256], hex[DIGEST_HEX];
		const char *m = list.items[i].manifest;
		const int which = list.items[i].name[0] == 'b';

		if (!m || !strstr(m, "\"complete\": ")) {
			complain("manifest of %s is not whole", list.items[i].name);
			continue;
		}
		(void)snprintf(path, sizeof(path), WORLD_DEST "/%s.tar.zst", list.items[i].name);
		file_digest(path, hex);
		if (!strstr(m, hex))
			complain("%s does not have the digest of its manifest", path);
		if (!strstr(m, "\"complete\": true"))
			continue;
		good++;
		if (!baseline[which][0])
			memcpy(baseline[which], hex, sizeof(hex));
		if (strcmp(hex, baseline[which]) != 0)
			complain("%s is called complete but is not", path);
	}
	dest_list_done(&list);
	return good;
}

static bool is_initial_dev(const char *name)
{
	for (size_t i = 0; i < WORLD_DEVICES; i++)
		if (fixture_initial.devs[i].exists &&
			strcmp(fixture_initial.devs[i].name, name) == 0)
			return true;
	return false;
}

/* Counts what is there and was not; complains unless the ledger names it. */
static int count_left(bool must_be_named)
{
	const char *ledger = fixture_ledger();
	int left = 0;

	for (size_t i = 0; i < WORLD_DEVICES; i++) {
		const struct model_dev *d = &world->m.devs[i];

		if (!d->exists || is_initial_dev(d->name))
			continue;
		left++;
		if (must_be_named && !strstr(ledger, d->name) &&
			strncmp(d->name, "thinark-probe", 13) != 0)
			complain("device %s is left and in no ledger", d->name);
	}
	for (size_t i = 0; i < WORLD_IDS; i++) {
		char key[64];

		if (!world->m.ids[i].exists || world->m.ids[i].id < 0x1000)
			continue;
		left++;
		(void)snprintf(key, sizeof(key), "\"thin_id\":%u,", world->m.ids[i].id);
		if (must_be_named && !strstr(ledger, key))
			complain("thin %u is left and in no ledger", world->m.ids[i].id);
	}
	return left;
}

static int count_suspended(void)
{
	int n = 0;

	for (size_t i = 0; i < WORLD_DEVICES; i++)
		n += world->m.devs[i].exists && world->m.devs[i].suspended;
	return n;
}

static void check_code(int good)
{
	const int code = world->code;
	const char *log = fixture_text(FIXTURE_LOG);
	char number[32];

	if (code != 0 && code != 1 && code != 3 && code != 20 && code != 21)
		complain("exit code");
	if (code == 0 && good != 2)
		complain("success with %d archives", good);
	if (code != 0 && !strstr(log, "error: ") && !strstr(log, "warning: "))
		complain("no message");
	if (world->mode != FAULT_ONCE)
		return;
	if (code == 3 && world->in_batch && !good)
		complain("the other container was not archived");
	if (code == 1 && world->in_batch)
		complain("one container's failure ended the run");
	(void)snprintf(number, sizeof(number), ": error %d\n", world->error);
	if (code && !strstr(log, strerror(world->error)) && !strstr(log, number) &&
		!strstr(log, "has no device mapper") && !strstr(log, "out of memory"))
		complain("the message does not tell the errno");
}

/* What holds after the main process ended by itself. */
static void check_end(int status)
{
	if (!world->ended || status) {
		complain("ended by status %#x", status);
		return;
	}
	const int good = count_good();
	const int left = count_left(true);
	const bool ledger = *fixture_ledger() != '\0';

	total.by_code[world->code & 255]++;
	if (world->fds_after != world->fds_before)
		complain("%d descriptors leak", world->fds_after - world->fds_before);
	if (count_suspended() && !(world->mode == FAULT_KIND && world->kind == OP_IOCTL))
		complain("a device is suspended");
	if (count_suspended() && (world->code != 21 || !ledger))
		complain("a device is suspended, and nobody knows");
	if ((left || ledger || world->was_mounted) && world->code != 21)
		complain("%d left, ledger %d, %d mounts, without exit code 21", left, ledger,
			world->was_mounted);
	if (world->code == 21 && !left && !ledger)
		total.left_but_clean++;
	if (found.parts && world->code != 21)
		complain("%d temporary files", found.parts);
	if (found.orphans && world->mode != FAULT_KIND)
		complain("%d archives without manifest", found.orphans);
	check_code(good);
}

/* Without faults everything is cleared up, and the next run succeeds. */
static void check_recovery(void)
{
	const bool has_pool = model_find(fixture_initial.devs[0].name) != NULL;
	int status = fixture_run(run_recover, false);

	total.recovered++;
	if (status || (has_pool && world->code != 0))
		complain("recover: status %#x", status);
	if (count_suspended())
		complain("suspended after recover");
	if (has_pool && count_left(false))
		complain("%d left after recover", count_left(false));
	fixture_wipe(WORLD_DEST "/a");
	fixture_wipe(WORLD_DEST "/b");
	status = fixture_run(run_batch, false);
	look_at_files();
	if (status || world->code != 0 || count_good() != 2)
		complain("the next run: status %#x", status);
	if (count_left(false) || *fixture_ledger() || count_suspended() || found.parts)
		complain("the next run leaves something");
}

/* One run with the fault; false: it did not come to pass. */
static bool trial(enum fault_mode mode, unsigned n, unsigned pass)
{
	const unsigned parts_kept = mode >= FAULT_KILL;

	fixture_reset(mode, n, pass);
	int status = fixture_run(run_batch, true);
	const unsigned fired = world->fired;
	total.trials++;
	look_at_files();
	if (found.lone)
		complain("%d manifests without archive", found.lone);
	if (!parts_kept || world->in_child)
		if (!(parts_kept && mode != FAULT_KILL))
			check_end(status);
	if (mode == FAULT_PARENT && count_suspended())
		complain("the suspender leaves its origin suspended");
	if (world->violation[0])
		complain("%s", world->violation);
	if (fired) {
		total.faults++;
		total.by_op[world->kind]++;
	}
	if (count_left(false) || *fixture_ledger() || found.parts || world->code == 21 ||
		count_suspended() || n % 16 == 0)
		check_recovery();
	return fired > 0;
}

/* The engine is stopped: no device is active, the pool is assembled from its files. */
static void stop_engine(void)
{
	memset(&world->m, 0, sizeof(world->m));
	model_add_id(4, 4);
	model_add_id(5, 5);
	fixture_initial = world->m;
	fixture_put_text("", WORLD_ROOT "/devicemapper/devicemapper/data");
	fixture_put(WORLD_ROOT "/devicemapper/devicemapper/metadata",
		fixture_text(WORLD_DIR "/superblock"), THINMETA_BLOCK);
	assert_int_equal(truncate(WORLD_ROOT "/devicemapper/devicemapper/metadata", 16 * 4096), 0);
	assert_int_equal(truncate(WORLD_ROOT "/devicemapper/devicemapper/data", 4096 * 65536L), 0);
}

/* The kinds of operations of a run without faults: how many there are. */
static unsigned measure(unsigned char kinds[WORLD_OPS], bool child[WORLD_OPS])
{
	memset(baseline, 0, sizeof(baseline));
	assert_false(trial(FAULT_NONE, 0, 0));
	if (world->code != 0)
		fail_msg("a run without faults: %d\n%s", world->code, fixture_text(FIXTURE_LOG));
	const unsigned ops = world->ops;

	assert_in_range(ops, 100, WORLD_OPS - 1);
	/* The readers ahead are threads: what they ask varies a little from run to run. */
	assert_false(trial(FAULT_NONE, 0, 0));
	assert_in_range(world->ops, ops - ops / 10, ops + ops / 10);
	memcpy(kinds, world->kinds, WORLD_OPS);
	memcpy(child, world->child_op, sizeof(world->child_op));
	return ops;
}

static void report(const char *scenario, unsigned ops)
{
	(void)printf(
		"%s: %u operations a run; %u runs, %u faults injected, %u recoveries, %u times "
		"exit code 21 although clean; faults by operation:",
		scenario, ops, total.trials, total.faults, total.recovered, total.left_but_clean);
	for (unsigned i = 0; i < OP_COUNT; i++)
		(void)printf(" %s %u", op_name((enum op)i), total.by_op[i]);
	(void)printf("; exit codes:");
	for (unsigned i = 0; i < 256; i++)
		if (total.by_code[i])
			(void)printf(" %u: %u", i, total.by_code[i]);
	(void)printf("\n");
}

/* A brief one leaves out what the other scenario covers. */
static void sweep(const char *scenario, bool brief, unsigned floor)
{
	unsigned char kinds[WORLD_OPS];
	bool child[WORLD_OPS];

	memset(&total, 0, sizeof(total));
	const unsigned ops = measure(kinds, child);
	(void)printf("%s: %u operations\n", scenario, ops);
	for (unsigned pass = brief; pass < 2; pass++)
		for (unsigned n = 1; trial(FAULT_ONCE, n, pass); n++)
			continue;
	for (unsigned n = 1; !brief && trial(FAULT_KIND, n, 0); n++)
		continue;
	for (unsigned n = 1; n <= ops; n++) {
		if (!op_has_effect((enum op)kinds[n]))
			continue;
		(void)trial(FAULT_LATE, n, 0);
		(void)trial(FAULT_KILL, n, 0);
		if (child[n]) {
			(void)trial(FAULT_PARENT, n, 0);
			(void)trial(FAULT_BOTH, n, 0);
		}
	}
	report(scenario, ops);
	assert_true(total.faults >= floor);
	assert_int_equal(total.failures, 0);
}

static void test_active(void **state)
{
	(void)state;
	fixture_pool();
	sweep("active pool", false, FAULTS_MIN);
}

static void test_stopped(void **state)
{
	(void)state;
	stop_engine();
	sweep("stopped engine", true, FAULTS_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_active),
		cmocka_unit_test(test_stopped),
	};

	return cmocka_run_group_tests(tests, fixture_setup, NULL);
}
