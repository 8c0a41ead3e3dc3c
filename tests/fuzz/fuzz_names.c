/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and patterns: "KIND PATTERN NUL VALUE".  Whatever a container is called, its archive's name
 * is a safe relative path and its texts are safe on a terminal and in JSON.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "plan.h"
#include "scope.h"
#include "walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void name(const char *format, char *value)
{
	struct label label = {value, value};
	const struct container c = {.name = value,
		.id = (char *)"0123456789abcdef",
		.store = value,
		.labels = &label,
		.label_count = 1};
	const struct naming n = {.job = value, .hostname = value, .container = &c, .time = 1};
	AUTO_FREE char *out = NULL;
	struct err e = {0};

	(void)plan_matches(format, &c);
	if (naming_expand(format, &n, &out, &e) < 0) {
		check(!out && e.text[0]);
		return;
	}
	for (const char *p = out; p;) {
		size_t len = strcspn(p, "/");

		check(len > 0 && len <= 247 && *p != '.');
		p = p[len] ? p + len + 1 : NULL;
	}
	for (const char *p = out; *p; p++)
		check(*p >= 0x20 && *p <= 0x7e);
}

static void texts(const char *value)
{
	AUTO_STRBUF b = {0};
	AUTO_JSON *j = NULL;
	struct err e = {0};
	char safe[256];

	strbuf_puts(&b, "{\"v\":");
	strbuf_json(&b, value);
	strbuf_puts(&b, "}");
	check(json_parse_object(b.data, b.len, "v", &j, &e) == 0 && json_str(j, "v"));
	(void)str_escape(value, strlen(value), safe, sizeof(safe));
	check(str_is_utf8(safe, strlen(safe)));
	for (const char *p = safe; *p; p++)
		check((unsigned char)*p >= 0x20 && *p != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char pattern[300] = "", value[1024] = "";

	if (size < 2)
		return 0;
	const uint8_t *nul = memchr(data + 1, '\0', size - 1);
	size_t len = nul ? (size_t)(nul - data - 1) : size - 1;
	size_t rest = nul ? size - len - 2 : 0;
	memcpy(pattern, data + 1, len < sizeof(pattern) - 1 ? len : sizeof(pattern) - 1);
	if (nul)
		memcpy(value, nul + 1, rest < sizeof(value) - 1 ? rest : sizeof(value) - 1);
	if (data[0] == 'n') {
		name(pattern, value);
	} else if (data[0] == 't') {
		texts(value);
	} else if (data[0] == 'x') {
		char *items[] = {pattern};
		const struct cfg_strings one = {items, 1};
		bool literal = !pattern[strcspn(pattern, "*?")];

		check(walk_excluded(&one, value) == (strcmp(pattern, value) == 0) || !literal);
	}
	return 0;
}
