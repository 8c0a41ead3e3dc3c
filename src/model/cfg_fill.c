/* SPDX-License-Identifier: Apache-2.0 */
/* Tree to struct by the rows of cfg_keys.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cfg_node.h"
#include "scope.h"

static const struct cfg_key *find_key(const struct cfg_key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

bool cfg_key_applies(const struct cfg_key *k, const char *type)
{
	for (const char *const *w = k->only; type && w && *w; w++)
		if (strcmp(*w, type) == 0)
			return true;
	return !type || !k->only;
}

/* The map's type as far as the rows know it, else NULL. */
static const char *type_of(const struct cfg_node *map, const struct cfg_key *keys)
{
	const struct cfg_key *k = find_key(keys, "type");
	const struct cfg_node *n = k ? cfg_node_get(map, "type") : NULL;

	for (const char *const *w = n && n->text ? k->words : NULL; w && *w; w++)
		if (strcmp(*w, n->text) == 0)
			return *w;
	return NULL;
}

static void unknown_key(
	const struct cfg_node *key, const struct cfg_key *keys, struct cfg_mistakes *m)
{
	struct cfg_guess g;

	cfg_guess_start(&g, key->text);
	for (; keys->name; keys++)
		cfg_guess_word(&g, keys->name);
	cfg_mistake(m, key, key->text[0] ? key->text : "''", "unknown key%s", cfg_guess_hint(&g));
}

static bool is_one_of(const struct cfg_key *k, const struct cfg_node *n, struct cfg_mistakes *m)
{
	struct cfg_guess g;
	AUTO_STRBUF all = {0};

	cfg_guess_start(&g, n->text);
	for (const char *const *w = k->words; *w; w++) {
		if (strcmp(*w, n->text) == 0)
			return true;
		cfg_guess_word(&g, *w);
		strbuf_printf(&all, "%s'%s'", all.len ? ", " : "", *w);
	}
	cfg_mistake(m, n, k->name, "'%.80s' is not one of %s%s", n->text, all.data ? all.data : "",
		cfg_guess_hint(&g));
	return false;
}

/* The text of a scalar that is good for the row, owned by the caller; NULL: reported. */
static char *text_of(const struct cfg_key *k, const struct cfg_node *n, struct cfg_mistakes *m)
{
	char reason[256] = "not valid";

	if (n->kind == NODE_BAD)
		return NULL;
	if (n->kind == NODE_BOOL || n->kind == NODE_NUMBER) {
		cfg_mistake(m, n, k->name, "expected text, found %s; put '%.80s' in quotes",
			cfg_kind_name(n->kind), n->text);
		return NULL;
	}
	if (n->kind != NODE_TEXT) {
		cfg_mistake(m, n, k->name, "expected text, found %s", cfg_kind_name(n->kind));
		return NULL;
	}
	if (k->words && !is_one_of(k, n, m))
		return NULL;
	if (k->check && k->check(n->text, reason, sizeof(reason)) < 0) {
		cfg_mistake(m, n, k->name, "'%.80s': %s", n->text, reason);
		return NULL;
	}
	char *copy = strdup(n->text);
	if (!copy)
		m->oom = true;
	return copy;
}

static void fill_number(
	const struct cfg_key *k, const struct cfg_node *n, int64_t *to, struct cfg_mistakes *m)
{
	char reason[256] = "not valid";

	if (n->kind == NODE_BAD)
		return;
	if (!n->text || n->kind == NODE_NULL)
		cfg_mistake(m, n, k->name, "expected a value, found %s", cfg_kind_name(n->kind));
	else if (cfg_num_parse(k, n->text, to, reason, sizeof(reason)) < 0)
		cfg_mistake(m, n, k->name, "'%.80s': %s", n->text, reason);
}

static bool is_good_list(const struct cfg_key *k, const struct cfg_node *n, struct cfg_mistakes *m)
{
	if (n->kind == NODE_BAD)
		return false;
	if (n->kind != NODE_LIST) {
		cfg_mistake(m, n, k->name, "expected a list, found %s", cfg_kind_name(n->kind));
		return false;
	}
	if (n->count == 0 && k->filled)
		cfg_mistake(m, n, k->name, "the list is empty, at least one entry is needed");
	return n->count > 0;
}

static void fill_list(const struct cfg_key *k, const struct cfg_node *n, struct cfg_strings *to,
	struct cfg_mistakes *m)
{
	if (!is_good_list(k, n, m))
		return;
	to->items = calloc(n->count, sizeof(*to->items));
	if (!to->items) {
		m->oom = true;
		return;
	}
	for (size_t i = 0; i < n->count; i++) {
		char *text = text_of(k, n->items[i], m);

		if (text)
			to->items[to->count++] = text;
	}
}

static void fill_maps(
	const struct cfg_key *k, const struct cfg_node *n, char *base, struct cfg_mistakes *m)
{
	if (!is_good_list(k, n, m))
		return;
	char *entries = calloc(n->count, k->size);

	if (!entries) {
		m->oom = true;
		return;
	}
	memcpy(base + k->at, &entries, sizeof(entries));
	memcpy(base + k->count_at, &n->count, sizeof(n->count));
	for (size_t i = 0; i < n->count; i++) {
		const struct cfg_node *entry = n->items[i];

		if (entry->kind == NODE_MAP)
			cfg_fill(entry, k->sub, entries + i * k->size, m);
		else if (entry->kind != NODE_BAD)
			cfg_mistake(m, entry, k->name, "expected a map, found %s",
				cfg_kind_name(entry->kind));
	}
}

