/* SPDX-License-Identifier: Apache-2.0 */
/* The loader: what it accepts, where it finds mistakes, and the rows it works from. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "cfg_key.h"
#include "json.h"
#include "scope.h"

#ifndef SOURCE_DIR
#define SOURCE_DIR "."
#endif

#define HEAD                                                                                       \
	"stores: [{name: d, type: docker}]\n"                                                      \
	"destinations: [{name: l, type: directory, path: /b}]\n"
#define VOLUMES(list)                                                                              \
	"stores: [{name: d, type: manual, volumes: [" list "]}]\n"                                 \
	"destinations: [{name: l, type: directory, path: /b}]\n"
#define LVM(list)                                                                                  \
	"stores: [{name: d, type: lvm, logical_volumes: [" list "]}]\n"                            \
	"destinations: [{name: l, type: directory, path: /b}]\n"
#define JOBS "jobs: [{name: n, stores: [d], destination: l}]\n"

static int load(const char *text, size_t len, struct cfg *cfg, struct strbuf *mistakes)
{
	struct err e = {0};
	int r = cfg_load(text, len, "f", cfg, mistakes, &e);

	assert_int_equal(r<0, mistakes->len> 0);
	assert_int_equal(e.kind, r < 0 ? ERR_CONFIG : ERR_NONE);
	return r;
}

static void defaults(void **state)
{
	(void)state;
	AUTO_STRBUF mistakes = {0};
	struct cfg cfg = {0};

	assert_int_equal(load(HEAD JOBS, strlen(HEAD JOBS), &cfg, &mistakes), 0);
	assert_int_equal(cfg.job_count, 1);
	const struct cfg_job *job = cfg_find_job(&cfg, "n");

	assert_non_null(job);
	assert_null(cfg_find_job(&cfg, "m"));
	assert_string_equal(cfg_find_store(&cfg, "d")->root, "/var/lib/docker");
	assert_string_equal(cfg_find_dest(&cfg, "l")->path, "/b");
	assert_int_equal(job->containers.count, 1);
	assert_string_equal(job->containers.items[0], "*");
	assert_int_equal(job->exclude_containers.count + job->exclude_patterns.count, 0);
	assert_string_equal(job->archive_name_format, "{container}/{time}");
	assert_string_equal(job->compression, "zstd,3");
	assert_int_equal(job->zstd_level, 3);
	cfg_done(&cfg);
}

/* One row of the table, yet each engine has a folder of its own. */
static void default_of_a_type(void **state)
{
	static const char text[] = "stores: [{name: d, type: docker}, {name: c, type: containerd}, "
				   "{name: x, type: lxc}, {name: p, type: proxmox}]\n"
				   "destinations: [{name: l, type: directory, path: /b}]\n"
				   "jobs: [{name: n, stores: [c], destination: l, containers: ["
				   "'pod:a-*', 'namespace:k8s.io', 'state:stopped']}]\n";
	AUTO_STRBUF mistakes = {0};
	struct cfg cfg = {0};

	(void)state;
	assert_int_equal(load(text, strlen(text), &cfg, &mistakes), 0);
	assert_string_equal(cfg_find_store(&cfg, "d")->root, "/var/lib/docker");
	assert_string_equal(cfg_find_store(&cfg, "c")->root, "/var/lib/containerd");
	assert_string_equal(cfg_find_store(&cfg, "c")->pool, "");
	assert_string_equal(cfg_find_store(&cfg, "x")->root, "/var/lib/lxc");
	assert_string_equal(cfg_find_store(&cfg, "p")->config_dir, "/etc/pve");
	assert_null(cfg_find_store(&cfg, "p")->root);
	cfg_done(&cfg);
}

