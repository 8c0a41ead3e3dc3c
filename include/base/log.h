/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: stderr, plain on a terminal, with "<N>" priority prefixes when stderr is the journal
 * (JOURNAL_STREAM).  Only run and cli log; every other layer returns errors.
 */
#pragma once

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_init(enum log_level most);
/* One line; control characters are escaped.  Clears a progress line on a terminal first. */
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
/* Shows text as the terminal's progress line (no newline); nothing unless stderr is a terminal. */
void log_progress(const char *text);
bool log_has_terminal(void);
