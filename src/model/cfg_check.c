/* SPDX-License-Identifier: Apache-2.0 */
/* What a text must look like, and what one row cannot see: names and references. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cfg_node.h"
#include "scope.h"

static int refuse(char *reason, size_t reason_size, const char *why)
{
	if (reason && reason_size)
		(void)snprintf(reason, reason_size, "%s", why);
	return -EINVAL;
}

int cfg_check_name(const char *text, char *reason, size_t reason_size)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const char rest[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	if (!*text || (!strchr(letters, text[0]) && !isdigit((unsigned char)text[0])))
		return refuse(reason, reason_size, "a name starts with a letter or a digit");
	if (text[strspn(text, rest)])
		return refuse(reason, reason_size,
			"a name consists of letters, digits, '_', '.' and '-'");
	if (strlen(text) > 64)
		return refuse(reason, reason_size, "a name has at most 64 characters");
	return 0;
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

static bool has_dotdot(const char *text)
{
	for (;;) {
		size_t len = strcspn(text, "/");

		if (len == 2 && strncmp(text, "..", 2) == 0)
			return true;
		if (!text[len])
			return false;
		text += len + 1;
	}
}

int cfg_check_path(const char *text, char *reason, size_t reason_size)
{
	if (text[0] != '/')
		return refuse(reason, reason_size, "must be an absolute path, starting with '/'");
	if (has_control(text))
		return refuse(reason, reason_size, "must not contain control characters");
	if (has_dotdot(text))
		return refuse(reason, reason_size, "must not contain '..'");
	if (strlen(text) > 2048)
		return refuse(reason, reason_size, "must not be longer than 2048 bytes");
	return 0;
}

int cfg_check_pool(const char *text, char *reason, size_t reason_size)
{
	if (text[0] == '/')
		return cfg_check_path(text, reason, reason_size);
	if (!*text || strchr(text, '/') || has_control(text))
		return refuse(
			reason, reason_size, "must be a name in /dev/mapper, or an absolute path");
	if (strlen(text) > 127)
		return refuse(reason, reason_size, "must not be longer than 127 bytes");
	return 0;
}

int cfg_check_volumes(const char *text, char *reason, size_t reason_size)
{
	const char *slash = strchr(text, '/');

	if (has_control(text))
		return refuse(reason, reason_size, "must not contain control characters");
	if (text[0] == '@')
		return text[1] ? 0 : refuse(reason, reason_size, "'@' needs a tag");
	if (!slash || slash == text || !slash[1] || strchr(slash + 1, '/'))
		return refuse(reason, reason_size,
			"must be VG/LV, a glob of that, or @ and a tag of LVM");
	return 0;
}

int cfg_check_subdir(const char *text, char *reason, size_t reason_size)
{
	if (text[0] == '/')
		return refuse(reason, reason_size, "must be relative to the device's root folder");
	if (has_control(text))
		return refuse(reason, reason_size, "must not contain control characters");
	if (has_dotdot(text))
		return refuse(reason, reason_size, "must not contain '..'");
	return 0;
}

int cfg_check_match(const char *text, char *reason, size_t reason_size)
{
	static const char *const states[] = {"created", "running", "paused", "restarting", "exited",
		"stopped", "dead", "removing"};
	static const char *const globs[] = {"pod:", "namespace:"};

	if (!*text)
		return refuse(reason, reason_size, "an empty pattern matches nothing");
	if (has_control(text))
		return refuse(reason, reason_size, "must not contain control characters");
	if (strncmp(text, "label:", 6) == 0) {
		if (text[6] == '\0' || text[6] == '=')
			return refuse(reason, reason_size, "'label:' needs a key");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(globs); i++)
		if (strncmp(text, globs[i], strlen(globs[i])) == 0)
			return text[strlen(globs[i])]
				       ? 0
				       : refuse(reason, reason_size,
						 "'pod:' and 'namespace:' need a name or a glob");
	if (strncmp(text, "state:", 6) == 0) {
		for (size_t i = 0; i < ARRAY_LEN(states); i++)
			if (strcmp(text + 6, states[i]) == 0)
				return 0;
		return refuse(reason, reason_size,
			"a state is created, running, paused, restarting, exited, stopped, "
			"dead or removing");
	}
	/* No name contains a colon, so this would never match: most likely a typing mistake. */
	if (strchr(text, ':') && !strchr(text, '['))
		return refuse(reason, reason_size,
			"only 'label:', 'state:', 'pod:' and 'namespace:' are known");
	return 0;
}

