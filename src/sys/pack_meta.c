/* SPDX-License-Identifier: Apache-2.0 */
#include "pack_meta.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A free slot has no path; a path stays until the table is freed. */
struct pack_link {
	dev_t dev;
	ino_t ino;
	char *path;
};

static size_t slot_of(const struct pack_links *l, dev_t dev, ino_t ino)
{
	uint64_t h = ((uint64_t)ino ^ (uint64_t)dev << 32) * 0x9E3779B97F4A7C15u;
	size_t i = (size_t)(h >> 20) & (l->cap - 1);

	while (l->items[i].path && (l->items[i].dev != dev || l->items[i].ino != ino))
		i = (i + 1) & (l->cap - 1);
	return i;
}

static int grow(struct pack_links *l)
{
	struct pack_links bigger = {.cap = l->cap ? l->cap * 2 : 256, .count = l->count};

	bigger.items = calloc(bigger.cap, sizeof(*bigger.items));
	if (!bigger.items)
		return -ENOMEM;
	for (size_t i = 0; i < l->cap; i++)
		if (l->items[i].path)
			bigger.items[slot_of(&bigger, l->items[i].dev, l->items[i].ino)] =
				l->items[i];
	free(l->items);
	*l = bigger;
	return 0;
}

int pack_link_find(
	struct pack_links *l, const struct stat *st, const char *path, const char **first)
{
	if (l->count * 2 >= l->cap && grow(l) < 0)
		return -ENOMEM;
	struct pack_link *at = &l->items[slot_of(l, st->st_dev, st->st_ino)];
	*first = at->path;
	if (at->path)
		return 0;
	*at = (struct pack_link){st->st_dev, st->st_ino, strdup(path)};
	if (!at->path)
		return -ENOMEM;
	l->count++;
	return 0;
}

bool pack_links_have(const struct pack_links *l, const struct stat *st)
{
	return l->cap && l->items[slot_of(l, st->st_dev, st->st_ino)].path;
}

void pack_links_done(struct pack_links *l)
{
	for (size_t i = 0; i < l->cap; i++)
		free(l->items[i].path);
	free(l->items);
	*l = (struct pack_links){0};
}
