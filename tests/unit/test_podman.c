/* SPDX-License-Identifier: Apache-2.0 */
/* The store of containers/storage against made folders. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <cmocka.h>

#include "bolt_writer.h"
#include "podman_record.h"
#include "scope.h"
#include "store_suite.h"

#define CONTAINERS "devicemapper-containers/containers.json"

static const char *id_of(unsigned n)
{
	static char text[4][65];
	static unsigned next;
	char *id = text[next++ % 4];

	(void)snprintf(id, 65, "%064x", n + 0x10);
	return id;
}

static const char *layer_of(unsigned n)
{
	static char text[65];

	(void)snprintf(text, sizeof(text), "%064x", n + 0xa000);
	return text;
}

static int by_number(const void *pa, const void *pb)
{
	const unsigned a = *(const unsigned *)pa, b = *(const unsigned *)pb;

	return a < b ? -1 : a > b;
}

/* States 1, 2 ... 8 by number; every container has a label. */
static void write_states(const struct suite *f, const struct suite_spec *specs, size_t count)
{
	unsigned order[32];
	struct bolt_writer w;
	size_t len;
	char text[64];

	assert_true(count <= ARRAY_LEN(order));
	for (size_t i = 0; i < count; i++)
		order[i] = specs[i].n;
	qsort(order, count, sizeof(order[0]), by_number);
	writer_begin(&w);
	writer_enter(&w, "ctr");
	for (size_t i = 0; i < count; i++) {
		writer_enter(&w, id_of(order[i]));
		writer_text(&w, "config", "{\"name\":\"x\",\"labels\":{\"role\":\"front\"}}");
		(void)snprintf(text, sizeof(text), "{\"state\":%u}", order[i] % 8 + 1);
		writer_text(&w, "state", text);
		writer_leave(&w, false);
	}
	writer_leave(&w, false);
	AUTO_FREE uint8_t *data = writer_end(&w, &len);
	suite_put(f, data, len, "libpod/bolt_state.db");
}

static void write_all(const struct suite *f, const struct suite_spec *specs, size_t count)
{
	AUTO_STRBUF all = {0};

	strbuf_puts(&all, "[");
	for (size_t i = 0; i < count; i++) {
		const struct suite_spec *x = &specs[i];
		char text[300];

		strbuf_printf(&all, "%s{\"id\":\"%s\",\"names\":[", i ? "," : "", id_of(x->n));
		if (x->kind == SUITE_HOSTILE)
			strbuf_json(&all, "../\x1b[2J\n");
		else
			strbuf_printf(&all, "\"ct-%02u\"", x->n);
		strbuf_printf(&all,
			"],\"image\":\"%064x\",\"layer\":\"%s\",\"metadata\":\"{\\\"image-name\\\":"
			"\\\"example.org/busybox:1\\\"}\",\"created\":\"2026-11-25T12:00:00Z\"}",
			0xb0, layer_of(x->n));
		(void)snprintf(text, sizeof(text),
			"{\"device_id\":%lld,\"size\":%lld,\"transaction_id\":3,\"initialized\":"
			"true,\"deleted\":false%s",
			x->thin_id, x->size_bytes, x->kind == SUITE_BROKEN ? "" : "}");
		suite_text(f, text, "devicemapper/metadata/%s", layer_of(x->n));
		suite_text(f, "{\"ociVersion\":\"1.0.2\"}",
			"devicemapper-containers/%s/userdata/config.json", id_of(x->n));
	}
	strbuf_puts(&all, "]");
	suite_put(f, all.data, all.len, CONTAINERS);
	write_states(f, specs, count);
}

static void one_is_whole(void **state)
{
	struct suite *f = *state;
	const struct suite_spec spec = {.n = 2, .thin_id = 9, .size_bytes = 4096};
	char prefix[128], name[256];
	struct stat st;

	write_all(f, &spec, 1);
	suite_list(f, store_find("podman"), NULL);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, 1);
	const struct container *c = &f->list.items[0];
	assert_null(c->problem);
	assert_string_equal(c->name, "ct-02");
	assert_string_equal(c->id, id_of(2));
	assert_string_equal(c->image, "example.org/busybox:1");
	assert_string_equal(c->state, "running");
	assert_string_equal(c->subdir, "rootfs");
	assert_string_equal(container_label(c, "role"), "front");
	assert_string_equal(c->hostconfig_json, "{\"ociVersion\":\"1.0.2\"}");
	assert_non_null(strstr(c->config_json, "\"created\":\"2026-11-25T12:00:00Z\""));
	assert_int_equal(c->thin_id, 9);
	assert_int_equal(c->size_bytes, 4096);
	assert_string_equal(c->pool.dm_name, "storage-thinpool");
	assert_int_equal(stat(suite_place(f, "devicemapper"), &st), 0);
	(void)snprintf(prefix, sizeof(prefix), "container-%u:%u-%llu", major(st.st_dev),
		minor(st.st_dev), (unsigned long long)st.st_ino);
	(void)snprintf(name, sizeof(name), "%s-%s", prefix, layer_of(2));
	assert_string_equal(c->pool.device_name, name);
	/* Over loop files it is called after the folder. */
	suite_text(f, "", "devicemapper/devicemapper/data");
	suite_list(f, store_find("podman"), NULL);
	(void)snprintf(name, sizeof(name), "%s-pool", prefix);
	assert_string_equal(f->list.items[0].pool.dm_name, name);
	suite_list(f, store_find("podman"), "mine");
	assert_string_equal(f->list.items[0].pool.dm_name, "mine");
}

