/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "json.h"
#include "manifest.h"

static char s_store[] = "docker", s_id[] = "abc", s_key[] = "k\xff", s_value[] = "v";
static char s_config[] = "{\"b\": 1, \"a\": [2]}", s_broken[] = "{no";

static json_t *make(const struct trouble *t, struct strbuf *out)
{
	struct label label = {s_key, s_value};
	struct container c = {.store = s_store,
		.id = s_id,
		.labels = &label,
		.label_count = 1,
		.config_json = s_config,
		.hostconfig_json = s_broken,
		.size_bytes = 10};
	struct manifest m = {.container = &c,
		.job = "j",
		.created = "2026-11-25T02:00:00Z",
		.archive = "x.tar.zst",
		.pool_time = -1,
		.file_bytes = 5,
		.entries = 7,
		.sha256 = "00",
		.was_active = true,
		.window_ms = 1.5,
		.trouble = t};
	struct err e = {0};
	json_t *j = NULL;

	assert_int_equal(manifest_write(&m, out, &e), 0);
	assert_int_equal(out->data[out->len - 1], '\n');
	assert_int_equal(json_parse_object(out->data, out->len, "m", &j, &e), 0);
	return j;
}

static void test_complete(void **state)
{
	AUTO_STRBUF one = {0};
	AUTO_STRBUF two = {0};
	struct trouble none = {0};
	AUTO_JSON *a = make(NULL, &one);
	AUTO_JSON *b = make(&none, &two);

	(void)state;
	assert_string_equal(one.data, two.data);
	assert_true(json_equal(a, b));
	assert_string_equal(json_str(a, "format"), "thinark-manifest");
	assert_string_equal(json_str(a, "program"), THINARK_VERSION);
	assert_true(json_is_null(json_object_get(a, "hostname")));
	assert_true(json_is_true(json_object_get(a, "complete")));
	const json_t *c = json_object_get(a, "container");
	assert_int_equal(json_array_size(json_object_get(json_object_get(c, "config"), "a")), 1);
	assert_string_equal(json_str(c, "hostconfig"), "{no");
	assert_string_equal(json_str(json_object_get(c, "labels"), "k\xef\xbf\xbd"), "v");
	const json_t *s = json_object_get(a, "snapshot");
	assert_true(json_is_null(json_object_get(s, "pool_time")));
	assert_int_equal(json_integer_value(json_object_get(s, "size_bytes")), 10);
	assert_true(json_is_true(json_object_get(s, "was_active")));
	const json_t *n = json_object_get(a, "counts");
	assert_int_equal(json_integer_value(json_object_get(n, "entries")), 7);
	/* The order of keys is part of the format. */
	assert_true(strstr(one.data, "\"archive\"") < strstr(one.data, "\"container\""));
}

static void test_unreadable(void **state)
{
	AUTO_STRBUF out = {0};
	struct trouble t = {0};

	(void)state;
	trouble_add(&t, "a/b", "read", EIO);
	trouble_add(&t, "bad\xff", "open", EUCLEAN);
	trouble_add(&t, "\xff", "open", ENOENT);
	AUTO_JSON *j = make(&t, &out);
	assert_true(json_is_false(json_object_get(j, "complete")));
	assert_int_equal(json_integer_value(json_object_get(j, "unreadable_count")), 3);
	const json_t *list = json_object_get(j, "unreadable");
	assert_int_equal(json_array_size(list), 3);
	const json_t *first = json_array_get(list, 0), *second = json_array_get(list, 1);
	assert_string_equal(json_str(first, "path"), "a/b");
	assert_string_equal(json_str(first, "error"), strerror(EIO));
	assert_null(json_object_get(first, "path_b64"));
	assert_string_equal(json_str(second, "path"), "bad\xef\xbf\xbd");
	assert_string_equal(json_str(second, "path_b64"), "YmFk/w==");
	assert_string_equal(json_str(json_array_get(list, 2), "path_b64"), "/w==");
	trouble_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
