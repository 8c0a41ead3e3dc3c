/* SPDX-License-Identifier: Apache-2.0 */
/* What only looks: ps, archives, check. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hook.h"
#include "json.h"
#include "log.h"
#include "scope.h"
#include "stop.h"
#include "store.h"
#include "usage.h"

static void field(struct strbuf *b, const char *key, const char *value)
{
	strbuf_printf(b, ",\"%s\":", key);
	if (value)
		strbuf_json(b, value);
	else
		strbuf_puts(b, "null");
}

static void bytes_field(struct strbuf *b, const char *key, bool is_known, uint64_t bytes)
{
	if (is_known)
		strbuf_printf(b, ",\"%s\":%" PRIu64, key, bytes);
	else
		strbuf_printf(b, ",\"%s\":null", key);
}

/* False without memory: the line is not whole. */
static bool ps_json(const struct container *c, const struct usage_bytes *u)
{
	AUTO_STRBUF b = {0};
	const bool is_thin = c->volume == VOLUME_THIN;

	strbuf_puts(&b, "{\"v\":1,\"type\":\"container\"");
	field(&b, "name", c->name);
	field(&b, "id", c->id);
	field(&b, "namespace", c->namespace);
	field(&b, "image", c->image);
	field(&b, "state", c->state);
	field(&b, "store", c->store);
	field(&b, "path", c->path);
	bytes_field(&b, "thin_id", is_thin, c->thin_id);
	bytes_field(&b, "size_bytes", is_thin, c->size_bytes);
	bytes_field(&b, "mapped_bytes", u->is_known, u->mapped);
	bytes_field(&b, "exclusive_bytes", u->is_shared_known, u->exclusive);
	bytes_field(&b, "shared_bytes", u->is_shared_known, u->mapped - u->exclusive);
	field(&b, "problem", c->problem);
	strbuf_puts(&b, "}");
	report_line(&b);
	return !b.failed;
}

static void size_column(struct strbuf *b, bool is_known, uint64_t bytes)
{
	char size[16] = "-";

	strbuf_printf(b, " %10s", is_known ? str_size(bytes, size) : size);
}

static bool ps_text(const struct container *c, const struct usage_bytes *u, bool with_usage)
{
	AUTO_STRBUF b = {0};
	char name[128], image[128], thin[16] = "-";
	const bool is_thin = c->volume == VOLUME_THIN;

	(void)str_escape(
		c->name ? c->name : "-", strlen(c->name ? c->name : "-"), name, sizeof(name));
	(void)str_escape(
		c->image ? c->image : "-", strlen(c->image ? c->image : "-"), image, sizeof(image));
	if (is_thin)
		(void)snprintf(thin, sizeof(thin), "%" PRIu32, c->thin_id);
	strbuf_printf(&b, "%-20s %-12.12s %-20s %-10s %-10s %8s", name, c->id ? c->id : "-", image,
		c->state ? c->state : "-", c->store, thin);
	size_column(&b, is_thin, c->size_bytes);
	size_column(&b, u->is_known, u->mapped);
	if (with_usage) {
		size_column(&b, u->is_shared_known, u->exclusive);
		size_column(&b, u->is_shared_known, u->mapped - u->exclusive);
	}
	report_line(&b);
	if (c->problem)
		log_warning("%s: %s", name, c->problem);
	return !b.failed;
}

static int ps_print(const struct run_options *o, const struct container_list *list,
	const struct usage_bytes *bytes, struct err *e)
{
	bool is_whole = true;

	if (!o->json)
		(void)printf("%-20s %-12s %-20s %-10s %-10s %8s %10s %10s%s\n", "NAME", "ID",
			"IMAGE", "STATE", "STORE", "THIN", "SIZE", "MAPPED",
			o->usage ? "  EXCLUSIVE     SHARED" : "");
	for (size_t i = 0; i < list->count; i++)
		is_whole &= o->json ? ps_json(&list->items[i], &bytes[i])
				    : ps_text(&list->items[i], &bytes[i], o->usage);
	return is_whole ? 0 : err_sys(e, ERR_FATAL, -ENOMEM, "output");
}