/* What is left out of a device by hand is told from what is zero. */
static void volumes_by_hand(void **state)
{
	static const char text[] = VOLUMES(
		"{name: a, pool: p, thin_id: 16773119, size: 10G, subdir: rootfs}, "
		"{name: b, device: /dev/mapper/b}, {name: c, pool: /dev/mapper/p, thin_id: 0}")
		JOBS;
	AUTO_STRBUF mistakes = {0};
	struct cfg cfg = {0};

	(void)state;
	assert_int_equal(load(text, strlen(text), &cfg, &mistakes), 0);
	const struct cfg_store *s = cfg_find_store(&cfg, "d");
	assert_int_equal(s->volume_count, 3);
	const struct cfg_volume *v = s->volumes;
	assert_string_equal(v[0].pool, "p");
	assert_null(v[0].device);
	assert_int_equal(v[0].thin_id, 16773119);
	assert_int_equal(v[0].size, (int64_t)10 << 30);
	assert_string_equal(v[0].subdir, "rootfs");
	assert_string_equal(v[1].device, "/dev/mapper/b");
	assert_null(v[1].pool);
	assert_string_equal(v[1].subdir, "");
	assert_int_equal(v[2].thin_id + v[2].size, 0);
	cfg_done(&cfg);
}

static void sample_is_accepted(void **state)
{
	(void)state;
	AUTO_STRBUF text = {0}, mistakes = {0};
	struct cfg cfg = {0};

	cfg_doc_sample(&text);
	if (load(text.data, text.len, &cfg, &mistakes) < 0)
		fail_msg("%s%s", text.data, mistakes.data);
	assert_int_equal(cfg.jobs[0].exclude_patterns.count, 2);
	assert_string_equal(cfg.jobs[0].exclude_containers.items[1], "label:backup=off");
	cfg_done(&cfg);
}

static void ten_mistakes(void **state)
{
	(void)state;
	static const char *const want[] = {
		"f:4:11: type: 'dokcer' is not one of 'docker', 'containerd', 'lvm', 'lxc', "
		"'manual', 'podman', 'proxmox', 'tree'; did you mean 'docker'?\n",
		"f:5:11: root: 'var/lib/docker': must be an absolute path, starting with '/'\n",
		"f:7:5: path: missing, a value is required\n",
		"f:11:22: stores: there is no store 'dokcer'; did you mean 'docker'?\n",
		"f:12:17: containers: the list is empty, at least one entry is needed\n",
		"f:13:18: document: anchor '&d': anchors are not allowed\n",
		"f:14:5: destination: given twice, first on line 13\n",
		"f:15:26: archive_name_format: '{container}': needs {time}, or runs would "
		"overwrite one another\n",
		"f:16:18: compression: 'zstd,20': expected 'zstd' or 'zstd,LEVEL' with a level "
		"from 1 to 19\n",
		"f:17:5: exclude_pattern: unknown key; did you mean 'exclude_patterns'?\n",
	};
	AUTO_FCLOSE FILE *f = fopen(SOURCE_DIR "/tests/golden/ten-mistakes.yaml", "r");
	AUTO_STRBUF mistakes = {0}, all = {0};
	struct cfg cfg = {0};
	char text[4096];

	assert_non_null(f);
	size_t len = fread(text, 1, sizeof(text), f);

	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		strbuf_puts(&all, want[i]);
	assert_true(load(text, len, &cfg, &mistakes) < 0);
	assert_string_equal(mistakes.data, all.data);
}

