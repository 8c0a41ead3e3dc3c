/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the Docker store: one data root and how its files are read. */
#pragma once

#include <limits.h>

#include "cfg.h"
#include "container.h"
#include "err.h"
#include "store.h"
#include "str.h"

#define DOCKER_DEFAULT_ROOT "/var/lib/docker"
#define DOCKER_RECORD_MAX (64u << 10) /* records are some 100 bytes */

/* One data root: that of the configuration, or one of its user namespace roots. */
struct docker_root {
	const struct cfg_store *cfg;
	char *path; /* for messages and for the loop files */
	int fd;
	char prefix[96];      /* of dm names */
	struct pool_ref pool; /* copied into every container */
	struct strbuf *notes;
};

/* Called for a data root whose pool is known. */
typedef int docker_root_fn(const struct docker_root *r, void *arg, struct err *e);
/*
 * The data root of the configuration and the user namespace roots below it.  Kind ERR_STORE when
 * the driver was never used there.
 */
int docker_each_root(const struct cfg_store *cfg, docker_root_fn *fn, void *arg,
	struct strbuf *notes, struct err *e);
/* As store_ops.records. */
int docker_records(const struct cfg_store *cfg, store_record_fn *fn, void *arg,
	struct strbuf *notes, struct err *e);
/* One line about the file name below the root. */
void docker_note(const struct docker_root *r, const char *name, const char *text);
/* Reads the file path below the root; name receives its full name for messages. */
int docker_read(const struct docker_root *r, const char *path, size_t max, char name[PATH_MAX],
	char **ret, size_t *ret_len, struct err *e);
int docker_no_memory(struct err *e);
/* NULL stays NULL. */
int docker_copy(const char *s, char **ret, struct err *e);
/* Fills r->pool: the operator's word first, then in the order in which Docker decides. */
int docker_find_pool(struct docker_root *r, struct err *e);
