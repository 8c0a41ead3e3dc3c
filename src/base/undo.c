/* SPDX-License-Identifier: Apache-2.0 */
#include "undo.h"

#include <stdlib.h>
#include <string.h>

size_t undo_mark(const struct undo *u)
{
	return u->depth;
}

static void arm(struct undo *u, struct undo_step step)
{
	/* A deeper path than planned is a programming error; going on would leak. */
	if (u->depth == UNDO_DEPTH)
		abort();
	u->steps[u->depth++] = step;
}

void undo_arm(struct undo *u, const char *what, undo_fn *fn, void *arg)
{
	arm(u, (struct undo_step){.what = what, .fn = fn, .arg = arg});
}

void undo_arm_if_clean(struct undo *u, const char *what, undo_fn *fn, void *arg)
{
	arm(u, (struct undo_step){.what = what, .fn = fn, .arg = arg, .only_if_clean = true});
}

void undo_disarm(struct undo *u, undo_fn *fn, const void *arg)
{
	for (size_t i = u->depth; i-- > 0;) {
		if (u->steps[i].fn != fn || u->steps[i].arg != arg)
			continue;
		memmove(&u->steps[i], &u->steps[i + 1], (u->depth - i - 1) * sizeof(u->steps[0]));
		u->depth--;
		return;
	}
}

int undo_to(struct undo *u, size_t mark, struct err *e)
{
	int first = 0;

	while (u->depth > mark) {
		const struct undo_step step = u->steps[--u->depth];
		struct err mine = {0};

		if (step.only_if_clean && first < 0)
			continue;
		int r = step.fn(step.arg, &mine);
		if (r < 0 && first == 0) {
			(void)err_add(&mine, "%s", step.what);
			if (e)
				*e = mine;
			first = r;
		}
	}
	return first;
}
