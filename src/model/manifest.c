/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys, in this order:
 *   format, version, program, created, hostname, job
 *   archive {file, bytes, sha256, index_sha256, tar_bytes, compression}
 *   container {store, id, name, namespace, image, image_id, state, labels, config, hostconfig}
 *   source {kind, path}: kind is "thin", "salvaged" or "folder"
 *   snapshot (null unless the source is a thin device)
 *            {pool, origin_thin_id, thin_id, pool_transaction, pool_time, pool_block_bytes,
 *             mapped_bytes, size_bytes, was_active, freeze, window_ms, consistency, paused_ms,
 *             fs_type, mount_mode}
 *   salvage (null unless the source is salvaged)
 *           {metadata, data, thin_id, pool_transaction, pool_time, pool_block_bytes, mapped_bytes,
 *            size_bytes, lost_bytes, losses, fs_type, mount_mode,
 *            check (null if no checker is installed) {command, sound, exit_code, finding}}
 *   counts {entries, files, dirs, symlinks, hardlinks, devices, fifos, sockets_skipped, excluded,
 *           content_bytes}
 *   complete, unreadable_count, unreadable [{path, path_b64, what, error}]
 *   manifest_sha256, which manifest_seal adds
 * Unknown values are null.  Text that is no UTF-8 is shown with U+FFFD; a path has its exact
 * bytes in path_b64 then.
 */
#include "manifest.h"

#include <errno.h>
#include <string.h>

#include "json.h"
#include "scope.h"

/* Text of any bytes; NULL becomes null. */
static json_t *text(const char *s)
{
	if (!s)
		return json_null();
	if (str_is_utf8(s, strlen(s)))
		return json_string(s);
	AUTO_STRBUF quoted = {0};
	strbuf_json(&quoted, s);
	if (quoted.failed)
		return NULL;
	return json_loadb(quoted.data, quoted.len, JSON_DECODE_ANY, NULL);
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *base64(const char *s)
{
	AUTO_STRBUF out = {0};

	strbuf_base64(&out, s, strlen(s));
	return out.failed ? NULL : json_stringn(out.data ? out.data : "", out.len);
}

/* The engine's own JSON as it is; as text when it is no JSON object. */
static json_t *verbatim(const char *s)
{
	json_t *j = NULL;

	if (!s)
		return json_null();
	if (json_parse_object(s, strlen(s), "config", &j, NULL) == 0)
		return j;
	return text(s);
}

static json_t *labels(const struct container *c)
{
	json_t *j = json_object();

	for (size_t i = 0; i < c->label_count; i++) {
		AUTO_JSON *key = text(c->labels[i].key);

		if (!key || json_object_set_new(
				    j, json_string_value(key), text(c->labels[i].value)) < 0) {
			json_decref(j);
			return NULL;
		}
	}
	return j;
}

static json_t *archive(const struct manifest *m)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "file", text(m->archive), "bytes",
		number(m->file_bytes), "sha256", text(m->sha256), "index_sha256",
		text(m->index_sha256), "tar_bytes", number(m->tar_bytes), "compression",
		text(m->compression));
}

static json_t *container(const struct container *c)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "store",
		text(c->store), "id", text(c->id), "name", text(c->name), "namespace",
		text(c->namespace), "image", text(c->image), "image_id", text(c->image_id), "state",
		text(c->state), "labels", labels(c), "config", verbatim(c->config_json),
		"hostconfig", verbatim(c->hostconfig_json));
}

static json_t *source(const struct container *c)
{
	static const char *const kinds[] = {
		[VOLUME_THIN] = "thin", [VOLUME_OFFLINE] = "salvaged", [VOLUME_FOLDER] = "folder"};

	return json_pack("{s:s, s:o}", "kind", kinds[c->volume], "path", text(c->path));
}

