/* SPDX-License-Identifier: Apache-2.0 */
/* The store of devices named by hand, on a made list of the kernel's devices. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <cmocka.h>

#include "dm.h"
#include "scope.h"
#include "store.h"

#define MIB (1u << 20)

static const struct device {
	const char *name, *type, *params;
	unsigned minor; /* major is 254 */
	uint64_t sectors;
} devices[] = {
	{"tank-pool", "thin-pool", "254:8 254:9 128 0", 0, 1 << 20},
	{"other:pool", "thin-pool", "254:10 254:11 128 0", 1, 1 << 20},
	{"web", "thin", "254:0 7", 2, 2048},
	{"twin", "thin", "254:1 7", 3, 4096},
	{"external", "thin", "254:0 8 254:5", 4, 2048},
	{"plain", "linear", "8:0 0", 5, 2048},
	{"thinark-254-0-ffffff", "thin", "254:0 16777215", 6, 2048},
	{"zero", "thin", "254:0 0", 12, 8},
};

static int init_ret, each_ret; /* what the fakes answer; 0: as usual */

int __wrap_dmdev_init(struct err *e);
int __wrap_dmdev_init(struct err *e)
{
	return init_ret ? err_set(e, ERR_FATAL, init_ret, "no device mapper") : 0;
}

int __wrap_dmdev_each(dmdev_fn *fn, void *arg, struct err *e);
int __wrap_dmdev_each(dmdev_fn *fn, void *arg, struct err *e)
{
	int r = each_ret ? err_set(e, ERR_FATAL, each_ret, "ioctl") : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(devices); i++) {
		const struct dmdev_info info = {
			.exists = true, .major = 254, .minor = devices[i].minor};
		const struct dmdev_target t = {.length_sectors = devices[i].sectors,
			.type = devices[i].type,
			.params = devices[i].params};

		r = fn(arg, devices[i].name, &info, &t, e);
	}
	return r;
}

int __real_stat64(const char *path, struct stat64 *st);
int __wrap_stat64(const char *path, struct stat64 *st);
int __wrap_stat64(const char *path, struct stat64 *st)
{
	const char *name = strncmp(path, "/dev/mapper/", 12) == 0 ? path + 12 : NULL;

	for (size_t i = 0; name && i < ARRAY_LEN(devices); i++) {
		if (strcmp(name, devices[i].name) != 0)
			continue;
		*st = (struct stat64){
			.st_mode = S_IFBLK, .st_rdev = makedev(254, devices[i].minor)};
		return 0;
	}
	return __real_stat64(path, st);
}

static const struct row {
	const char *device, *pool;
	int64_t thin_id, size;
	/* what is listed */
	const char *problem; /* a part of it; NULL: none */
	const char *dm_name;
	uint32_t want_id;
	uint64_t want_bytes;
} rows[] = {
	/* by id: the table of an active one tells, whatever is configured */
	{NULL, "tank-pool", 7, 0, NULL, "tank-pool", 7, MIB},
	{NULL, "tank-pool", 7, 5 * MIB, NULL, "tank-pool", 7, MIB},
	{NULL, "other:pool", 7, 0, NULL, "other:pool", 7, 2 * MIB},
	{NULL, "/dev/mapper/other:pool", 7, 0, NULL, "other:pool", 7, 2 * MIB},
	{NULL, "tank-pool", 0, 0, NULL, "tank-pool", 0, 4096},
	{NULL, "tank-pool", 9, 3 * MIB, NULL, "tank-pool", 9, 3 * MIB},
	{NULL, "tank-pool", 9, 0, "thin 9 of pool 'tank-pool' is not active", "tank-pool", 9, 0},
	{NULL, "gone", 9, 3 * MIB, NULL, "gone", 9, 3 * MIB},
	{NULL, "gone", 9, 0, "the key 'size' is needed", "gone", 9, 0},
	{NULL, "tank-pool", 9, MIB + 1, "no multiple of 512", "tank-pool", 9, MIB + 1},
	{NULL, "tank-pool", 8, 0, "external origin", "tank-pool", 8, MIB},
	{NULL, "web", 7, MIB, "'web' is no thin pool", "web", 7, 0},
	{NULL, "/dev/mapper/plain", 7, MIB, "is no thin pool", "/dev/mapper/plain", 7, 0},
	{NULL, "/dev/mapper/gone", 7, MIB, "pool /dev/mapper/gone: No such file",
		"/dev/mapper/gone", 7, 0},
	{NULL, "/dev/null", 7, MIB, "pool /dev/null: Block device required", "/dev/null", 7, 0},
	/* by path */
	{"/dev/mapper/web", NULL, 0, 0, NULL, "tank-pool", 7, MIB},
	{"/dev/mapper/twin", NULL, 0, 0, NULL, "other:pool", 7, 2 * MIB},
	{"/dev/mapper/zero", NULL, 0, 0, NULL, "tank-pool", 0, 4096},
	{"/dev/mapper/external", NULL, 0, 0, "external origin", "tank-pool", 8, MIB},
	{"/dev/mapper/plain", NULL, 0, 0, "/dev/mapper/plain: no thin device", "", 0, 0},
	{"/dev/mapper/tank-pool", NULL, 0, 0, "no thin device", "", 0, 0},
	{"/dev/mapper/gone", NULL, 0, 0, "/dev/mapper/gone: No such file", "", 0, 0},
	{"/dev/null", NULL, 0, 0, "/dev/null: Block device required", "", 0, 0},
	{"/dev/mapper/thinark-254-0-ffffff", NULL, 0, 0, "one of thinark's own snapshots",
		"tank-pool", 0xFFFFFF, MIB},
};