int cfg_check_exclude(const char *text, char *reason, size_t reason_size)
{
	if (!*text)
		return refuse(reason, reason_size, "an empty pattern matches nothing");
	if (text[0] == '/')
		return refuse(reason, reason_size,
			"is relative to the container's '/', drop the leading '/'");
	if (has_dotdot(text))
		return refuse(reason, reason_size, "must not contain '..'");
	return 0;
}

int cfg_check_file_name(const char *text, char *reason, size_t reason_size)
{
	if (!*text || strcmp(text, ".") == 0 || strcmp(text, "..") == 0 || strchr(text, '/'))
		return refuse(reason, reason_size, "must be the name of a file, without '/'");
	return strlen(text) > 255 ? refuse(reason, reason_size, "must not be longer than 255 bytes")
				  : 0;
}

int cfg_zstd_level(const char *text, char *reason, size_t reason_size)
{
	static const char why[] = "expected 'zstd' or 'zstd,LEVEL' with a level from 1 to 19";

	if (strcmp(text, "zstd") == 0)
		return 3;
	if (strncmp(text, "zstd,", 5) != 0)
		return refuse(reason, reason_size, why);
	const char *digits = text + 5;
	size_t n = strspn(digits, "0123456789");

	if (n == 0 || n > 2 || digits[n] || digits[0] == '0')
		return refuse(reason, reason_size, why);
	int level = atoi(digits);

	return level <= 19 ? level : refuse(reason, reason_size, why);
}

int cfg_check_compression(const char *text, char *reason, size_t reason_size)
{
	int r = cfg_zstd_level(text, reason, reason_size);

	return r < 0 ? r : 0;
}

/* The texts of a list sorted, so that a large file stays quick. */
struct names {
	const struct cfg_node **items;
	size_t count;
	bool known; /* false: the section is missing or broken, which was reported */
};

static int by_text(const void *pa, const void *pb)
{
	const struct cfg_node *a = *(const struct cfg_node *const *)pa;
	const struct cfg_node *b = *(const struct cfg_node *const *)pb;
	int r = strcmp(a->text, b->text);

	if (r)
		return r;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->column < b->column ? -1 : a->column > b->column;
}

/* Collects the texts of list, or, with a key, those at the key of its maps. */
static struct names collect(const struct cfg_node *list, const char *key, struct cfg_mistakes *m)
{
	struct names n = {0};

	if (!list || list->kind != NODE_LIST || list->count == 0)
		return n;
	n.items = calloc(list->count, sizeof(const struct cfg_node *));
	if (!n.items) {
		m->oom = true;
		return n;
	}
	n.known = true;
	for (size_t i = 0; i < list->count; i++) {
		const struct cfg_node *item =
			key ? cfg_node_get(list->items[i], key) : list->items[i];

		if (item && item->kind == NODE_TEXT)
			n.items[n.count++] = item;
	}
	if (n.count)
		qsort(n.items, n.count, sizeof(const struct cfg_node *), by_text);
	return n;
}

static void report_twice(const struct names *n, const char *key, struct cfg_mistakes *m)
{
	for (size_t i = 1, first = 0; i < n->count; i++) {
		if (strcmp(n->items[i]->text, n->items[first]->text) != 0)
			first = i;
		else
			cfg_mistake(m, n->items[i], key, "'%.80s' is already used on line %zu",
				n->items[i]->text, n->items[first]->line);
	}
}

static int text_only(const void *pa, const void *pb)
{
	const struct cfg_node *a = *(const struct cfg_node *const *)pa;
	const struct cfg_node *b = *(const struct cfg_node *const *)pb;

	return strcmp(a->text, b->text);
}

static void report_missing(const struct names *n, const struct cfg_node *ref, const char *key,
	const char *what, struct cfg_mistakes *m)
{
	struct cfg_guess g;

	if (!n->known || !ref || ref->kind != NODE_TEXT)
		return;
	if (n->count &&
		bsearch(&ref, n->items, n->count, sizeof(const struct cfg_node *), text_only))
		return;
	cfg_guess_start(&g, ref->text);
	for (size_t i = 0; i < n->count && i < 100; i++)
		cfg_guess_word(&g, n->items[i]->text);
	cfg_mistake(m, ref, key, "there is no %s '%.80s'%s", what, ref->text, cfg_guess_hint(&g));
}

