/* SPDX-License-Identifier: Apache-2.0 */
/* Private to restore: which inode each path of this restore became, for its hard links. */
#pragma once

#include <stdbool.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MADE_LATER ((ino_t)-1) /* a thread is about it */
#define MADE_NOT ((ino_t)-2)   /* it failed */

struct made_files {
	struct made {
		uint64_t hash; /* of the path */
		ino_t ino;     /* 0: a free slot; or one of those below */
	} * items;
	size_t count, cap;
};

/* A later one of the same path replaces an earlier one.  -ENOMEM. */
int made_add(struct made_files *m, const char *path, ino_t ino);
/* 0: no such path was made. */
ino_t made_find(const struct made_files *m, const char *path);
/* Is a thread about that path, or about one that it leads through? */
bool made_is_later(const struct made_files *m, const char *path);
void made_done(struct made_files *m);
