/* SPDX-License-Identifier: Apache-2.0 */
/* LVM's report, what its programs are asked to do, and the store on it, with made programs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "lvm.h"
#include "program.h"
#include "scope.h"
#include "store.h"
#include "str.h"

#define FROM(vg, name, type, attr, pool, id, size, tags, health, origin)                           \
	"{\"vg_name\":\"" vg "\",\"lv_name\":\"" name "\",\"lv_uuid\":\"u-" name "\","             \
	"\"lv_attr\":\"" attr "\",\"segtype\":\"" type "\",\"pool_lv\":\"" pool "\","              \
	"\"thin_id\":\"" id "\",\"lv_size\":\"" size "\",\"lv_tags\":\"" tags "\","                \
	"\"lv_health_status\":\"" health "\",\"origin\":\"" origin "\"}"
#define LV(vg, name, type, attr, pool, id, size, tags, health)                                     \
	FROM(vg, name, type, attr, pool, id, size, tags, health, "")
#define THIN(vg, name, id, size, tags)                                                             \
	LV(vg, name, "thin", "Vwi-a-tz--", "po-ol", id, size, tags, "")
#define SNAP(name, pool, origin)                                                                   \
	FROM("vg", name, "thin", "Vwi-a-tz--", pool, "1", "512", "", "", origin)
#define REPORT(lvs) "{\"report\":[{\"lv\":[" lvs "]}],\"log\":[]}"

static const char whole[] = REPORT(THIN("vg-0", "web", "1", "1048576", "") "," LV("vg-0", "open",
	"thin", "Vwi-aotz--", "po-ol", "16777215", "512", "a,backup",
	"") "," LV("vg-0", "po-ol", "thin-pool", "twi-aotz--", "", "", "4096", "backup",
	"") "," LV("vg1", "plain", "linear", "-wi-a-----", "", "", "4096", "", "") "," THIN("vg1",
	"web", "7", "512", "backup") "," THIN("vg-0", "thinark_01", "9", "512",
	"x,thinark,y") "," THIN("vg-0", "thinark_02", "10", "512", "thinark2") "," THIN("vg-0",
	"big-id", "16777216", "512", "bad") "," THIN("vg-0", "odd", "3", "511",
	"bad") "," LV("vg-0", "sick", "thin", "Vwi-a-tz--", "po-ol", "4", "512", "bad", "failed"));

static struct {
	const char *report;
	int lvs_code, change_code;
	enum program_end end;
	char argv[1024]; /* of the last change */
	size_t changes;
	int keep;
} fake;

int __wrap_program_run(const struct program *s, struct program_result *ret, struct err *e);
int __wrap_program_run(const struct program *s, struct program_result *ret, struct err *e)
{
	const bool is_lvs = strcmp(s->argv[1], "lvs") == 0;
	size_t at = 0;

	(void)e;
	*ret = (struct program_result){.end = PROGRAM_EXITED, .code = fake.lvs_code};
	if (is_lvs && !fake.lvs_code)
		assert_int_equal(
			write(s->keep, fake.report, strlen(fake.report)), strlen(fake.report));
	if (!is_lvs) {
		for (size_t i = 1; s->argv[i]; i++)
			at += (size_t)snprintf(fake.argv + at, sizeof(fake.argv) - at, "%s%s",
				i > 1 ? " " : "", s->argv[i]);
		*ret = (struct program_result){.end = fake.end, .code = fake.change_code};
		fake.changes++;
		fake.keep = s->keep;
	}
	s->line(s->arg, "  WARNING: of no account", 24);
	s->line(s->arg, "  the reason\x1b", 13);
	return 0;
}

static void reset(const char *report)
{
	memset(&fake, 0, sizeof(fake));
	fake.report = report;
}

