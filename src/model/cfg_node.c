/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg_node.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scope.h"

struct cfg_node *cfg_node_new(enum cfg_kind kind, size_t line, size_t column)
{
	struct cfg_node *n = calloc(1, sizeof(*n));

	if (n) {
		n->kind = kind;
		n->line = line;
		n->column = column;
	}
	return n;
}

int cfg_node_add(struct cfg_node *n, struct cfg_node *item)
{
	if (n->count == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 4;
		struct cfg_node **grown = realloc(n->items, cap * sizeof(struct cfg_node *));

		if (!grown)
			return -ENOMEM;
		n->items = grown;
		n->cap = cap;
	}
	n->items[n->count++] = item;
	return 0;
}

void cfg_node_free(struct cfg_node *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->count; i++)
		cfg_node_free(n->items[i]);
	free(n->items);
	free(n->text);
	free(n);
}

const struct cfg_node *cfg_node_get(const struct cfg_node *n, const char *key)
{
	if (!n || n->kind != NODE_MAP)
		return NULL;
	for (size_t i = 0; i + 1 < n->count; i += 2)
		if (n->items[i]->text && strcmp(n->items[i]->text, key) == 0)
			return n->items[i + 1];
	return NULL;
}

const char *cfg_kind_name(enum cfg_kind kind)
{
	static const char *const names[] = {
		[NODE_TEXT] = "text",
		[NODE_NULL] = "nothing",
		[NODE_BOOL] = "a boolean",
		[NODE_NUMBER] = "a number",
		[NODE_LIST] = "a list",
		[NODE_MAP] = "a map",
		[NODE_BAD] = "something else",
	};

	return names[kind];
}

static char *one_line(const char *key, const char *reason)
{
	AUTO_FREE char *raw = NULL;

	if (asprintf(&raw, "%.80s: %s", key, reason) < 0) {
		raw = NULL;
		return NULL;
	}
	/* Values are quoted as they stand in the file: they must not forge lines or codes. */
	size_t need = str_escape(raw, strlen(raw), NULL, 0) + 1;
	char *line = malloc(need);

	if (line)
		(void)str_escape(raw, strlen(raw), line, need);
	return line;
}

void cfg_mistake_at(
	struct cfg_mistakes *m, size_t line, size_t column, const char *key, const char *fmt, ...)
{
	char reason[512];
	va_list ap;

	if (m->count == CFG_MISTAKES_MAX) {
		m->more++;
		return;
	}
	if (m->count == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 16;
		struct cfg_mistake *grown = realloc(m->items, cap * sizeof(*grown));

		if (!grown) {
			m->oom = true;
			return;
		}
		m->items = grown;
		m->cap = cap;
	}
	va_start(ap, fmt);
	(void)vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	char *text = one_line(key, reason);
	if (!text) {
		m->oom = true;
		return;
	}
	m->items[m->count] = (struct cfg_mistake){
		.line = line, .column = column, .order = m->count, .text = text};
	m->count++;
}

static int by_place(const void *pa, const void *pb)
{
	const struct cfg_mistake *a = pa, *b = pb;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

void cfg_mistakes_print(struct cfg_mistakes *m, const char *file, struct strbuf *out)
{
	if (m->count)
		qsort(m->items, m->count, sizeof(*m->items), by_place);
	for (size_t i = 0; i < m->count; i++)
		strbuf_printf(out, "%s:%zu:%zu: %s\n", file, m->items[i].line, m->items[i].column,
			m->items[i].text);
	if (m->more && m->count) {
		const struct cfg_mistake *last = &m->items[m->count - 1];

		strbuf_printf(out, "%s:%zu:%zu: document: %zu more mistakes\n", file, last->line,
			last->column, m->more);
	}
}

void cfg_mistakes_done(struct cfg_mistakes *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->items[i].text);
	free(m->items);
	*m = (struct cfg_mistakes){0};
}

void cfg_guess_start(struct cfg_guess *g, const char *wrong)
{
	size_t len = strlen(wrong);

	*g = (struct cfg_guess){.wrong = wrong};
	/* Long texts are no typing mistakes, and the distance is quadratic. */
	if (len == 0 || len > 64)
		g->wrong = NULL;
	else
		g->distance = (len < 9 ? 2 : len / 3) + 1;
}

void cfg_guess_word(struct cfg_guess *g, const char *word)
{
	if (!g->wrong || strlen(word) > 64)
		return;
	size_t d = str_distance(g->wrong, word);

	if (d < g->distance && d < strlen(word)) {
		g->distance = d;
		g->best = word;
	}
}

const char *cfg_guess_hint(struct cfg_guess *g)
{
	g->hint[0] = '\0';
	if (g->best)
		(void)snprintf(g->hint, sizeof(g->hint), "; did you mean '%s'?", g->best);
	return g->hint;
}
