/* SPDX-License-Identifier: Apache-2.0 */
/* Private to sys: a folder of the tree and its names in byte order. */
#pragma once

#include "found.h"
#include "str.h"

struct name {
	size_t at;    /* in names.text */
	uint64_t ino; /* as the folder has it: only a hint for the order of reading */
	uint8_t type; /* DT_*, never DT_UNKNOWN for a folder */
	bool is_excluded;
};

struct names {
	struct strbuf text;
	struct name *items;
	size_t count, cap;
};

enum folder_state { FOLDER_NEW, FOLDER_BUSY, FOLDER_LISTED };

struct folder {
	struct folder *parent; /* NULL: the root */
	const char *name;      /* in the parent's names */
	unsigned depth;        /* of the root: 0 */
	uint64_t id;           /* of the root: 0; no other has the same */
	enum folder_state state;
	struct folder *next; /* in the order of the walk */
	unsigned refs;       /* its memory, */
	unsigned users;      /* its descriptor: guarded by whoever shares it */
	int fd;
	dev_t dev;
	ino_t ino;
	bool is_tagged; /* left out as a whole */
	struct found found;
	struct names names;
};

/* NULL without memory.  Takes a reference to the parent, which the caller guards. */
struct folder *folder_new(struct folder *parent, const char *name);
/* Appends its path relative to the root; nothing for the root itself. */
void folder_path(const struct folder *f, struct strbuf *path);
static inline const char *folder_name(const struct folder *f, size_t i)
{
	return f->names.text.data + f->names.items[i].at;
}
/*
 * Opens (unless it is open: the root), looks and lists.  fd is open afterwards if it can be
 * entered.  Only being out of memory is an error; everything else is noted in found.
 */
int folder_list(struct tree *t, struct folder *f);
/* Closes and frees; its parent is not touched. */
void folder_free(struct folder *f);