static void reports_are_parsed(void **state)
{
	static const char *const bad[] = {"", "{", "[]", "{}", "{\"report\":[]}",
		"{\"report\":[{\"lv\":{}}]}", REPORT("{}"), REPORT("1"),
		REPORT(THIN("", "web", "1", "512", "")), REPORT(THIN("a/b", "web", "1", "512", "")),
		REPORT(THIN("-a", "web", "1", "512", "")), REPORT(THIN("vg", "..", "1", "512", "")),
		REPORT(THIN("vg", "we b", "1", "512", ""))};
	struct lvm_list l = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(lvm_parse(whole, strlen(whole), "lvs", &l, &e), 0);
	assert_int_equal(l.count, 10);
	const struct lvm_lv *v = lvm_in_list(&l, "vg-0", "open");
	assert_string_equal(v->pool, "po-ol");
	assert_string_equal(v->uuid, "u-open");
	assert_int_equal(v->thin_id, 16777215);
	assert_int_equal(v->size_bytes, 512);
	assert_true(v->is_thin && v->is_open && !v->problem);
	assert_true(lvm_has_tag(v, "a") && lvm_has_tag(v, "backup") && !lvm_has_tag(v, "back"));
	assert_false(lvm_in_list(&l, "vg-0", "web")->is_open);
	assert_false(lvm_in_list(&l, "vg1", "plain")->is_thin);
	assert_null(lvm_in_list(&l, "vg1", "open"));
	assert_true(lvm_is_ours(lvm_in_list(&l, "vg-0", "thinark_01")));
	assert_false(lvm_is_ours(lvm_in_list(&l, "vg-0", "thinark_02")));
	assert_non_null(strstr(lvm_in_list(&l, "vg-0", "big-id")->problem, "thin id"));
	assert_non_null(strstr(lvm_in_list(&l, "vg-0", "odd")->problem, "size"));
	assert_non_null(strstr(lvm_in_list(&l, "vg-0", "sick")->problem, "damaged"));
	lvm_list_done(&l);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(lvm_parse(bad[i], strlen(bad[i]), "lvs", &l, &e) < 0);
		assert_int_equal(e.kind, ERR_STORE);
		assert_non_null(strstr(e.text, "lvs"));
	}
}

/* What is not mapped of these is not in their pool. */
static void external_origins(void **state)
{
	static const char text[] = REPORT(SNAP("a", "p", "") "," SNAP("b", "p", "a") "," SNAP(
		"c", "p", "b") "," SNAP("x1", "p", "plain") "," SNAP("x2", "p", "x1") "," SNAP("x3",
		"q", "a") "," SNAP("x4", "p", "gone") "," SNAP("x5", "p", "x5") "," LV("vg",
		"plain", "linear", "-ri-------", "", "", "4096", "", ""));
	struct lvm_list l = {0};
	struct err e = {0};
	size_t external = 0;

	(void)state;
	assert_int_equal(lvm_parse(text, strlen(text), "lvs", &l, &e), 0);
	for (size_t i = 0; i < l.count; i++) {
		const char *why = l.items[i].problem;

		if (!why != (l.items[i].name[0] != 'x') || (why && !strstr(why, "external origin")))
			fail_msg("%s: %s", l.items[i].name, why ? why : "no problem");
		external += why != NULL;
	}
	assert_int_equal(external, 5);
	lvm_list_done(&l);
}

