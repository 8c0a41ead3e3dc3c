/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the loader: the file as a tree whose nodes know their place, and the mistakes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cfg.h"
#include "cfg_key.h"

enum cfg_kind {
	NODE_TEXT,
	NODE_NULL, /* nothing, ~ or null */
	NODE_BOOL,
	NODE_NUMBER,
	NODE_LIST,
	NODE_MAP,
	NODE_BAD, /* already reported; nothing more is said about it */
};

struct cfg_node {
	enum cfg_kind kind;
	size_t line, column;     /* from 1; column counts characters */
	char *text;              /* of scalars */
	struct cfg_node **items; /* of lists; of maps: key, value, key, value ... */
	size_t count, cap;
};

struct cfg_mistakes {
	struct cfg_mistake {
		size_t line, column, order;
		char *text;
	} * items;
	size_t count, cap;
	size_t more; /* not kept */
	bool oom;
};

#define CFG_MISTAKES_MAX 1000

struct cfg_node *cfg_node_new(enum cfg_kind kind, size_t line, size_t column);
/* Takes ownership of item on success. */
int cfg_node_add(struct cfg_node *n, struct cfg_node *item);
void cfg_node_free(struct cfg_node *n);
/* The value at key in a map, NULL if there is none or n is no map; borrowed. */
const struct cfg_node *cfg_node_get(const struct cfg_node *n, const char *key);
/* "text", "a list", ... for messages. */
const char *cfg_kind_name(enum cfg_kind kind);

/* Notes a mistake; without memory sets oom. */
void cfg_mistake_at(struct cfg_mistakes *m, size_t line, size_t column, const char *key,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));
#define cfg_mistake(m, node, key, ...)                                                             \
	cfg_mistake_at((m), (node)->line, (node)->column, (key), __VA_ARGS__)
/* Appends the mistakes in the order of the file. */
void cfg_mistakes_print(struct cfg_mistakes *m, const char *file, struct strbuf *out);
void cfg_mistakes_done(struct cfg_mistakes *m);

/* "; did you mean 'WORD'?" or nothing: feed it all known words, then print hint. */
struct cfg_guess {
	const char *wrong, *best;
	size_t distance;
	char hint[128];
};
void cfg_guess_start(struct cfg_guess *g, const char *wrong);
void cfg_guess_word(struct cfg_guess *g, const char *word);
const char *cfg_guess_hint(struct cfg_guess *g);

/* Text to tree; NULL on a mistake that ends reading, or without memory.  In cfg_load.c. */
struct cfg_node *cfg_parse(const char *text, size_t len, struct cfg_mistakes *m);
/* Tree to struct, by the rows; *to is zeroed before and owned by the caller, also on failure. */
void cfg_fill(
	const struct cfg_node *map, const struct cfg_key *keys, void *to, struct cfg_mistakes *m);
/* What no single row can see: names given twice and references to nothing. */
void cfg_cross_check(const struct cfg_node *root, struct cfg_mistakes *m);