static void fill_value(
	const struct cfg_key *k, const struct cfg_node *n, char *base, struct cfg_mistakes *m)
{
	switch (k->type) {
	case CFG_STR:
	case CFG_ENUM:
		*(char **)(void *)(base + k->at) = text_of(k, n, m);
		break;
	case CFG_LIST:
		fill_list(k, n, (struct cfg_strings *)(void *)(base + k->at), m);
		break;
	case CFG_NUM:
		fill_number(k, n, (int64_t *)(void *)(base + k->at), m);
		break;
	case CFG_MAPS:
		fill_maps(k, n, base, m);
		break;
	}
}

/* The default with the map's type for a CFG_TYPE at its end; owned by the caller. */
static char *default_of(const struct cfg_key *k, const char *type)
{
	const char *at = type ? strstr(k->def, CFG_TYPE) : NULL;
	char *text = NULL;

	if (!at)
		return strdup(k->def);
	return asprintf(&text, "%.*s%s", (int)(at - k->def), k->def, type) < 0 ? NULL : text;
}

/* Defaults go the way of everything the operator writes. */
static void fill_default(
	const struct cfg_key *k, const char *type, char *base, struct cfg_mistakes *m)
{
	if (k->type == CFG_LIST && strcmp(k->def, "[]") == 0)
		return;
	struct cfg_node *n = k->type == CFG_LIST ? cfg_parse(k->def, strlen(k->def), m)
						 : cfg_node_new(NODE_TEXT, 1, 1);

	if (n && k->type != CFG_LIST)
		n->text = default_of(k, type);
	if (n && (n->text || k->type == CFG_LIST))
		fill_value(k, n, base, m);
	else
		m->oom = true;
	cfg_node_free(n);
}

void cfg_fill(
	const struct cfg_node *map, const struct cfg_key *keys, void *to, struct cfg_mistakes *m)
{
	const struct cfg_node *seen[CFG_KEYS_MAX] = {0};
	const char *type = map->kind == NODE_MAP ? type_of(map, keys) : NULL;

	if (map->kind != NODE_MAP) {
		if (map->kind != NODE_BAD)
			cfg_mistake(m, map, "document", "expected a map, found %s",
				cfg_kind_name(map->kind));
		return;
	}
	for (size_t i = 0; i + 1 < map->count; i += 2) {
		const struct cfg_node *key = map->items[i];
		const struct cfg_key *k = key->text ? find_key(keys, key->text) : NULL;

		if (!key->text) {
			if (key->kind != NODE_BAD)
				cfg_mistake(m, key, "document", "a key must be text, found %s",
					cfg_kind_name(key->kind));
		} else if (!k) {
			unknown_key(key, keys, m);
		} else if (seen[k - keys]) {
			cfg_mistake(m, key, k->name, "given twice, first on line %zu",
				seen[k - keys]->line);
		} else if (!cfg_key_applies(k, type)) {
			cfg_mistake(m, key, k->name, "is no key of type '%s'", type);
		} else {
			seen[k - keys] = key;
			fill_value(k, map->items[i + 1], to, m);
		}
	}
	for (const struct cfg_key *k = keys; k->name; k++) {
		if (seen[k - keys] || !cfg_key_applies(k, type))
			continue;
		if (k->required && k->only && !type)
			continue; /* the type is a mistake, and was reported */
		if (k->required)
			cfg_mistake(m, map, k->name, "missing, a value is required");
		else if (k->def)
			fill_default(k, type, to, m);
	}
	if (keys == cfg_job_keys) {
		struct cfg_job *job = to;

		job->zstd_level = job->compression ? cfg_zstd_level(job->compression, NULL, 0) : 0;
	}
}

static void done_map(const struct cfg_key *keys, char *base)
{
	for (const struct cfg_key *k = keys; k->name; k++) {
		if (k->type == CFG_LIST) {
			struct cfg_strings *l = (struct cfg_strings *)(void *)(base + k->at);

			for (size_t i = 0; i < l->count; i++)
				free(l->items[i]);
			free(l->items);
		} else if (k->type == CFG_MAPS) {
			char *entries;
			size_t count;

			memcpy(&entries, base + k->at, sizeof(entries));
			memcpy(&count, base + k->count_at, sizeof(count));
			for (size_t i = 0; i < count; i++)
				done_map(k->sub, entries + i * k->size);
			free(entries);
		} else if (k->type != CFG_NUM) {
			free(*(char **)(void *)(base + k->at));
		}
	}
}

void cfg_done(struct cfg *c)
{
	done_map(cfg_keys, (char *)c);
	*c = (struct cfg){0};
}

const struct cfg_store *cfg_find_store(const struct cfg *c, const char *name)
{
	for (size_t i = 0; i < c->store_count; i++)
		if (strcmp(c->stores[i].name, name) == 0)
			return &c->stores[i];
	return NULL;
}

const struct cfg_dest *cfg_find_dest(const struct cfg *c, const char *name)
{
	for (size_t i = 0; i < c->dest_count; i++)
		if (strcmp(c->dests[i].name, name) == 0)
			return &c->dests[i];
	return NULL;
}

const struct cfg_job *cfg_find_job(const struct cfg *c, const char *name)
{
	for (size_t i = 0; i < c->job_count; i++)
		if (strcmp(c->jobs[i].name, name) == 0)
			return &c->jobs[i];
	return NULL;
}
