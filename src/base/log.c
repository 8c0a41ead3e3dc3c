/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

static enum log_level log_most = LOG_LEVEL_INFO;
static bool log_is_terminal, log_is_journal, log_line_open;

void log_init(enum log_level most)
{
	const char *term = getenv("TERM");

	log_most = most;
	log_is_terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
	log_is_journal = getenv("JOURNAL_STREAM") != NULL && !log_is_terminal;
}

bool log_has_terminal(void)
{
	return log_is_terminal && log_most >= LOG_LEVEL_INFO;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	/* syslog priorities of the four levels, as sd-daemon(3) has them */
	static const int priority[] = {3, 4, 6, 7};
	static const char *const label[] = {"error: ", "warning: ", "", "debug: "};
	char raw[2048], text[4096];
	va_list ap;

	if (level > log_most)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	(void)str_escape(raw, strlen(raw), text, sizeof(text));
	if (log_line_open)
		(void)fputs("\r\033[K", stderr);
	log_line_open = false;
	if (log_is_journal)
		(void)fprintf(stderr, "<%d>%s\n", priority[level], text);
	else
		(void)fprintf(stderr, "thinark: %s%s\n", label[level], text);
}

void log_progress(const char *text)
{
	if (!log_has_terminal())
		return;
	(void)fprintf(stderr, "\r%s\033[K", text);
	(void)fflush(stderr);
	log_line_open = true;
	if (!*text)
		log_line_open = false;
}
