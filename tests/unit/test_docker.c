/* SPDX-License-Identifier: Apache-2.0 */
/* The docker store against small data roots made in a temporary folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "docker_record.h"
#include "scope.h"
#include "store.h"
#include "store_suite.h"

static char ids[16][65];

static const char *id_of(unsigned n)
{
	memset(ids[n], "0123456789abcdef"[n], 64);
	return ids[n];
}

#define DEVICE "{\"device_id\":4,\"size\":1073741824,\"transaction_id\":9,\"initialized\":false}"
#define STATE "\"State\":{\"Running\":true,\"StartedAt\":\"2020-01-01T00:00:00.5Z\"}"

/* The configuration of a container; more is appended to its object. */
static const char *config(const char *id, const char *more)
{
	static char text[2048];

	(void)snprintf(text, sizeof(text), "{\"ID\":\"%s\",\"Driver\":\"devicemapper\"%s%s}", id,
		*more ? "," : "", more);
	return text;
}

/* A container of 1.10 or later whose mount id is another id; below is "" or "UID.GID/". */
static void put_new(const struct suite *f, const char *below, unsigned n, unsigned mount,
	const char *more, const char *record)
{
	suite_text(f, config(id_of(n), more), "%scontainers/%s/config.v2.json", below, id_of(n));
	suite_text(f, "{\"Binds\":null}", "%scontainers/%s/hostconfig.json", below, id_of(n));
	suite_text(f, id_of(mount), "%simage/devicemapper/layerdb/mounts/%s/mount-id", below,
		id_of(n));
	suite_text(f, record, "%sdevicemapper/metadata/%s", below, id_of(mount));
}

static void put_old(const struct suite *f, unsigned n, const char *more, const char *record)
{
	suite_text(f, config(id_of(n), more), "containers/%s/config.json", id_of(n));
	suite_text(f, record, "devicemapper/metadata/%s", id_of(n));
}

/* Lists the root and asserts how many are listed and how many of them have a problem. */
static void list(struct suite *f, size_t count, size_t problems)
{
	suite_list(f, &store_docker, NULL);
	if (f->ret < 0)
		return;
	for (size_t i = 0; i < f->list.count; i++) {
		assert_string_equal(f->list.items[i].subdir, "rootfs");
		assert_true(docker_is_id(f->list.items[i].id));
	}
	assert_int_equal(f->list.count, count);
	assert_int_equal(suite_problems(f), problems);
}

/* Lists a root with one container whose problem must contain part. */
static void expect_problem(struct suite *f, const char *part)
{
	list(f, 1, 1);
	suite_expect_problem(f, part);
}

static void test_new(void **state)
{
	struct suite *f = *state;
	const struct container *c;
	struct stat st;
	char want[256], path[128];

	put_new(f, "", 1, 2,
		STATE
		",\"Name\":\"/web\",\"Image\":\"sha256:00\",\"Config\":{\"Image\":\"debian:12\","
		"\"Labels\":{\"a\":\"b\",\"A\":\"c\"}}",
		DEVICE);
	list(f, 1, 0);
	assert_int_equal(f->ret, 0);
	c = &f->list.items[0];
	assert_string_equal(c->id, id_of(1));
	assert_string_equal(c->name, "web");
	assert_string_equal(c->image, "debian:12");
	assert_string_equal(c->image_id, "sha256:00");
	assert_string_equal(c->state, "running");
	assert_int_equal(c->label_count, 2);
	assert_string_equal(container_label(c, "A"), "c");
	assert_string_equal(c->hostconfig_json, "{\"Binds\":null}");
	assert_int_equal(c->thin_id, 4);
	assert_int_equal(c->size_bytes, 1073741824);
	(void)snprintf(path, sizeof(path), "%s/devicemapper", f->root);
	assert_int_equal(stat(path, &st), 0);
	(void)snprintf(want, sizeof(want), "-%llu-%s", (unsigned long long)st.st_ino, id_of(2));
	assert_non_null(strstr(c->pool.device_name, want));
	(void)snprintf(want, sizeof(want), "-%llu-pool", (unsigned long long)st.st_ino);
	assert_non_null(strstr(c->pool.dm_name, want));
	assert_null(c->pool.data_path);
	suite_expect_notes(f, 0, NULL);
}

