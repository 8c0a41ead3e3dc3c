/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_links.h"

#include <errno.h>
#include <stdlib.h>

/* FNV-1a.  Two paths of one hash do no harm: a link still leads to a file of this restore. */
#define HASH_START 0xcbf29ce484222325u

static uint64_t hash_on(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * 0x100000001b3u;
}

static uint64_t hash_of(const char *s)
{
	uint64_t h = HASH_START;

	for (; *s; s++)
		h = hash_on(h, *s);
	return h;
}

static struct made *slot_of(const struct made_files *m, uint64_t hash)
{
	size_t i = (size_t)(hash ^ hash >> 32) & (m->cap - 1);

	while (m->items[i].ino && m->items[i].hash != hash)
		i = (i + 1) & (m->cap - 1);
	return &m->items[i];
}

static int grow(struct made_files *m)
{
	struct made_files bigger = {.cap = m->cap ? m->cap * 2 : 1024, .count = m->count};

	bigger.items = calloc(bigger.cap, sizeof(*bigger.items));
	if (!bigger.items)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++)
		if (m->items[i].ino)
			*slot_of(&bigger, m->items[i].hash) = m->items[i];
	free(m->items);
	*m = bigger;
	return 0;
}

int made_add(struct made_files *m, const char *path, ino_t ino)
{
	uint64_t hash = hash_of(path);

	if (m->count * 2 >= m->cap && grow(m) < 0)
		return -ENOMEM;
	struct made *at = slot_of(m, hash);
	m->count += at->ino == 0;
	*at = (struct made){hash, ino};
	return 0;
}

ino_t made_find(const struct made_files *m, const char *path)
{
	return m->cap ? slot_of(m, hash_of(path))->ino : 0;
}

bool made_is_later(const struct made_files *m, const char *path)
{
	uint64_t h = HASH_START;

	if (!m->cap)
		return false;
	for (; *path; path++) {
		if (*path == '/' && slot_of(m, h)->ino == MADE_LATER)
			return true;
		h = hash_on(h, *path);
	}
	return slot_of(m, h)->ino == MADE_LATER;
}

void made_done(struct made_files *m)
{
	free(m->items);
	*m = (struct made_files){0};
}
