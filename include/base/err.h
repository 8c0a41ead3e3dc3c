/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors that explain themselves.  A fallible function returns 0 or a negative errno; on failure
 * *e holds a kind, the errno and a sentence.  Callers that know more put one layer in front, so
 * the top prints a chain:
 *   web: snapshot: thin 4 of pool 'docker-8:1-44303307-pool': pool is read-only
 * Nothing here allocates, so running out of memory can be reported too.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/* The kind decides the exit code (err_exit_code). */
enum err_kind {
	ERR_NONE = 0,
	ERR_FATAL,       /* 1: nothing better fits */
	ERR_USAGE,       /* 2: wrong command line */
	ERR_CONFIG,      /* 2: wrong configuration */
	ERR_STORE,       /* 3: a container engine's state cannot be read */
	ERR_SOURCE,      /* 3: the container cannot be read */
	ERR_DEST,        /* 3: the destination cannot be written: always ends that archive */
	ERR_NOTHING,     /* 10: nothing matched */
	ERR_LOCKED,      /* 11: another run holds the lock */
	ERR_POOL,        /* 20: the pool guard refused */
	ERR_DAMAGED,     /* 22: an archive is not what was written */
	ERR_LEFTOVER,    /* 21: something is left behind and named in the ledger */
	ERR_INTERRUPTED, /* 130: a signal asked us to stop */
};

enum exit_code {
	EXIT_GOOD = 0,
	EXIT_FATAL = 1,
	EXIT_USAGE = 2,
	EXIT_INCOMPLETE = 3,
	EXIT_NOTHING = 10,
	EXIT_LOCKED = 11,
	EXIT_POOL = 20,
	EXIT_LEFTOVER = 21,
	EXIT_DAMAGED = 22,
	EXIT_INTERRUPTED = 130,
};

struct err {
	enum err_kind kind;
	int code;        /* negative errno, for control flow */
	char text[1024]; /* one line, UTF-8, control characters escaped; cut with "..." if longer */
};

/* Sets *e and returns code, which must be a negative errno (0 is turned into -EIO).  e may be NULL.
 */
int err_set(struct err *e, enum err_kind kind, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* As err_set, with ": " and the text of the errno behind. */
int err_sys(struct err *e, enum err_kind kind, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Puts "fmt: " in front of the text; returns e->code.  e may be NULL. */
int err_add(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The exit code of a kind; 0 for ERR_NONE. */
int err_exit_code(enum err_kind kind);
/* Which of two exit codes a run ends with: signal > leftover > fatal > pool > damaged > incomplete
 * > good. */
int exit_worst(int a, int b);