int run_ps(const struct run_options *o)
{
	struct container_list list = {0};
	struct err e = {0};
	struct usage u = {.options = o, .has_dm = dmdev_init(&e) == 0};

	/* A signal must not end it while it holds something of a pool. */
	if (o->usage)
		stop_init();
	int code = list_stores(o->cfg, &list);
	AUTO_FREE struct usage_bytes *bytes = calloc(list.count + 1, sizeof(*bytes));
	int r = bytes ? 0 : err_sys(&e, ERR_FATAL, -ENOMEM, "ps");
	for (size_t i = 0; r == 0 && i < list.count; i++) {
		bytes[i] = usage_of(&u, &list.items[i]);
		if (list.items[i].problem)
			code = exit_worst(code, EXIT_INCOMPLETE);
		r = stop_check(&e);
	}
	if (r == 0)
		r = ps_print(o, &list, bytes, &e);
	if (r < 0)
		report_error(o, "ps", &e);
	code = exit_worst(code, u.code);
	if (r < 0)
		code = exit_worst(code, err_exit_code(e.kind));
	usage_done(&u);
	container_list_done(&list);
	return code;
}

static int one_archive(
	const struct run_options *o, const struct cfg_dest *d, const struct dest_item *item)
{
	AUTO_STRBUF b = {0};
	AUTO_JSON *m = NULL;
	struct err e = {0};
	char size[16], name[512];
	const char *problem = item->problem;

	if (!problem &&
		json_parse_object(item->manifest, strlen(item->manifest), item->name, &m, &e) < 0)
		problem = e.text;
	const json_t *c = json_object_get(m, "container");
	const char *container = json_str(c, "name"), *created = json_str(m, "created");
	const bool is_complete = json_is_true(json_object_get(m, "complete"));
	(void)str_escape(item->name, strlen(item->name), name, sizeof(name));
	if (o->json) {
		strbuf_puts(&b, "{\"v\":1,\"type\":\"archive\"");
		field(&b, "destination", d->name);
		field(&b, "name", item->name);
		field(&b, "container", container);
		field(&b, "created", created);
		strbuf_printf(&b, ",\"complete\":%s,\"file_bytes\":%" PRIu64,
			is_complete ? "true" : "false", item->file_bytes);
		field(&b, "problem", problem);
		strbuf_puts(&b, "}");
	} else {
		strbuf_printf(&b, "%-44s %-21s %10s %s", name, created ? created : "-",
			str_size(item->file_bytes, size),
			problem       ? problem
			: is_complete ? "complete"
				      : "incomplete");
	}
	report_line(&b);
	return problem ? EXIT_INCOMPLETE : EXIT_GOOD;
}

int run_archives(const struct run_options *o)
{
	int code = EXIT_GOOD;

	if (!o->json)
		(void)printf("%-44s %-21s %10s %s\n", "ARCHIVE", "CREATED", "SIZE", "STATUS");
	for (size_t i = 0; i < o->cfg->dest_count; i++) {
		const struct cfg_dest *d = &o->cfg->dests[i];
		struct dest_list list = {0};
		struct err e = {0};

		if (dest_find(d->type)->list(d, &list, &e) < 0) {
			report_error(o, d->name, &e);
			code = exit_worst(code, err_exit_code(e.kind));
		}
		for (size_t k = 0; k < list.count; k++)
			code = exit_worst(code, one_archive(o, d, &list.items[k]));
		dest_list_done(&list);
	}
	return code;
}

static int say(const struct run_options *o, const char *what, const char *name, const char *note,
	const struct err *e)
{
	AUTO_STRBUF b = {0};

	if (o->json) {
		strbuf_printf(&b, "{\"v\":1,\"type\":\"check\",\"what\":\"%s\"", what);
		field(&b, "name", name);
		strbuf_printf(&b, ",\"usable\":%s", e ? "false" : "true");
		field(&b, "note", e ? e->text : note);
		strbuf_puts(&b, "}");
	} else {
		strbuf_printf(&b, "%s '%s': %s%s", what, name, e ? "NOT USABLE: " : "usable, ",
			e ? e->text : note);
	}
	report_line(&b);
	return e ? EXIT_INCOMPLETE : EXIT_GOOD;
}