static void names(void **state)
{
	static const char *const good[] = {"a", "vg-0", "a.b", "_x", "+", "vm-100-disk-0"};
	static const char *const bad[] = {
		"", "-a", ".", "..", "a/b", "a b", "a;b", "a\n", "\xc3\xa4"};
	char name[LVM_NAME_MAX + 1], out[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(lvm_is_name(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(lvm_is_name(bad[i]));
	memset(name, 'a', sizeof(name));
	name[LVM_NAME_MAX] = '\0';
	assert_false(lvm_is_name(name));
	name[LVM_NAME_MAX - 1] = '\0';
	assert_true(lvm_is_name(name));
	assert_true(lvm_is_full_name("vg/lv"));
	assert_false(lvm_is_full_name("vg") || lvm_is_full_name("/lv") || lvm_is_full_name("vg/") ||
		     lvm_is_full_name("a/b/c") || lvm_is_full_name("vg/-f"));
	assert_string_equal(lvm_name("vg/lv"), "lv");
	assert_true(lvm_dm_name("vg0", "vm-100-disk-0", "", out, sizeof(out)));
	assert_string_equal(out, "vg0-vm--100--disk--0");
	assert_true(lvm_dm_name("v-g", "p", "-tpool", out, sizeof(out)));
	assert_string_equal(out, "v--g-p-tpool");
	for (size_t size = 1; size < 13; size++)
		assert_false(lvm_dm_name("v-g", "p", "-tpool", out, size));
	assert_true(lvm_dm_name("v-g", "p", "-tpool", out, 13));
}

static void snapshots(void **state)
{
	struct err e = {0};
	bool was_killed = true;

	(void)state;
	reset(whole);
	assert_int_equal(lvm_snapshot("vg-0/web", "vg-0/thinark_x", 5, &was_killed, &e), 0);
	assert_string_equal(fake.argv,
		"lvcreate --snapshot --name thinark_x --activate n --setactivationskip y "
		"--permission r --addtag thinark --noudevsync --yes vg-0/web");
	assert_int_equal(fake.keep, 5);
	assert_false(was_killed);
	fake.change_code = 5;
	assert_int_equal(lvm_snapshot("vg-0/web", "vg-0/thinark_x", 5, &was_killed, &e), -EIO);
	assert_string_equal(e.text, "'lvm lvcreate': exit code 5: the reason\\x1b");
	assert_false(was_killed);
	fake.end = PROGRAM_TIMED_OUT;
	assert_true(lvm_snapshot("vg-0/web", "vg-0/thinark_x", 5, &was_killed, &e) < 0);
	assert_true(was_killed);
	assert_int_equal(fake.changes, 3);
	assert_true(lvm_snapshot("vg-0/-f", "vg-0/thinark_x", 5, &was_killed, &e) < 0);
	assert_true(lvm_snapshot("vg-0/web", "--force", 5, &was_killed, &e) < 0);
	assert_int_equal(fake.changes, 3);
}

/* What is not ours, or cannot be seen now, is never removed. */
static void removals(void **state)
{
	static const struct {
		const char *name;
		int ret;
		size_t changes;
	} rows[] = {{"vg-0/thinark_01", 0, 1}, {"vg-0/thinark_02", -EPERM, 0},
		{"vg-0/web", -EPERM, 0}, {"vg-0/po-ol", -EPERM, 0}, {"vg-0/thinark_99", 0, 0},
		{"gone/thinark_01", -ENOENT, 0}, {"vg1/thinark_01", 0, 0},
		{"vg-0/--all", -EINVAL, 0}, {"vg-0", -EINVAL, 0}};
	struct err e = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		reset(whole);
		int r = lvm_remove(rows[i].name, 5, &e);

		if (r != rows[i].ret || fake.changes != rows[i].changes)
			fail_msg("%s: %d, %zu changes", rows[i].name, r, fake.changes);
		assert_true(r == 0 || e.kind == ERR_LEFTOVER);
		if (fake.changes)
			assert_string_equal(
				fake.argv, "lvremove --yes --noudevsync vg-0/thinark_01");
	}
	reset(whole);
	fake.lvs_code = 5;
	assert_int_equal(lvm_remove("vg-0/thinark_01", 5, &e), -EIO);
	assert_int_equal(e.kind, ERR_LEFTOVER);
	assert_int_equal(fake.changes, 0);
	reset(whole);
	fake.change_code = 5;
	assert_int_equal(lvm_remove("vg-0/thinark_01", 5, &e), -EIO);
	assert_int_equal(e.kind, ERR_LEFTOVER);
}

static char *list(const char *const *patterns, size_t count, struct strbuf *notes)
{
	const struct cfg_store cfg = {.name = (char *)"s",
		.type = (char *)"lvm",
		.logical_volumes = {(char **)(void *)patterns, count}};
	struct container_list l = {0};
	struct strbuf b = {0};
	struct err e = {0};

	assert_int_equal(store_find("lvm")->list(&cfg, &l, notes, &e), 0);
	strbuf_puts(&b, "");
	for (size_t i = 0; i < l.count; i++) {
		const struct container *c = &l.items[i];

		assert_string_equal(c->store, "s");
		strbuf_printf(&b, "%s", c->name);
		if (c->problem)
			strbuf_printf(&b, "(%s)", c->problem);
		else
			strbuf_printf(&b, "(%s %s %s %s %u %llu %zu)", c->lv, c->id,
				c->pool.dm_name, c->state, c->thin_id,
				(unsigned long long)c->size_bytes, c->label_count);
		strbuf_puts(&b, " ");
	}
	container_list_done(&l);
	return b.data;
}

static void volumes_are_selected(void **state)
{
	static const struct {
		const char *patterns[2], *want;
		const char *note;
	} rows[] = {
		{{"vg-0/web"}, "vg-0_web(vg-0/web u-web vg--0-po--ol-tpool stopped 1 1048576 0) ",
			NULL},
		{{"@backup"},
			"vg-0_open(vg-0/open u-open vg--0-po--ol-tpool running 16777215 512 2) "
			"vg1_web(vg1/web u-web vg1-po--ol-tpool stopped 7 512 1) ",
			NULL},
		{{"*/web", "vg1/web"},
			"vg-0_web(vg-0/web u-web vg--0-po--ol-tpool stopped 1 1048576 0) "
			"vg1_web(vg1/web u-web vg1-po--ol-tpool stopped 7 512 1) ",
			NULL},
		{{"vg-0/thinark_*"},
			"vg-0_thinark_02(vg-0/thinark_02 u-thinark_02 vg--0-po--ol-tpool stopped "
			"10 512 1) ",
			NULL},
		{{"@bad"},
			"vg-0_big-id(lvm: 'vg-0/big-id': its thin id is out of range) "
			"vg-0_odd(lvm: 'vg-0/odd': its size is out of range) "
			"vg-0_sick(lvm: 'vg-0/sick': LVM reports that it is damaged "
			"(lv_health_status)) ",
			NULL},
		{{"vg1/plain"}, "", "no thin volume matches 'vg1/plain'\n"},
		{{"@thinark"}, "", "no thin volume matches '@thinark'\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_STRBUF notes = {0};

		reset(whole);
		AUTO_FREE char *got = list(rows[i].patterns, rows[i].patterns[1] ? 2 : 1, &notes);
		assert_string_equal(got ? got : "", rows[i].want);
		assert_string_equal(notes.data ? notes.data : "", rows[i].note ? rows[i].note : "");
		assert_int_equal(fake.changes, 0);
	}
}

static void no_lvm(void **state)
{
	const char *patterns[] = {"*/*"};
	const struct cfg_store cfg = {.name = (char *)"s",
		.type = (char *)"lvm",
		.logical_volumes = {(char **)(void *)patterns, 1}};
	struct container_list l = {0};
	struct strbuf notes = {0};
	struct err e = {0};

	(void)state;
	reset(whole);
	fake.lvs_code = 5;
	assert_int_equal(store_find("lvm")->list(&cfg, &l, &notes, &e), -EIO);
	assert_int_equal(e.kind, ERR_STORE);
	assert_int_equal(l.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_are_parsed),
		cmocka_unit_test(external_origins),
		cmocka_unit_test(names),
		cmocka_unit_test(snapshots),
		cmocka_unit_test(removals),
		cmocka_unit_test(volumes_are_selected),
		cmocka_unit_test(no_lvm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