/* One mistake each, at its place. */
static const struct {
	const char *text, *want;
} wrong[] = {
	{"", "f:1:1: document: the file is empty\n"},
	{"# nothing\n", "f:1:1: document: the file is empty\n"},
	{"---\n", "f:2:1: document: expected a map, found nothing\n"},
	{"- a\n", "f:1:1: document: expected a map, found a list\n"},
	{HEAD JOBS "---\na: b\n", "f:4:1: document: a second document is not allowed\n"},
	{HEAD JOBS "\xff", "f:4:1: document: not valid UTF-8\n"},
	{HEAD JOBS "a: [\n", "f:5:1: syntax: did not find expected node content, "
			     "while parsing a flow node\n"},
	{HEAD JOBS "? [a]\n: b\n", "f:4:3: document: a key must be text, found a list\n"},
	{HEAD JOBS "job: []\n", "f:4:1: job: unknown key; did you mean 'jobs'?\n"},
	{HEAD JOBS "nonsense: []\n", "f:4:1: nonsense: unknown key\n"},
	{HEAD JOBS "<<: {}\n", "f:4:1: <<: unknown key\n"},
	{HEAD JOBS JOBS, "f:4:1: jobs: given twice, first on line 3\n"},
	{HEAD, "f:1:1: jobs: missing, a value is required\n"},
	{HEAD "jobs: []\n", "f:3:7: jobs: the list is empty, at least one entry is needed\n"},
	{HEAD "jobs: {}\n", "f:3:7: jobs: expected a list, found a map\n"},
	{HEAD "jobs: [a]\n", "f:3:8: jobs: expected a map, found text\n"},
	{HEAD "jobs: *x\n", "f:3:7: document: alias '*x': aliases are not allowed\n"},
	{HEAD "jobs: [{name: n, stores: d, destination: l}]\n",
		"f:3:26: stores: expected a list, found text\n"},
	{HEAD "jobs: [{name: n, stores: [], destination: l}]\n",
		"f:3:26: stores: the list is empty, at least one entry is needed\n"},
	{HEAD "jobs: [{name: n, stores: [d, d], destination: l}]\n",
		"f:3:30: stores: 'd' is already used on line 3\n"},
	{HEAD "jobs: [{name: 1, stores: [d], destination: l}]\n",
		"f:3:15: name: expected text, found a number; put '1' in quotes\n"},
	{HEAD "jobs: [{name: true, stores: [d], destination: l}]\n",
		"f:3:15: name: expected text, found a boolean; put 'true' in quotes\n"},
	{HEAD "jobs: [{name: , stores: [d], destination: l}]\n",
		"f:3:15: name: expected text, found nothing\n"},
	{HEAD "jobs: [{name: !!str n, stores: [d], destination: l}]\n",
		"f:3:15: document: tag 'tag:yaml.org,2002:str': tags are not allowed\n"},
	{HEAD "jobs: [{name: \"n\\0\", stores: [d], destination: l}]\n",
		"f:3:15: document: a text contains a NUL byte\n"},
	{HEAD "jobs: [{name: \"\\e[1m\", stores: [d], destination: l}]\n",
		"f:3:15: name: '\\x1b[1m': a name starts with a letter or a digit\n"},
	{HEAD "jobs: [{name: n, stores: [d], destination: m}]\n",
		"f:3:44: destination: there is no destination 'm'\n"},
	{HEAD "jobs:\n- {name: n, stores: [d], destination: l}\n"
	      "- {name: n, stores: [d], destination: l}\n",
		"f:5:10: name: 'n' is already used on line 4\n"},
	{HEAD "jobs: [{name: n, stores: [d], destination: l, containers: ['stat:x']}]\n",
		"f:3:60: containers: 'stat:x': only 'label:', 'state:', 'pod:' and 'namespace:' "
		"are known\n"},
	{HEAD "jobs: [{name: n, stores: [d], destination: l, containers: ['pod:']}]\n",
		"f:3:60: containers: 'pod:': 'pod:' and 'namespace:' need a name or a glob\n"},
	{HEAD "jobs: [{name: n, stores: [d], destination: l, exclude_patterns: [/tmp]}]\n",
		"f:3:66: exclude_patterns: '/tmp': is relative to the container's '/', drop the "
		"leading '/'\n"},
	{VOLUMES("{name: a}") JOBS,
		"f:1:44: volumes: 'device', or 'pool' and 'thin_id', is needed\n"},
	{VOLUMES("{name: a, pool: p}") JOBS, "f:1:44: volumes: 'thin_id' is needed with 'pool'\n"},
	{VOLUMES("{name: a, thin_id: 1}") JOBS,
		"f:1:44: volumes: 'device', or 'pool' and 'thin_id', is needed\n"},
	{VOLUMES("{name: a, device: /d, thin_id: 1}") JOBS,
		"f:1:75: thin_id: not together with 'device', on line 1\n"},
	{VOLUMES("{name: a, device: /d, size: 1G}") JOBS,
		"f:1:72: size: not together with 'device', on line 1\n"},
	{VOLUMES("{name: a, device: d}") JOBS,
		"f:1:62: device: 'd': must be an absolute path, starting with '/'\n"},
	{VOLUMES("{name: a, pool: vg/p, thin_id: 1}") JOBS,
		"f:1:60: pool: 'vg/p': must be a name in /dev/mapper, or an absolute path\n"},
	{VOLUMES("{name: a, pool: p, thin_id: 16773120}") JOBS,
		"f:1:72: thin_id: '16773120': out of range, 0 to 16773119 is allowed\n"},
	{VOLUMES("{name: a, pool: p, thin_id: 1, subdir: a/../..}") JOBS,
		"f:1:83: subdir: 'a/../..': must not contain '..'\n"},
	{VOLUMES("{name: a, pool: p, thin_id: 1, subdir: /a}") JOBS,
		"f:1:83: subdir: '/a': must be relative to the device's root folder\n"},
	{VOLUMES("{name: a, device: /d}, {name: a, device: /e}") JOBS,
		"f:1:74: name: 'a' is already used on line 1\n"},
	{LVM("vg") JOBS, "f:1:49: logical_volumes: 'vg': must be VG/LV, a glob of that, or @ and a "
			 "tag of LVM\n"},
	{LVM("a/b/c") JOBS, "f:1:49: logical_volumes: 'a/b/c': must be VG/LV, a glob of that, or @ "
			    "and a tag of LVM\n"},
	{LVM("'@'") JOBS, "f:1:49: logical_volumes: '@': '@' needs a tag\n"},
	{HEAD JOBS "commands: [{run: [/bin/true]}]\n",
		"f:4:12: commands: 'before' or 'after' is needed\n"},
	{HEAD JOBS "commands:\n- before: job\n  after: job\n  run: [/bin/true]\n",
		"f:6:10: after: not together with 'before', on line 5\n"},
	{HEAD JOBS "commands: [{before: jobs, run: [/bin/true]}]\n",
		"f:4:21: before: 'jobs' is not one of 'job', 'container'; did you mean 'job'?\n"},
	{HEAD JOBS "commands: [{before: job, states: [fail], run: [/bin/true]}]\n",
		"f:4:34: states: only with 'after'\n"},
	{HEAD JOBS "commands: [{after: job, states: [failed], run: [/bin/true]}]\n",
		"f:4:34: states: 'failed' is not one of 'finish', 'fail'; did you mean 'fail'?\n"},
	{HEAD JOBS "commands: [{after: job, jobs: [m], run: [/bin/true]}]\n",
		"f:4:32: jobs: there is no job 'm'\n"},
	{HEAD JOBS "commands: [{after: job, run: [true]}]\n",
		"f:4:31: run: expected text, found a boolean; put 'true' in quotes\n"},
	{HEAD JOBS "commands: [{after: job, run: [sh, -c, x]}]\n",
		"f:4:31: run: 'sh': must be an absolute path, starting with '/'\n"},
	{HEAD JOBS "commands: [{after: job, run: []}]\n",
		"f:4:30: run: the list is empty, at least one entry is needed\n"},
	{HEAD JOBS "commands: [{after: job}]\n", "f:4:12: run: missing, a value is required\n"},
	{HEAD JOBS "commands: [{after: job, timeout: 60, run: [/bin/true]}]\n",
		"f:4:34: timeout: '60': expected a time, such as 30s, 10m, 2h or 1d\n"},
};

