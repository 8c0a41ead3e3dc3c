/* SPDX-License-Identifier: Apache-2.0 */
/* What the fault sweep runs on: a namespace and tmpfs of its own, a Docker data root, images,
 * trees. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cfg.h"
#include "run.h"
#include "world.h"

extern struct cfg fixture_cfg;
extern bool fixture_is_apart; /* nothing done from here reaches the host's /var/lib and /run */

/* cmocka's group setup; fails unless the process is in a mount namespace of its own. */
int fixture_setup(void **state);
void fixture_put(const char *path, const void *data, size_t len);
/* Makes the folders above it too. */
void fixture_put_text(const char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define FIXTURE_LOG WORLD_DIR "/stderr" /* of fixture_run */
#define FIXTURE_OUT WORLD_DIR "/stdout"

extern struct model fixture_initial; /* of the scenario at hand */

/* Reads a whole file; "" if there is none. */
const char *fixture_text(const char *path);
/* All of the ledger in one text. */
const char *fixture_ledger(void);
void fixture_wipe(const char *path);
/* The scenario: the pool is active, container a runs, b does not. */
void fixture_pool(void);
/* The world as the scenario has it, and the fault that is to come. */
void fixture_reset(enum fault_mode mode, unsigned n, unsigned pass);
/* Runs it in a process of its own and waits for all that it leaves behind; its wait status. */
int fixture_run(int (*what)(const struct run_options *), bool armed);
