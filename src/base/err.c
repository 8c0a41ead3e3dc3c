/* SPDX-License-Identifier: Apache-2.0 */
#include "err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

static void put(struct err *e, const char *raw)
{
	/* Names inside may come from a container: never let them forge lines or terminal codes. */
	if (str_escape(raw, strlen(raw), e->text, sizeof(e->text)) >= sizeof(e->text))
		memcpy(e->text + sizeof(e->text) - 4, "...", 4);
}

int err_set(struct err *e, enum err_kind kind, int code, const char *fmt, ...)
{
	char raw[1024];
	va_list ap;

	if (code >= 0)
		code = -EIO;
	if (!e)
		return code;
	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	e->kind = kind;
	e->code = code;
	put(e, raw);
	return code;
}

int err_sys(struct err *e, enum err_kind kind, int code, const char *fmt, ...)
{
	char raw[1024];
	va_list ap;

	if (code >= 0)
		code = -EIO;
	if (!e)
		return code;
	va_start(ap, fmt);
	int n = vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(raw))
		(void)snprintf(raw + n, sizeof(raw) - (size_t)n, ": %s", strerror(-code));
	e->kind = kind;
	e->code = code;
	put(e, raw);
	return code;
}

int err_add(struct err *e, const char *fmt, ...)
{
	char raw[1024];
	char old[sizeof(e->text)];
	va_list ap;

	if (!e)
		return -EIO;
	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	memcpy(old, e->text, sizeof(old));
	put(e, raw);
	size_t used = strlen(e->text);
	int n = snprintf(e->text + used, sizeof(e->text) - used, ": %s", old);
	if (n < 0 || (size_t)n >= sizeof(e->text) - used)
		memcpy(e->text + sizeof(e->text) - 4, "...", 4);
	return e->code;
}

int err_exit_code(enum err_kind kind)
{
	switch (kind) {
	case ERR_NONE:
		return EXIT_GOOD;
	case ERR_FATAL:
		return EXIT_FATAL;
	case ERR_USAGE:
	case ERR_CONFIG:
		return EXIT_USAGE;
	case ERR_STORE:
	case ERR_SOURCE:
	case ERR_DEST:
		return EXIT_INCOMPLETE;
	case ERR_NOTHING:
		return EXIT_NOTHING;
	case ERR_LOCKED:
		return EXIT_LOCKED;
	case ERR_POOL:
		return EXIT_POOL;
	case ERR_DAMAGED:
		return EXIT_DAMAGED;
	case ERR_LEFTOVER:
		return EXIT_LEFTOVER;
	case ERR_INTERRUPTED:
		return EXIT_INTERRUPTED;
	}
	return EXIT_FATAL;
}

int exit_worst(int a, int b)
{
	static const int order[] = {EXIT_INTERRUPTED, EXIT_LEFTOVER, EXIT_USAGE, EXIT_FATAL,
		EXIT_LOCKED, EXIT_POOL, EXIT_DAMAGED, EXIT_INCOMPLETE, EXIT_NOTHING};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return EXIT_GOOD;
}