static int check_pool(const struct run_options *o, const struct pool_ref *ref)
{
	struct err e = {0};
	struct pool p;
	struct pool_status s;
	char note[160];
	const char *name = ref->dm_name ? ref->dm_name : "?";
	int r = dmdev_init(&e);

	if (r == 0)
		r = pool_find(ref, &p, &e);
	if (r == -ENOENT && ref->metadata_path && ref->data_path)
		return say(o, "pool", name, "not active; a run assembles it from its files", NULL);
	p.limits = pools_limits(o->cfg);
	if (r == 0)
		r = pool_guard(&p, &e);
	if (r == 0)
		r = pool_status(&p, &s, &e);
	if (r < 0)
		return say(o, "pool", name, NULL, &e);
	(void)snprintf(note, sizeof(note),
		"data %" PRIu64 " of %" PRIu64 " blocks, metadata %" PRIu64 " of %" PRIu64 " used",
		s.data_used, s.data_total, s.meta_used, s.meta_total);
	return say(o, "pool", p.name, note, NULL);
}

static bool has_pool(const struct container *c)
{
	return c->volume == VOLUME_THIN && !c->problem;
}

/* Most stores have one pool, and then the first container tells. */
static bool is_first_of_pool(const struct container_list *l, size_t at)
{
	const char *name = l->items[at].pool.dm_name;

	if (!has_pool(&l->items[at]))
		return false;
	for (size_t i = 0; i < at; i++) {
		const char *other = l->items[i].pool.dm_name;

		if (has_pool(&l->items[i]) &&
			(name == other || (name && other && strcmp(name, other) == 0)))
			return false;
	}
	return true;
}

static int check_store(const struct run_options *o, const struct cfg_store *s)
{
	struct container_list list = {0};
	struct err e = {0};
	AUTO_STRBUF notes = {0};
	char note[96];
	size_t bad = 0;
	int code = EXIT_GOOD;
	int r = store_find(s->type)->list(s, &list, &notes, &e);

	for (size_t i = 0; i < list.count; i++)
		bad += list.items[i].problem != NULL;
	(void)snprintf(
		note, sizeof(note), "%zu containers, %zu that cannot be archived", list.count, bad);
	code = exit_worst(code, say(o, "store", s->name, note, r < 0 ? &e : NULL));
	for (size_t i = 0; i < list.count; i++)
		if (is_first_of_pool(&list, i))
			code = exit_worst(code, check_pool(o, &list.items[i].pool));
	container_list_done(&list);
	return code;
}

static int check_commands(const struct run_options *o)
{
	struct err e = {0};
	char note[64];

	if (o->cfg->command_count == 0)
		return EXIT_GOOD;
	(void)snprintf(note, sizeof(note), "%zu programs", o->cfg->command_count);
	return say(o, "configuration", "commands", note, hook_check(o, &e) < 0 ? &e : NULL);
}

int run_check(const struct run_options *o)
{
	int code = check_commands(o);

	for (size_t i = 0; i < o->cfg->store_count; i++)
		code = exit_worst(code, check_store(o, &o->cfg->stores[i]));
	for (size_t i = 0; i < o->cfg->dest_count; i++) {
		const struct cfg_dest *d = &o->cfg->dests[i];
		AUTO_STRBUF note = {0};
		struct err e = {0};
		int r = dest_find(d->type)->check(d, &note, &e);

		code = exit_worst(code, say(o, "destination", d->name, note.data ? note.data : "",
						r < 0 ? &e : NULL));
	}
	return code;
}

const struct container *list_find(const struct container_list *l, const char *name, struct err *e)
{
	const struct container *found = NULL;

	for (size_t i = 0; i < l->count; i++) {
		const struct container *c = &l->items[i];

		if (c->id && strcmp(c->id, name) == 0)
			return c;
		if (!c->name || strcmp(c->name, name) != 0)
			continue;
		if (found) {
			(void)err_set(e, ERR_USAGE, -ENOTUNIQ,
				"stores '%s' and '%s' both have one of this name: give its id",
				found->store, c->store);
			return NULL;
		}
		found = c;
	}
	if (!found)
		(void)err_set(e, ERR_NOTHING, -ENOENT, "there is no such container");
	return found;
}
