/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "plan.h"
#include "scope.h"
#include "str.h"

#define PART_MAX (NAME_MAX - 8) /* bytes of a component; ".tar.zst" must still fit behind */
#define FORMAT_MAX 1024
#define PATH_LEN_MAX 3072 /* leaves room for the folder of the destination below PATH_MAX */

enum field { FIELD_CONTAINER, FIELD_STORE, FIELD_ID, FIELD_JOB, FIELD_HOSTNAME, FIELD_TIME };

static const char *const field_names[] = {
	[FIELD_CONTAINER] = "container",
	[FIELD_STORE] = "store",
	[FIELD_ID] = "id",
	[FIELD_JOB] = "job",
	[FIELD_HOSTNAME] = "hostname",
	[FIELD_TIME] = "time",
};

/* A run of plain characters, or one {field}. */
struct piece {
	const char *text;
	size_t len;
	int field; /* -1: plain characters */
};

static int find_field(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(field_names); i++)
		if (strlen(field_names[i]) == len && strncmp(field_names[i], name, len) == 0)
			return (int)i;
	return -1;
}

/* Cuts the next piece off *p: 1, 0 at the end, -EINVAL with a reason. */
static int next_piece(const char **p, struct piece *ret, char *reason, size_t reason_size)
{
	const char *s = *p;

	if (!*s)
		return 0;
	*ret = (struct piece){.text = s, .len = strcspn(s, "{}"), .field = -1};
	if (ret->len) {
		*p += ret->len;
		return 1;
	}
	size_t len = strcspn(s + 1, "{}/");

	if (*s == '}' || s[1 + len] != '}') {
		(void)snprintf(reason, reason_size, "'{' and '}' do not pair up");
		return -EINVAL;
	}
	ret->field = find_field(s + 1, len);
	if (ret->field < 0) {
		(void)snprintf(reason, reason_size,
			"unknown field '{%.*s}'; known are {container}, {store}, {id}, {job}, "
			"{hostname} and {time}",
			(int)(len < 40 ? len : 40), s + 1);
		return -EINVAL;
	}
	*p += len + 2;
	return 1;
}

static const char *part_problem(const char *part, size_t len)
{
	if (len == 0)
		return "has an empty component: no '/' at the start, at the end or twice";
	if (part[0] == '.')
		return "has a component that starts with '.'";
	if (len > PART_MAX)
		return "has a component of more than 247 bytes";
	for (size_t i = 0; i < len; i++)
		if (part[i] < 0x20 || part[i] > 0x7e)
			return "has characters outside printable ASCII";
	return NULL;
}

/* Why a path cannot be used, NULL if it can. */
static const char *path_problem(const char *path)
{
	if (strlen(path) > PATH_LEN_MAX)
		return "is too long";
	for (;;) {
		size_t len = strcspn(path, "/");
		const char *why = part_problem(path, len);

		if (why || !path[len])
			return why;
		path += len + 1;
	}
}

int naming_check(const char *format, char *reason, size_t reason_size)
{
	AUTO_STRBUF shape = {0};
	bool has_time = false;
	const char *p = format;
	struct piece piece;
	int r;

	if (strlen(format) > FORMAT_MAX) {
		(void)snprintf(reason, reason_size, "is longer than %d bytes", FORMAT_MAX);
		return -EINVAL;
	}
	while ((r = next_piece(&p, &piece, reason, reason_size)) > 0) {
		has_time |= piece.field == FIELD_TIME;
		if (piece.field < 0)
			strbuf_add(&shape, piece.text, piece.len);
		else
			strbuf_puts(&shape, "x");
	}
	if (r < 0)
		return r;
	if (shape.failed) {
		(void)snprintf(reason, reason_size, "out of memory");
		return -ENOMEM;
	}
	const char *why = path_problem(shape.data ? shape.data : "");

	/* Without it the second run would meet the archives of the first. */
	if (!why && !has_time)
		why = "needs {time}, or runs would overwrite one another";
	if (!why)
		return 0;
	(void)snprintf(reason, reason_size, "%s", why);
	return -EINVAL;
}

/* '%' is coded too, so that different values stay different. */
static void add_value(struct strbuf *out, const char *value)
{
	for (const char *s = value; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c > 0x7e || c == '/' || c == '%' || (c == '.' && s == value))
			strbuf_printf(out, "%%%02X", c);
		else
			strbuf_add(out, s, 1);
	}
}

static const char *value_of(const struct naming *n, int field, char time_text[24])
{
	const struct container *c = n->container;
	const char *value = NULL;

	switch (field) {
	case FIELD_CONTAINER:
		value = c->name && *c->name ? c->name : c->id;
		break;
	case FIELD_STORE:
		value = c->store;
		break;
	case FIELD_ID:
		value = c->id;
		break;
	case FIELD_JOB:
		value = n->job;
		break;
	case FIELD_HOSTNAME:
		value = n->hostname;
		break;
	default:
		value = clock_name(n->time, time_text);
		break;
	}
	return value && *value ? value : "_";
}

int naming_expand(const char *format, const struct naming *n, char **ret, struct err *e)
{
	AUTO_STRBUF out = {0};
	char reason[256], time_text[24];
	const char *p = format;
	struct piece piece;

	int r = naming_check(format, reason, sizeof(reason));
	if (r == -ENOMEM)
		return err_sys(e, ERR_FATAL, r, "archive name");
	if (r < 0)
		return err_set(
			e, ERR_CONFIG, -EINVAL, "archive_name_format '%.100s': %s", format, reason);
	while (next_piece(&p, &piece, reason, sizeof(reason)) > 0) {
		if (piece.field < 0)
			strbuf_add(&out, piece.text, piece.len);
		else
			add_value(&out, value_of(n, piece.field, time_text));
	}
	if (out.failed)
		return err_sys(e, ERR_FATAL, -ENOMEM, "archive name");
	const char *why = path_problem(out.data);

	if (why)
		return err_set(e, ERR_CONFIG, -ENAMETOOLONG,
			"archive name '%.80s...' %s; use {id} in archive_name_format", out.data,
			why);
	*ret = TAKE_PTR(out.data);
	return 0;
}
