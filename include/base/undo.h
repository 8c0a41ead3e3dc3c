/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The undo stack: what a run has changed in the world, last in first out.
 * Arm before acting; an undo treats "it is not there" as done, so a step that failed half-way,
 * or succeeded and was reported as failed, is undone all the same.  Always unwound: success,
 * failure and signal leave by the same path.  Arming cannot fail (fixed depth, no allocation).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define UNDO_DEPTH 24

typedef int undo_fn(void *arg, struct err *e);

struct undo {
	size_t depth;
	struct undo_step {
		const char *what; /* for messages; static text */
		undo_fn *fn;
		void *arg;          /* borrowed until the step ran */
		bool only_if_clean; /* skipped when a step above it failed */
	} steps[UNDO_DEPTH];
};

size_t undo_mark(const struct undo *u);
void undo_arm(struct undo *u, const char *what, undo_fn *fn, void *arg);
/* As undo_arm, but skipped if any step above failed: the ledger entry then stays. */
void undo_arm_if_clean(struct undo *u, const char *what, undo_fn *fn, void *arg);
/* Takes the topmost step with this fn and arg off without running it. */
void undo_disarm(struct undo *u, undo_fn *fn, const void *arg);
/*
 * Runs all steps above mark, topmost first, each exactly once, also after failures.  Returns 0,
 * or the first failure with *e set.
 */
int undo_to(struct undo *u, size_t mark, struct err *e);
