/* SPDX-License-Identifier: Apache-2.0 */
#include "trouble.h"

#include <stdlib.h>
#include <string.h>

void trouble_add(struct trouble *t, const char *path, const char *what, int error)
{
	t->count++;
	if (t->kept == TROUBLE_KEEP)
		return;
	if (t->kept % 32 == 0) {
		void *grown = realloc(t->items, (t->kept + 32) * sizeof(*t->items));

		if (!grown)
			return;
		t->items = grown;
	}
	struct trouble_item item = {strdup(path), strdup(what), error};
	if (!item.path || !item.what) {
		free(item.path);
		free(item.what);
		return;
	}
	t->items[t->kept++] = item;
}

void trouble_done(struct trouble *t)
{
	for (size_t i = 0; i < t->kept; i++) {
		free(t->items[i].path);
		free(t->items[i].what);
	}
	free(t->items);
	*t = (struct trouble){0};
}