static void wrong_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		AUTO_STRBUF mistakes = {0};
		struct cfg cfg = {0};

		assert_true(load(wrong[i].text, strlen(wrong[i].text), &cfg, &mistakes) < 0);
		if (strcmp(mistakes.data, wrong[i].want) != 0)
			fail_msg("%s\nwant %sgot  %s", wrong[i].text, wrong[i].want, mistakes.data);
	}
}

static void nul_byte(void **state)
{
	(void)state;
	static const char text[] = "a: b\nc\0d: e\n";
	AUTO_STRBUF mistakes = {0};
	struct cfg cfg = {0};

	assert_true(load(text, sizeof(text) - 1, &cfg, &mistakes) < 0);
	assert_string_equal(mistakes.data, "f:2:2: document: the file contains a NUL byte\n");
}

static void repeat(struct strbuf *out, const char *piece, size_t bytes)
{
	while (out->len + strlen(piece) <= bytes)
		strbuf_puts(out, piece);
}

/* Hostile files of full size end quickly, whatever they consist of. */
static void bombs(void **state)
{
	(void)state;
	static const struct {
		const char *head, *piece;
		size_t bytes;
		const char *want; /* part of the mistakes */
	} rows[] = {
		{"", "[", 100000, "f:1:33: document: nested more than 32 levels deep\n"},
		{"", "- ", 100000, "nested more than 32"},
		{"", "? ", 100000, "nested more than 32"},
		{"", "{a: ", 100000, "nested more than 32"},
		{"", "a: b\n", CFG_FILE_MAX, "more mistakes"},
		{"stores:\n", "- {name: a, type: docker}\n", CFG_FILE_MAX, "already used"},
		{"jobs:\n", "- {name: a}\n", CFG_FILE_MAX, "more mistakes"},
		{"", "a: b\n", CFG_FILE_MAX + 10, "f:1:1: document: the file is larger than"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_STRBUF text = {0}, mistakes = {0};
		struct cfg cfg = {0};
		const clock_t start = clock();

		strbuf_puts(&text, rows[i].head);
		repeat(&text, rows[i].piece, rows[i].bytes);
		assert_true(load(text.data, text.len, &cfg, &mistakes) < 0);
		if (!strstr(mistakes.data, rows[i].want))
			fail_msg("bomb %zu: %.200s", i, mistakes.data);
		/* Of the processor; roomy: sanitizers are slow, quadratic time is far slower. */
		if (clock() - start > 10 * CLOCKS_PER_SEC)
			fail_msg("bomb %zu is slow", i);
	}
}

static void check_default(const struct cfg_key *k)
{
	char reason[256] = "";

	assert_non_null(k->def);
	if (k->type == CFG_LIST) {
		AUTO_STRBUF object = {0};
		AUTO_JSON *j = NULL;
		struct err e = {0};

		strbuf_printf(&object, "{\"x\": %s}", k->def);
		assert_int_equal(json_parse_object(object.data, object.len, "x", &j, &e), 0);
		const json_t *list = json_object_get(j, "x");

		assert_true(json_is_array(list) && (!k->filled || json_array_size(list)));
		for (size_t i = 0; k->check && i < json_array_size(list); i++)
			assert_int_equal(k->check(json_string_value(json_array_get(list, i)),
						 reason, sizeof(reason)),
				0);
	} else if (k->check) {
		assert_int_equal(k->check(k->def, reason, sizeof(reason)), 0);
	}
}

static void check_rows(const struct cfg_key *keys)
{
	size_t count = 0;

	for (const struct cfg_key *k = keys; k->name; k++, count++) {
		size_t len = strlen(k->help);

		if (!isupper((unsigned char)k->help[0]) || k->help[len - 1] == '.' || len > 72)
			fail_msg("help of '%s'", k->name);
		for (const struct cfg_key *other = keys; other != k; other++)
			assert_string_not_equal(other->name, k->name);
		if (k->required || k->optional)
			assert_null(k->def);
		else
			check_default(k);
		assert_false(k->required && k->optional);
		assert_true(
			k->type == CFG_ENUM ? k->words != NULL : !k->words || k->type == CFG_LIST);
		assert_int_equal(k->type == CFG_MAPS, k->sub != NULL);
		if (k->sub)
			check_rows(k->sub);
		else
			assert_true(k->sample || k->def || k->optional);
	}
	assert_true(count <= CFG_KEYS_MAX);
}

static void rows_keep_the_rules(void **state)
{
	(void)state;
	check_rows(cfg_keys);
}

static void schema_is_json(void **state)
{
	(void)state;
	AUTO_STRBUF text = {0};
	AUTO_JSON *j = NULL;
	struct err e = {0};

	cfg_doc_schema(&text);
	assert_int_equal(json_parse_object(text.data, text.len, "schema", &j, &e), 0);
	assert_string_equal(json_str(j, "$schema"), "https://json-schema.org/draft/2020-12/schema");
	assert_true(json_is_false(json_object_get(j, "additionalProperties")));
}

static void check_man(const char *text, const struct cfg_key *keys)
{
	for (const struct cfg_key *k = keys; k->name; k++) {
		char line[80];

		(void)snprintf(line, sizeof(line), "\n.B %s\n", k->name);
		assert_non_null(strstr(text, line));
		if (k->sub)
			check_man(text, k->sub);
	}
}

static void man_names_every_key(void **state)
{
	(void)state;
	AUTO_STRBUF text = {0};

	cfg_doc_man(&text);
	check_man(text.data, cfg_keys);
}

static void numbers(void **state)
{
	static const struct {
		enum cfg_unit unit;
		const char *text;
		int64_t value; /* -1: refused */
	} t[] = {{CFG_BOOL, "true", 1}, {CFG_BOOL, "false", 0}, {CFG_BOOL, "yes", -1},
		{CFG_COUNT, "0", 0}, {CFG_COUNT, "7", 7}, {CFG_COUNT, "7s", -1},
		{CFG_COUNT, "-1", -1}, {CFG_COUNT, "", -1}, {CFG_COUNT, "1.5", -1},
		{CFG_COUNT, "99999999999999999999", -1}, {CFG_BYTES, "512", 512},
		{CFG_BYTES, "2K", 2048}, {CFG_BYTES, "3MiB", 3 << 20}, {CFG_BYTES, "1G", 1 << 30},
		{CFG_BYTES, "9T", (int64_t)9 << 40}, {CFG_BYTES, "9999999T", -1},
		{CFG_BYTES, "M", -1}, {CFG_BYTES, "1 M", -1}, {CFG_SECONDS, "30s", 30},
		{CFG_SECONDS, "2h", 7200}, {CFG_SECONDS, "1d", 86400}, {CFG_SECONDS, "30", -1},
		{CFG_SECONDS, "s", -1}, {CFG_PERCENT, "10%", 10}, {CFG_PERCENT, "10", -1},
		{CFG_PERCENT, "%", -1}};
	size_t good = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const struct cfg_key k = {.unit = t[i].unit,
			.max = INT64_MAX / 4,
			.min_text = "0",
			.max_text = "much"};
		int64_t value = -1;
		char reason[128] = "";
		int r = cfg_num_parse(&k, t[i].text, &value, reason, sizeof(reason));

		assert_int_equal(value, t[i].value);
		assert_int_equal(r < 0, t[i].value < 0);
		assert_int_equal(reason[0] != '\0', r < 0);
		good += r == 0;
	}
	assert_int_equal(good, 13);
}