static void check_job(const struct cfg_node *job, const struct names *stores,
	const struct names *dests, struct cfg_mistakes *m)
{
	const struct cfg_node *list = cfg_node_get(job, "stores");
	struct names used = collect(list, NULL, m);

	report_twice(&used, "stores", m);
	free(used.items);
	for (size_t i = 0; list && list->kind == NODE_LIST && i < list->count; i++)
		report_missing(stores, list->items[i], "stores", "store", m);
	report_missing(dests, cfg_node_get(job, "destination"), "destination", "destination", m);
}

static void check_volume(const struct cfg_node *v, struct cfg_mistakes *m)
{
	static const char *const others[] = {"pool", "thin_id", "size"};
	const struct cfg_node *device = cfg_node_get(v, "device");

	if (v->kind != NODE_MAP)
		return;
	for (size_t i = 0; device && i < ARRAY_LEN(others); i++) {
		const struct cfg_node *other = cfg_node_get(v, others[i]);

		if (other)
			cfg_mistake(m, other, others[i], "not together with 'device', on line %zu",
				device->line);
	}
	if (!device && !cfg_node_get(v, "pool"))
		cfg_mistake(m, v, "volumes", "'device', or 'pool' and 'thin_id', is needed");
	else if (!device && !cfg_node_get(v, "thin_id"))
		cfg_mistake(m, v, "volumes", "'thin_id' is needed with 'pool'");
}

static void check_stores(const struct cfg_node *stores, struct cfg_mistakes *m)
{
	for (size_t i = 0; stores && stores->kind == NODE_LIST && i < stores->count; i++) {
		const struct cfg_node *volumes = cfg_node_get(stores->items[i], "volumes");
		struct names trees = collect(cfg_node_get(stores->items[i], "trees"), "name", m);
		struct names n = collect(volumes, "name", m);

		report_twice(&trees, "name", m);
		report_twice(&n, "name", m);
		free(trees.items);
		free(n.items);
		for (size_t k = 0; volumes && volumes->kind == NODE_LIST && k < volumes->count; k++)
			check_volume(volumes->items[k], m);
	}
}

static void check_command(
	const struct cfg_node *command, const struct names *jobs, struct cfg_mistakes *m)
{
	const struct cfg_node *before = cfg_node_get(command, "before");
	const struct cfg_node *after = cfg_node_get(command, "after");
	const struct cfg_node *states = cfg_node_get(command, "states");
	const struct cfg_node *run = cfg_node_get(command, "run");
	const struct cfg_node *list = cfg_node_get(command, "jobs");
	char reason[128];

	if (command->kind != NODE_MAP)
		return;
	if (before && after)
		cfg_mistake(
			m, after, "after", "not together with 'before', on line %zu", before->line);
	else if (!before && !after)
		cfg_mistake(m, command, "commands", "'before' or 'after' is needed");
	if (states && !after)
		cfg_mistake(m, states, "states", "only with 'after'");
	for (size_t i = 0; list && list->kind == NODE_LIST && i < list->count; i++)
		report_missing(jobs, list->items[i], "jobs", "job", m);
	if (!run || run->kind != NODE_LIST || run->count == 0)
		return;
	const struct cfg_node *program = run->items[0];
	if (program->kind == NODE_TEXT && cfg_check_path(program->text, reason, sizeof(reason)) < 0)
		cfg_mistake(m, program, "run", "'%.80s': %s", program->text, reason);
}

void cfg_cross_check(const struct cfg_node *root, struct cfg_mistakes *m)
{
	const struct cfg_node *list = cfg_node_get(root, "jobs");
	struct names stores = collect(cfg_node_get(root, "stores"), "name", m);
	struct names dests = collect(cfg_node_get(root, "destinations"), "name", m);
	struct names jobs = collect(list, "name", m);

	report_twice(&stores, "name", m);
	check_stores(cfg_node_get(root, "stores"), m);
	report_twice(&dests, "name", m);
	report_twice(&jobs, "name", m);
	for (size_t i = 0; list && list->kind == NODE_LIST && i < list->count; i++)
		check_job(list->items[i], &stores, &dests, m);
	list = cfg_node_get(root, "commands");
	for (size_t i = 0; list && list->kind == NODE_LIST && i < list->count; i++)
		check_command(list->items[i], &jobs, m);
	free(stores.items);
	free(dests.items);
	free(jobs.items);
}