/* CRI-O: the sandbox is none, the others are called as their log files are. */
static void pods(void **state)
{
	static const char format[] =
		"[{\"id\":\"%s\",\"names\":[\"k8s_POD_shop-0_prod_1_0\"],\"layer\":\"%s\","
		"\"metadata\":\"{\\\"pod\\\":true}\"},"
		"{\"id\":\"%s\",\"names\":[\"k8s_app_shop-0_prod_1_0\"],\"layer\":\"%s\","
		"\"metadata\":\"{\\\"pod-name\\\":\\\"shop-0\\\",\\\"namespace\\\":\\\"prod\\\","
		"\\\"metadata-name\\\":\\\"app\\\"}\"}]";
	struct suite *f = *state;
	const struct suite_spec specs[] = {{.n = 1, .thin_id = 4, .size_bytes = 512},
		{.n = 2, .thin_id = 5, .size_bytes = 512}};
	char text[1024], layer[65];

	write_all(f, specs, 2);
	(void)strcpy(layer, layer_of(1));
	(void)snprintf(text, sizeof(text), format, id_of(1), layer, id_of(2), layer_of(2));
	suite_text(f, text, CONTAINERS);
	assert_int_equal(remove(suite_place(f, "libpod/bolt_state.db")), 0);
	suite_list(f, store_find("podman"), NULL);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, 1);
	const struct container *c = &f->list.items[0];
	assert_null(c->problem);
	assert_string_equal(c->name, "prod_shop-0_app");
	assert_string_equal(container_label(c, "io.kubernetes.pod.name"), "shop-0");
	assert_string_equal(container_label(c, "io.kubernetes.pod.namespace"), "prod");
	assert_null(c->state);
	suite_expect_notes(f, 0, NULL);
}

static void damage(void **state)
{
	static const struct {
		const char *text, *part;
	} rows[] = {{"", "containers.json:1:"}, {"{}", "a JSON array is expected"},
		{"[1]", "item 0 is no object"}, {"[{\"id\":\"a\",\"id\":\"b\"}]", "duplicate"},
		{"[", "containers.json:1:"}};
	static const char *const records[] = {"[{}]", "[{\"id\":7,\"layer\":7}]",
		"[{\"id\":\"../x\",\"names\":[\"web\"],\"layer\":\"..\"}]",
		"[{\"id\":\"\\u001b\",\"names\":7,\"layer\":null,\"metadata\":\"{\"}]"};
	struct suite *f = *state;
	const struct suite_spec spec = {.n = 2, .thin_id = 9, .size_bytes = 4096};

	write_all(f, &spec, 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		suite_text(f, rows[i].text, CONTAINERS);
		suite_list(f, store_find("podman"), NULL);
		assert_true(f->ret < 0);
		assert_int_equal(f->e.kind, ERR_STORE);
		if (!strstr(f->e.text, rows[i].part))
			fail_msg("'%s' lacks '%s'", f->e.text, rows[i].part);
	}
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		suite_text(f, records[i], CONTAINERS);
		suite_list(f, store_find("podman"), NULL);
		suite_expect_problem(f, "' is not one");
	}
	write_all(f, &spec, 1);
	suite_text(f, "no database", "libpod/bolt_state.db");
	suite_list(f, store_find("podman"), NULL);
	assert_int_equal(f->ret, 0);
	assert_int_equal(suite_problems(f), 0);
	suite_expect_notes(f, 1, "states are not known");
}

int main(void)
{
	struct suite_fixture fixture = {.write = write_all};
	const struct CMUnitTest tests[] = {
		SUITE_TEST(one_is_whole),
		SUITE_TEST(pods),
		SUITE_TEST(damage),
	};

	fixture.ops = store_find("podman");
	int r = suite_run(&fixture);
	return r + cmocka_run_group_tests(tests, NULL, NULL);
}