static int list(size_t first, size_t count, struct container_list *ret, struct err *e)
{
	struct cfg_volume volumes[ARRAY_LEN(rows)] = {0};
	char names[ARRAY_LEN(rows)][16];
	struct strbuf notes = {0};

	for (size_t i = 0; i < count; i++) {
		const struct row *x = &rows[first + i];

		(void)snprintf(names[i], sizeof(names[i]), "v%zu", first + i);
		volumes[i] = (struct cfg_volume){.name = names[i],
			.device = (char *)x->device,
			.pool = (char *)x->pool,
			.thin_id = x->thin_id,
			.size = x->size,
			.subdir = (char *)(i % 2 ? "rootfs" : "")};
	}
	const struct cfg_store cfg = {.name = (char *)"s",
		.type = (char *)"manual",
		.volumes = volumes,
		.volume_count = count};
	int r = store_find("manual")->list(&cfg, ret, &notes, e);
	assert_int_equal(notes.len, 0);
	return r;
}

static void volumes_are_found(void **state)
{
	struct container_list l = {0};
	struct err e = {0};
	size_t good = 0;

	(void)state;
	assert_int_equal(list(0, ARRAY_LEN(rows), &l, &e), 0);
	assert_int_equal(l.count, ARRAY_LEN(rows));
	for (size_t i = 0; i < l.count; i++) {
		const struct row *x = &rows[i];
		const struct container *c = &l.items[i];
		char name[24];

		(void)snprintf(name, sizeof(name), "v%zu", i);
		assert_string_equal(c->name, name);
		assert_string_equal(c->store, "s");
		assert_string_equal(c->subdir, i % 2 ? "rootfs" : "");
		assert_int_equal(c->volume, VOLUME_THIN);
		if (!x->problem != !c->problem || (x->problem && !strstr(c->problem, x->problem)))
			fail_msg("row %zu: '%s', expected '%s'", i, c->problem ? c->problem : "",
				x->problem ? x->problem : "");
		if (strcmp(c->pool.dm_name, x->dm_name) != 0 || c->thin_id != x->want_id ||
			c->size_bytes != x->want_bytes)
			fail_msg("row %zu: pool '%s', thin %u of %llu bytes", i, c->pool.dm_name,
				c->thin_id, (unsigned long long)c->size_bytes);
		good += !c->problem;
	}
	print_message("%zu volumes, %zu of them good\n", l.count, good);
	assert_true(good >= 10 && l.count - good >= 10);
	container_list_done(&l);
}

static void appends(void **state)
{
	struct container_list l = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(list(0, 2, &l, &e), 0);
	assert_int_equal(list(2, 1, &l, &e), 0);
	assert_int_equal(l.count, 3);
	assert_string_equal(l.items[0].name, "v0");
	assert_string_equal(l.items[2].name, "v2");
	container_list_done(&l);
}

/* Without the kernel's word nobody knows anything: it is the store's problem. */
static void no_device_mapper(void **state)
{
	struct container_list l = {0};
	struct err e = {0};

	(void)state;
	init_ret = -ENODEV;
	assert_int_equal(list(0, 1, &l, &e), -ENODEV);
	assert_int_equal(e.kind, ERR_STORE);
	assert_int_equal(list(0, 1, &l, NULL), -ENODEV);
	init_ret = 0;
	each_ret = -EIO;
	assert_int_equal(list(0, 1, &l, &e), -EIO);
	assert_int_equal(e.kind, ERR_STORE);
	assert_string_equal(e.text, "ioctl");
	assert_int_equal(list(15, 1, &l, &e), -EIO);
	each_ret = 0;
	container_list_done(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(volumes_are_found),
		cmocka_unit_test(appends),
		cmocka_unit_test(no_device_mapper),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
