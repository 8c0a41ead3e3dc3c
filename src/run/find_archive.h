/* SPDX-License-Identifier: Apache-2.0 */
/* Private to run: what a user calls an archive, found and opened. */
#pragma once

#include "manifest.h"
#include "run.h"

struct found_archive {
	int fd;
	char *name;     /* as the user or the destination calls it */
	char *manifest; /* text; NULL: there is none */
	struct manifest_facts facts;
	struct err problem; /* of the manifest; code 0: it was read, or there is none */
};

/*
 * arg: the path of a file, a name as "archives" prints it, or CONTAINER/latest.  Kind ERR_NOTHING:
 * no such archive.
 */
int find_archive(
	const struct read_options *o, const char *arg, struct found_archive *ret, struct err *e);
void found_archive_done(struct found_archive *a);
#define AUTO_FOUND __attribute__((cleanup(found_archive_done))) struct found_archive

/* One line about something wrong with path (NULL: the archive itself), logged or as JSON. */
void report_problem(
	const struct read_options *o, const char *archive, const char *path, const char *text);
/* Reports the failure of a command; returns its exit code. */
int report_failure(const struct read_options *o, const char *archive, const struct err *e);
/* ,"KEY":"value" or null; path_b64 behind it when value is no UTF-8 (for paths). */
void json_field(struct strbuf *b, const char *key, const char *value);
void json_path(struct strbuf *b, const char *path);
/* Argument paths as the archive has them: without leading slashes, cleaned.  NULL: no memory, or
 * *bad is one that leads outside. */
char **clean_paths(char **args, size_t count, const char **bad);
void clean_paths_done(char **paths, size_t count);
