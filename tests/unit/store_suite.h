/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every store that reads an engine's folder has to pass.  A store's own test gives a fixture
 * that writes such a folder, runs suite_run, and tests only what is its own.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "cfg.h"
#include "container.h"
#include "err.h"
#include "store.h"
#include "str.h"

/* Nothing here lives longer than one test: a root, and what was listed from it. */
struct suite {
	char root[64];
	struct container_list list;
	struct strbuf notes;
	struct err e;
	int ret;
};

/* For cmocka_unit_test_setup_teardown; *state is the struct suite. */
int suite_setup(void **state);
int suite_teardown(void **state);
#define SUITE_TEST(fn) cmocka_unit_test_setup_teardown(fn, suite_setup, suite_teardown)

/* The full name of path below the root, its folders made; valid until the next call. */
const char *suite_place(const struct suite *f, const char *path);
void suite_put(const struct suite *f, const void *data, size_t len, const char *path);
/* A text as the file whose name is formatted. */
void suite_text(const struct suite *f, const char *text, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Lists the root anew (suite.ret, suite.e, suite.notes); pool may be NULL. */
void suite_list(struct suite *f, const struct store_ops *ops, const char *pool);
size_t suite_problems(const struct suite *f);
/* The notes: how many lines, and a part of them (NULL: any). */
void suite_expect_notes(const struct suite *f, size_t lines, const char *part);
/* One container, whose problem has the part. */
void suite_expect_problem(const struct suite *f, const char *part);

/* One container of a folder. */
struct suite_spec {
	unsigned n; /* 0..15, which its id is made of */
	enum {
		SUITE_GOOD,
		SUITE_BROKEN,  /* the record of its device is cut */
		SUITE_HOSTILE, /* its name, or its id, tries to leave a folder and a terminal's line
				*/
	} kind;
	long long thin_id;
	long long size_bytes;
};

struct suite_fixture {
	const struct store_ops *ops;
	const char *pool; /* of the configuration; NULL: none */
	bool is_lvm; /* LVM says which device it is: no hint is needed, and few files are read */
	/* Writes a folder with these containers at the root, in that order. */
	void (*write)(const struct suite *f, const struct suite_spec *specs, size_t count);
};

/* Runs the tests; how many failed. */
int suite_run(const struct suite_fixture *fixture);