/* Every setting of the sample, also those that stand there as comments. */
static void whole_sample_is_accepted(void **state)
{
	(void)state;
	AUTO_STRBUF text = {0}, all = {0}, mistakes = {0};
	struct cfg cfg = {0};
	struct err e = {0};
	size_t woken = 0;
	bool is_other = false;

	cfg_doc_sample(&text);
	for (char *line = text.data; *line;) {
		size_t len = strcspn(line, "\n"), margin = strspn(line, " ");
		const char *rest = line + margin + 2, *colon = memchr(line, ':', len);

		/* The comment before it says so when a setting is not for this type. */
		if (memmem(line, len, "(only type", 10))
			is_other = true;
		else if (line[margin] == '#' && (!colon || colon[-1] == ' '))
			is_other = false;
		/* A comment of one word and a colon is a setting; so is all of a section. */
		if (line[margin] == '#' && !is_other &&
			(strncmp(line, "#   ", 4) == 0 ||
				(colon && colon > rest &&
					strcspn(rest, " \n") == (size_t)(colon - rest) + 1))) {
			strbuf_add(&all, line, margin);
			strbuf_add(&all, rest, len - margin - 2);
			woken++;
		} else {
			strbuf_add(&all, line, len);
		}
		strbuf_puts(&all, "\n");
		line += len + (line[len] == '\n');
	}
	assert_true(woken >= 10);
	if (cfg_load(all.data, all.len, "sample", &cfg, &mistakes, &e) < 0)
		fail_msg("%s%s", e.text, mistakes.data ? mistakes.data : "");
	assert_int_equal(cfg.pool_min_free_data, 10);
	assert_int_equal(cfg.jobs[0].archive_timeout, 86400);
	assert_int_equal(cfg.command_count, 1);
	assert_string_equal(cfg.commands[0].run.items[1], "--fast");
	cfg_done(&cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(default_of_a_type),
		cmocka_unit_test(volumes_by_hand),
		cmocka_unit_test(sample_is_accepted),
		cmocka_unit_test(ten_mistakes),
		cmocka_unit_test(wrong_files),
		cmocka_unit_test(nul_byte),
		cmocka_unit_test(bombs),
		cmocka_unit_test(rows_keep_the_rules),
		cmocka_unit_test(schema_is_json),
		cmocka_unit_test(man_names_every_key),
		cmocka_unit_test(numbers),
		cmocka_unit_test(whole_sample_is_accepted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
