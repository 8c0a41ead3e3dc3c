/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the Docker store: one data root and how its files are read. */
#pragma once

#include <limits.h>

#include "cfg.h"
#include "container.h"
#include "err.h"
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

/* Reads the file path below the root; name receives its full name for messages. */
int docker_read(const struct docker_root *r, const char *path, size_t max, char name[PATH_MAX],
	char **ret, size_t *ret_len, struct err *e);
int docker_no_memory(struct err *e);
/* NULL stays NULL. */
int docker_copy(const char *s, char **ret, struct err *e);
/* Fills r->pool: the operator's word first, then in the order in which Docker decides. */
int docker_find_pool(struct docker_root *r, struct err *e);
