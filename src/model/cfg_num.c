/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers with a unit: what they may look like, and what they mean. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cfg_key.h"
#include "scope.h"

struct suffix {
	const char *text;
	int64_t factor;
};

static const struct suffix byte_suffixes[] = {{"", 1}, {"K", 1 << 10}, {"M", 1 << 20},
	{"G", 1 << 30}, {"T", (int64_t)1 << 40}, {"KiB", 1 << 10}, {"MiB", 1 << 20},
	{"GiB", 1 << 30}, {"TiB", (int64_t)1 << 40}, {NULL, 0}};
static const struct suffix time_suffixes[] = {
	{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0}};
static const struct suffix percent_suffixes[] = {{"%", 1}, {NULL, 0}};
static const struct suffix count_suffixes[] = {{"", 1}, {NULL, 0}};

static const struct {
	const struct suffix *suffixes;
	const char *expected, *pattern;
} units[] = {
	[CFG_BOOL] = {NULL, "true or false", NULL},
	[CFG_COUNT] = {count_suffixes, "a whole number", "^[0-9]+$"},
	[CFG_BYTES] = {byte_suffixes, "bytes, such as 512K, 64M or 2G", "^[0-9]+([KMGT](iB)?)?$"},
	[CFG_SECONDS] = {time_suffixes, "a time, such as 30s, 10m, 2h or 1d", "^[0-9]+[smhd]$"},
	[CFG_PERCENT] = {percent_suffixes, "a percentage, such as 10%", "^[0-9]+%$"},
};

const char *cfg_num_pattern(enum cfg_unit unit)
{
	return units[unit].pattern;
}

static int refuse(enum cfg_unit unit, char *reason, size_t reason_size)
{
	(void)snprintf(reason, reason_size, "expected %s", units[unit].expected);
	return -EINVAL;
}

static int parse_bool(const char *text, int64_t *ret, char *reason, size_t reason_size)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return refuse(CFG_BOOL, reason, reason_size);
	*ret = text[0] == 't';
	return 0;
}

int cfg_num_parse(
	const struct cfg_key *k, const char *text, int64_t *ret, char *reason, size_t reason_size)
{
	int64_t value = 0;
	const char *p = text;

	if (k->unit == CFG_BOOL)
		return parse_bool(text, ret, reason, reason_size);
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, *p - '0', &value))
			return refuse(k->unit, reason, reason_size);
	const struct suffix *s = units[k->unit].suffixes;
	while (s->text && strcmp(s->text, p) != 0)
		s++;
	if (p == text || !s->text || __builtin_mul_overflow(value, s->factor, &value))
		return refuse(k->unit, reason, reason_size);
	if (value < k->min || value > k->max) {
		(void)snprintf(reason, reason_size, "out of range, %s to %s is allowed",
			k->min_text, k->max_text);
		return -ERANGE;
	}
	*ret = value;
	return 0;
}