static void test_old(void **state)
{
	struct suite *f = *state;

	put_old(f, 1, STATE, DEVICE);
	suite_text(f, "", "devicemapper/devicemapper/data");
	suite_text(f, "", "devicemapper/devicemapper/metadata");
	suite_text(f, "{}", "graph/%s/json", id_of(3));
	list(f, 1, 0);
	assert_string_equal(f->list.items[0].name, "111111111111");
	assert_true(f->list.items[0].pool.is_loop);
	assert_non_null(strstr(f->list.items[0].pool.data_path, "/devicemapper/devicemapper/data"));
	assert_null(f->list.items[0].hostconfig_json);
}

static void test_setup(void **state)
{
	struct suite *f = *state;

	put_new(f, "", 1, 2, STATE, DEVICE);
	suite_text(f, "{\"Device\":\"/dev/sdb\",\"ThinpPercent\":95}",
		"devicemapper/setup-config.json");
	list(f, 1, 0);
	assert_string_equal(f->list.items[0].pool.dm_name, "docker-thinpool");
}

/* Record, and what its problem must say; NULL: there is none. */
static void test_records(void **state)
{
	static const struct {
		const char *record, *problem;
	} cases[] = {
		{"{\"DEVICE_ID\":7,\"Size\":512,\"other\":[1]}", NULL},
		{"{\"device_id\":0,\"size\":512}", NULL},
		{"{\"device_id\":16777215,\"size\":512,\"deleted\":false}", NULL},
		{"{\"device_id\":4,\"size\":512,\"deleted\":true}", "device is marked deleted"},
		{"{\"device_id\":4,\"size\":512,\"Deleted\":true}", "device is marked deleted"},
		{"{\"device_id\":4,\"size\":512,\"deleted\":1}", "deleted: has the wrong type"},
		{"{\"device_id\":16777216,\"size\":512}", "device_id: 16777216 is not within"},
		{"{\"device_id\":-1,\"size\":512}", "device_id: -1 is not within"},
		{"{\"device_id\":4.0,\"size\":512}", "device_id: has the wrong type"},
		{"{\"device_id\":\"4\",\"size\":512}", "device_id: has the wrong type"},
		{"{\"size\":512}", "device_id: missing"},
		{"{\"device_id\":4,\"size\":0}", "size: 0 is not within"},
		{"{\"device_id\":4,\"size\":-512}", "size: -512 is not within"},
		{"{\"device_id\":4,\"size\":513}", "multiple of 512"},
		{"{\"device_id\":4,\"size\":9223372036854775296}", "is not within"},
		{"{\"device_id\":4,\"size\":99999999999999999999}", ":1:"},
		{"{\"device_id\":4,\"device_id\":5,\"size\":512}", "duplicate"},
		{"{\"device_id\":4,\"Device_Id\":5,\"size\":512}", "given twice"},
		{"{\"device_id\":4,", ":1:"},
		{"", ":1:"},
		{"[4]", "JSON object"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct docker_device d;
		struct err e = {0};
		int r = docker_parse_device(
			cases[i].record, strlen(cases[i].record), "dir/f", &d, &e);

		if ((r == 0 && !d.deleted) != !cases[i].problem)
			fail_msg("%s: %d %s", cases[i].record, r, e.text);
		if (r < 0 && (!strstr(e.text, cases[i].problem) || strncmp(e.text, "dir/f:", 6)))
			fail_msg("%s: %s", cases[i].record, e.text);
	}
	put_new(*state, "", 1, 2, STATE, cases[3].record);
	expect_problem(*state, cases[3].problem);
}

static void test_states(void **state)
{
	static const struct {
		const char *json, *want;
	} cases[] = {
		{"\"Running\":true", "running"},
		{"\"Running\":true,\"Paused\":true", "paused"},
		{"\"Running\":true,\"Restarting\":true", "restarting"},
		{"\"RemovalInProgress\":true,\"Dead\":true", "removing"},
		{"\"Dead\":true", "dead"},
		{"\"StartedAt\":\"0001-01-01T00:00:00Z\"", "created"},
		{"\"running\":false", "created"},
		{"\"StartedAt\":\"2020-01-01T00:00:00Z\"", "exited"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct container c = {.id = strdup(id_of(1))};
		char more[256], *driver = NULL;
		struct err e = {0};

		(void)snprintf(more, sizeof(more), "\"State\":{%s}", cases[i].json);
		const char *text = config(id_of(1), more);

		assert_int_equal(docker_parse_config(text, strlen(text), "f", &c, &driver, &e), 0);
		assert_string_equal(c.state, cases[i].want);
		assert_string_equal(c.config_json, text);
		free(driver);
		container_done(&c);
	}
}

/* What is wrong in config.v2.json. */
static void test_configs(void **state)
{
	static const struct {
		const char *more, *problem;
	} cases[] = {
		{"\"Name\":\"web\",\"Config\":{\"Labels\":null}", NULL},
		{"\"Name\":\"/\",\"Config\":null", NULL},
		{"\"Name\":\"/../x\"", "Name: is not"},
		{"\"Name\":\"..\"", "Name: is not"},
		{"\"Name\":\"a\\nb\"", "Name: is not"},
		{"\"Name\":5", "Name: has the wrong type"},
		{"\"State\":true", "State: has the wrong type"},
		{"\"State\":{\"Running\":\"yes\"}", "Running: has the wrong type"},
		{"\"Config\":{\"Labels\":[]}", "Labels: has the wrong type"},
		{"\"Config\":{\"Labels\":{\"a\":\"b\",\"c\":1}}", "Labels: a value is no string"},
		{"\"id\":\"x\"", "ID: given twice"},
		{"\"Driver\":\"x\"", "duplicate"},
		{"\"Name\":\"/w", ":1:"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct container c = {.id = strdup(id_of(1))};
		char *driver = NULL;
		struct err e = {0};
		const char *text = config(id_of(1), cases[i].more);
		int r = docker_parse_config(text, strlen(text), "f", &c, &driver, &e);

		if ((r == 0) != !cases[i].problem)
			fail_msg("%s: %d %s", text, r, e.text);
		if (r < 0 && !strstr(e.text, cases[i].problem))
			fail_msg("%s: %s", text, e.text);
		free(driver);
		container_done(&c);
	}
}

/* A NUL would cut the verbatim text. */
static void test_nul(void **state)
{
	static const char text[] = "{\"Driver\":\"devicemapper\"\0}";
	struct container c = {.id = strdup(id_of(1))};
	char *driver = NULL;
	struct err e = {0};

	(void)state;
	assert_int_equal(
		docker_parse_config(text, sizeof(text) - 1, "f", &c, &driver, &e), -EBADMSG);
	assert_string_equal(e.text, "f: NUL at byte 24");
	assert_null(c.config_json);
	assert_null(driver);
	container_done(&c);
}

static void test_truncated(void **state)
{
	struct suite *f = *state;

	put_old(f, 1, STATE, DEVICE);
	suite_text(f, "{\n\"ID\":\"11", "containers/%s/config.json", id_of(1));
	expect_problem(f, "/config.json:2:");
	assert_string_equal(f->list.items[0].id, id_of(1));
	assert_null(f->list.items[0].config_json);
}

static void test_wrong_id(void **state)
{
	struct suite *f = *state;

	put_old(f, 1, STATE, DEVICE);
	suite_text(f, config(id_of(2), STATE), "containers/%s/config.json", id_of(1));
	expect_problem(f, "ID: is not the one of its folder");
}

static void test_no_config(void **state)
{
	suite_text(*state, DEVICE, "devicemapper/metadata/%s", id_of(1));
	suite_text(*state, "x", "containers/%s/hostname", id_of(1));
	expect_problem(*state, "/config.v2.json: No such file");
}

static void test_no_record(void **state)
{
	struct suite *f = *state;

	put_new(f, "", 1, 2, STATE, DEVICE);
	suite_text(f, id_of(3), "image/devicemapper/layerdb/mounts/%s/mount-id", id_of(1));
	expect_problem(f, "devicemapper/metadata/3333");
}

static void test_mount_ids(void **state)
{
	static const char *const hostile[] = {"../../etc", "", "base", "\n", "/etc/passwd"};
	char hash[DOCKER_HASH_CAP], text[160];

	for (size_t i = 0; i < ARRAY_LEN(hostile); i++)
		assert_false(docker_parse_mount_id(hostile[i], strlen(hostile[i]), hash));
	(void)snprintf(text, sizeof(text), " %s-init\n", id_of(10));
	assert_true(docker_parse_mount_id(text, strlen(text), hash));
	assert_int_equal(strlen(hash), 69);
	(void)snprintf(text, sizeof(text), "%s-Init", id_of(10));
	assert_false(docker_parse_mount_id(text, strlen(text), hash));
	(void)snprintf(text, sizeof(text), "%s0", id_of(10));
	assert_false(docker_parse_mount_id(text, strlen(text), hash));
	text[0] = 'A';
	assert_false(docker_parse_mount_id(text, 64, hash));
	assert_false(docker_parse_mount_id(text, 63, hash));

	put_new(*state, "", 1, 2, STATE, DEVICE);
	suite_text(*state, "../../etc", "image/devicemapper/layerdb/mounts/%s/mount-id", id_of(1));
	expect_problem(*state, "/mount-id: not a mount id");
}

/* Other drivers and other names are skipped, each with a note. */
static void test_skipped(void **state)
{
	struct suite *f = *state;

	put_new(f, "", 1, 2, STATE, DEVICE);
	suite_text(f, "{\"Driver\":\"overlay2\",\"Name\":7}", "containers/%s/config.v2.json",
		id_of(3));
	suite_text(f, "x", "containers/lost+found/x");
	suite_text(f, "x", "containers/\x1b[31m/x");
	suite_text(f, "{}", "containers/%.12s/config.v2.json", id_of(4));
	list(f, 1, 0);
	assert_int_equal(f->ret, 0);
	suite_expect_notes(f, 4, "skipped: its storage driver is 'overlay2'");
	assert_null(strchr(f->notes.data, '\x1b'));
}

static void test_hostconfig(void **state)
{
	struct suite *f = *state;

	put_new(f, "", 1, 2, STATE, DEVICE);
	suite_text(f, "{\"Binds\":", "containers/%s/hostconfig.json", id_of(1));
	list(f, 1, 0);
	assert_null(f->list.items[0].hostconfig_json);
	suite_expect_notes(f, 1, "archived without it");
}

static void test_userns(void **state)
{
	struct suite *f = *state;

	put_new(f, "231072.231072/", 1, 2, STATE, DEVICE);
	suite_text(f, "x", "1000.1000/overlay2/x");
	list(f, 1, 0);
	assert_int_equal(f->ret, 0);
	suite_expect_notes(f, 1, "231072.231072: read as");

	put_new(f, "", 3, 4, STATE, DEVICE);
	container_list_done(&f->list);
	list(f, 2, 0);
	assert_int_equal(f->ret, 0);
}

static void test_not_docker(void **state)
{
	struct suite *f = *state;

	list(f, 0, 0);
	assert_int_equal(f->ret, -ENOENT);
	assert_int_equal(f->e.kind, ERR_STORE);
	suite_text(f, "{\"Driver\":\"overlay2\"}", "containers/%s/config.v2.json", id_of(3));
	list(f, 0, 0);
	assert_int_equal(f->ret, -ENOENT);
	suite_text(f, "x", "devicemapper/x");
	list(f, 0, 0);
	assert_int_equal(f->ret, 0);
}

static void test_daemon(void **state)
{
	static const struct {
		const char *json, *root, *thinpool, *data;
		int ret;
	} cases[] = {
		{"{}", NULL, NULL, NULL, 0},
		{"{\"data-root\":\"/d\",\"graph\":\"/g\"}", "/d", NULL, NULL, 0},
		{"{\"storage-opts\":[\"dm.thinpooldev=/dev/mapper/"
		 "vg-p\",\"dm.fs=xfs\",\"\",\"=\"]}",
			NULL, "vg-p", NULL, 0},
		{"{\"storage-opts\":[\" DM.ThinPoolDev = vg-p \"]}", NULL, "vg-p", NULL, 0},
		{"{\"storage-opts\":[\"dm.thinpooldev=/dev/vg/p\"]}", NULL, NULL, NULL, -EBADMSG},
		{"{\"storage-opts\":[\"dm.datadev=/dev/sdb\"]}", NULL, NULL, "/dev/sdb", 0},
		{"{\"storage-opts\":[\"dm.datadev=sdb\"]}", NULL, NULL, NULL, -EBADMSG},
		{"{\"storage-opts\":[5]}", NULL, NULL, NULL, -EBADMSG},
		{"{\"storage-opts\":\"x\"}", NULL, NULL, NULL, -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct docker_daemon d = {0};
		struct err e = {0};

		assert_int_equal(
			docker_parse_daemon(cases[i].json, strlen(cases[i].json), "f", &d, &e),
			cases[i].ret);
		assert_string_equal(d.root ? d.root : "", cases[i].root ? cases[i].root : "");
		assert_string_equal(
			d.thinpool ? d.thinpool : "", cases[i].thinpool ? cases[i].thinpool : "");
		assert_string_equal(d.datadev ? d.datadev : "", cases[i].data ? cases[i].data : "");
		docker_daemon_done(&d);
	}
}

static void options_of_a_command_line(void **state)
{
	static const struct {
		const char *text, *value;
	} t[] = {{"dockerd\0--storage-opt\0dm.thinpooldev=/dev/mapper/a-b\0-H\0x",
			 "/dev/mapper/a-b"},
		{"OPTIONS=\"--storage-opt dm.thinpooldev=p \"\n", "p"},
		{"--storage-opt=dm.thinpooldev=q", "q"}, {"dm.thinpooldev=", NULL},
		{"dm.thinpooldev= x", NULL}, {"dm.thinpooldevice=x", NULL}, {"", NULL},
		{"dm.thinpooldev=123456789012345678", NULL}};
	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char out[16];
		size_t len = i == 0 ? 54 : strlen(t[i].text);
		bool r = docker_find_option(t[i].text, len, "dm.thinpooldev=", out, sizeof(out));

		assert_int_equal(r, t[i].value != NULL);
		if (r)
			assert_string_equal(out, t[i].value);
	}
}

/* The older layout for every other one, so that both have to pass. */
static void write_specs(const struct suite *f, const struct suite_spec *specs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct suite_spec *x = &specs[i];
		char record[128], more[256];

		(void)snprintf(record, sizeof(record), "{\"device_id\":%lld,\"size\":%lld%s",
			x->thin_id, x->size_bytes, x->kind == SUITE_BROKEN ? "" : "}");
		(void)snprintf(more, sizeof(more), STATE ",\"Name\":\"/%s%u\"",
			x->kind == SUITE_HOSTILE ? "../\\u001b[31m" : "web", x->n);
		if (x->n % 2)
			put_new(f, "", x->n, x->n, more, record);
		else
			put_old(f, x->n, more, record);
	}
}

int main(void)
{
	static const struct suite_fixture fixture = {.ops = &store_docker, .write = write_specs};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_of_a_command_line),
		SUITE_TEST(test_new),
		SUITE_TEST(test_old),
		SUITE_TEST(test_setup),
		SUITE_TEST(test_records),
		SUITE_TEST(test_states),
		SUITE_TEST(test_configs),
		SUITE_TEST(test_nul),
		SUITE_TEST(test_truncated),
		SUITE_TEST(test_wrong_id),
		SUITE_TEST(test_no_config),
		SUITE_TEST(test_no_record),
		SUITE_TEST(test_mount_ids),
		SUITE_TEST(test_skipped),
		SUITE_TEST(test_hostconfig),
		SUITE_TEST(test_userns),
		SUITE_TEST(test_not_docker),
		SUITE_TEST(test_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) + suite_run(&fixture);
}
