/* SPDX-License-Identifier: Apache-2.0 */
/* What the fault sweep runs on: a namespace and tmpfs of its own, a Docker data root, images,
 * trees. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cfg.h"

extern struct cfg fixture_cfg;
extern bool fixture_is_apart; /* nothing done from here reaches the host's /var/lib and /run */

/* cmocka's group setup; fails unless the process is in a mount namespace of its own. */
int fixture_setup(void **state);
void fixture_put(const char *path, const void *data, size_t len);
/* Makes the folders above it too. */
void fixture_put_text(const char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
