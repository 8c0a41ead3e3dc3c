/* SPDX-License-Identifier: Apache-2.0 */
/* Which containers a job selects, and archive names for kind and for hostile containers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "plan.h"
#include "scope.h"

static char id[] = "0123abcdef"
		   "0123456789012345678901234567890123456789012345678901"
		   "ff";
static struct label labels[] = {{"backup", "off"}, {"com.example/app", "web-1"},
	{"io.kubernetes.pod.name", "shop-0"}, {"io.kubernetes.pod.namespace", "prod"}};

static struct container make(char *name)
{
	return (struct container){.store = (char[]){"docker"}, .name = name};
}

static void matching(void **state)
{
	(void)state;
	static const struct {
		const char *pattern;
		bool want;
	} rows[] = {
		{"web", true},
		{"we", false},
		{"w*", true},
		{"*", true},
		{"[uvw]eb", true},
		{"Web", false},
		{"0123ab", true},
		{"0123AB", true},
		{"0123a", false},
		{"0123ac", false},
		{"label:backup", true},
		{"label:backup=off", true},
		{"label:backup=o*", true},
		{"label:backup=on", false},
		{"label:back", false},
		{"label:com.example/app=web-?", true},
		{"state:running", true},
		{"state:exited", false},
		{"pod:shop-0", true},
		{"pod:shop-*", true},
		{"pod:shop", false},
		{"namespace:prod", true},
		{"namespace:k8s.io", true},
		{"namespace:k8s.*", true},
		{"namespace:default", false},
		{"namespace:pro", false},
		{"", false},
	};
	char name[] = "web", running[] = "running", space[] = "k8s.io";
	struct container c = make(name);

	c.id = id;
	c.state = running;
	c.namespace = space;
	c.labels = labels;
	c.label_count = ARRAY_LEN(labels);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (plan_matches(rows[i].pattern, &c) != rows[i].want)
			fail_msg("pattern '%s'", rows[i].pattern);
}

static void selecting(void **state)
{
	(void)state;
	char docker[] = "docker", all[] = "*", tmp[] = "*-tmp", web[] = "web", webtmp[] = "web-tmp";
	char other[] = "other";
	char *stores[] = {docker}, *want[] = {all}, *not [] = {tmp};
	struct cfg_job job = {
		.stores = {stores, 1}, .containers = {want, 1}, .exclude_containers = {not, 1}};
	struct container c = {.store = docker, .name = web};

	assert_true(plan_selects(&job, &c));
	c.name = webtmp;
	assert_false(plan_selects(&job, &c));
	c.name = NULL;
	assert_true(plan_selects(&job, &c));
	c.store = other;
	assert_false(plan_selects(&job, &c));
	c.store = NULL;
	assert_false(plan_selects(&job, &c));
}

static void formats(void **state)
{
	(void)state;
	static const struct {
		const char *format;
		bool good;
	} rows[] = {
		{"{container}/{time}", true},
		{"{store}/{job}-{hostname}/{id}.{time}", true},
		{"{time}", true},
		{"", false},
		{"{container}", false},
		{"/{time}", false},
		{"{time}/", false},
		{"a//{time}", false},
		{"../{time}", false},
		{"./{time}", false},
		{".{time}", false},
		{"{time", false},
		{"time}", false},
		{"{{time}}", false},
		{"{}{time}", false},
		{"{Time}", false},
		{"{user}{time}", false},
		{"a\n{time}", false},
		{"\xc3\xa4{time}", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char reason[256] = "";
		int r = naming_check(rows[i].format, reason, sizeof(reason));

		if ((r == 0) != rows[i].good || (r < 0) != (reason[0] != '\0'))
			fail_msg("format '%s': %d '%s'", rows[i].format, r, reason);
	}
}

static void expanding(void **state)
{
	(void)state;
	static const struct {
		const char *name, *want;
	} rows[] = {
		{"web", "web/2026-11-25T020000Z"},
		{"..", "%2E./2026-11-25T020000Z"},
		{".", "%2E/2026-11-25T020000Z"},
		{"a/b", "a%2Fb/2026-11-25T020000Z"},
		{"../../etc", "%2E.%2F..%2Fetc/2026-11-25T020000Z"},
		{"a\n\x1b\x7f", "a%0A%1B%7F/2026-11-25T020000Z"},
		{"\xc3\xa4", "%C3%A4/2026-11-25T020000Z"},
		{"50%", "50%25/2026-11-25T020000Z"},
		{"{time}", "{time}/2026-11-25T020000Z"},
		{"", "_/2026-11-25T020000Z"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *name = strdup(rows[i].name);
		AUTO_FREE char *path = NULL;
		struct container c = make(name);
		struct naming n = {.job = "j", .container = &c, .time = 1795572000};
		struct err e = {0};

		assert_int_equal(naming_expand("{container}/{time}", &n, &path, &e), 0);
		assert_string_equal(path, rows[i].want);
	}
}

static void long_names(void **state)
{
	(void)state;
	char name[301];
	char *path = NULL;
	struct container c = make(name);
	struct naming n = {.container = &c};
	struct err e = {0};

	memset(name, 'a', 300);
	name[300] = '\0';
	assert_int_equal(naming_expand("{container}/{time}", &n, &path, &e), -ENAMETOOLONG);
	assert_null(path);
	assert_non_null(strstr(e.text, "247"));
	name[248] = '\0';
	assert_true(naming_expand("{container}/{time}", &n, &path, &e) < 0);
	name[247] = '\0';
	assert_int_equal(naming_expand("{container}/{time}", &n, &path, &e), 0);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matching),
		cmocka_unit_test(selecting),
		cmocka_unit_test(formats),
		cmocka_unit_test(expanding),
		cmocka_unit_test(long_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