static json_t *snapshot(const struct manifest *m)
{
	if (m->container->volume != VOLUME_THIN)
		return json_null();
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:f, s:o, s:f, s:o, s:o}",
		"pool", text(m->pool_name), "origin_thin_id", number(m->origin_thin_id), "thin_id",
		number(m->snap_thin_id), "pool_transaction", number(m->pool_transaction),
		"pool_time", m->pool_time < 0 ? json_null() : json_integer(m->pool_time),
		"pool_block_bytes", number(m->pool_block_bytes), "mapped_bytes",
		number(m->mapped_bytes), "size_bytes", number(m->container->size_bytes),
		"was_active", m->was_active, "freeze", text(m->freeze), "window_ms", m->window_ms,
		"consistency", text(m->consistency), "paused_ms", m->paused_ms, "fs_type",
		text(m->fs_type), "mount_mode", text(m->mount_mode));
}

static json_t *check(const struct manifest_salvage *s)
{
	if (!s->check_command)
		return json_null();
	return json_pack("{s:s, s:b, s:o, s:o}", "command", s->check_command, "sound",
		s->check_is_sound, "exit_code",
		s->check_code < 0 ? json_null() : json_integer(s->check_code), "finding",
		s->check_finding && *s->check_finding ? text(s->check_finding) : json_null());
}

static json_t *salvage(const struct manifest *m)
{
	const struct manifest_salvage *s = m->salvage;

	if (!s)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"metadata", text(s->metadata), "data", text(s->data), "thin_id",
		number(m->origin_thin_id), "pool_transaction", number(m->pool_transaction),
		"pool_time", m->pool_time < 0 ? json_null() : json_integer(m->pool_time),
		"pool_block_bytes", number(m->pool_block_bytes), "mapped_bytes",
		number(m->mapped_bytes), "size_bytes", number(m->container->size_bytes),
		"lost_bytes", number(s->lost_bytes), "losses", number(s->losses), "fs_type",
		text(m->fs_type), "mount_mode", text(m->mount_mode), "check", check(s));
}

static json_t *counts(const struct manifest *m)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "entries",
		number(m->entries), "files", number(m->files), "dirs", number(m->dirs), "symlinks",
		number(m->symlinks), "hardlinks", number(m->hardlinks), "devices",
		number(m->devices), "fifos", number(m->fifos), "sockets_skipped",
		number(m->sockets_skipped), "excluded", number(m->excluded), "content_bytes",
		number(m->content_bytes));
}

static json_t *unreadable(const struct trouble *t)
{
	json_t *list = json_array();

	for (size_t i = 0; t && i < t->kept; i++) {
		const struct trouble_item *item = &t->items[i];
		json_t *j = json_pack("{s:o}", "path", text(item->path));
		int rc = 0;

		if (!str_is_utf8(item->path, strlen(item->path)))
			rc |= json_object_set_new(j, "path_b64", base64(item->path));
		rc |= json_object_set_new(j, "what", text(item->what));
		rc |= json_object_set_new(j, "error", text(strerror(item->error)));
		/* Takes j over in any case, as the calls above take theirs. */
		if (json_array_append_new(list, j) < 0 || rc < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int append(const char *data, size_t len, void *arg)
{
	struct strbuf *out = arg;

	strbuf_add(out, data, len);
	return out->failed ? -1 : 0;
}

int manifest_write(const struct manifest *m, struct strbuf *out, struct err *e)
{
	uint64_t bad = m->trouble ? m->trouble->count : 0;
	AUTO_JSON *j = json_pack(
		"{s:s, s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}",
		"format", "thinark-manifest", "version", 1, "program", THINARK_VERSION, "created",
		text(m->created), "hostname", text(m->hostname), "job", text(m->job), "archive",
		archive(m), "container", container(m->container), "source", source(m->container),
		"snapshot", snapshot(m), "salvage", salvage(m), "counts", counts(m), "complete",
		bad == 0, "unreadable_count", number(bad), "unreadable", unreadable(m->trouble));

	/* Packing fails only without memory: every text above is valid UTF-8. */
	if (!j || json_dump_callback(j, append, out, JSON_INDENT(2)) < 0)
		return err_sys(e, ERR_FATAL, -ENOMEM, "manifest");
	strbuf_puts(out, "\n");
	return out->failed ? err_sys(e, ERR_FATAL, -ENOMEM, "manifest") : 0;
}
