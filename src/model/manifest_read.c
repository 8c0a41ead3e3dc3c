/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "manifest.h"
#include "scope.h"

#define SEAL_HEAD ",\n  \"manifest_sha256\": \""
#define SEAL_TAIL "\"\n}\n"
#define SEAL_HEX 64
#define PLAIN_TAIL "\n}\n"

size_t manifest_covered(const struct strbuf *text)
{
	const size_t tail = strlen(PLAIN_TAIL);

	if (text->len < tail || strcmp(text->data + text->len - tail, PLAIN_TAIL) != 0)
		return 0;
	return text->len - tail;
}

int manifest_seal(struct strbuf *text, const char sha256[65], struct err *e)
{
	const size_t covered = manifest_covered(text);

	if (!covered)
		return err_set(e, ERR_FATAL, -EINVAL, "manifest: nothing to seal");
	text->len = covered;
	strbuf_printf(text, SEAL_HEAD "%s" SEAL_TAIL, sha256);
	return text->failed ? err_sys(e, ERR_FATAL, -ENOMEM, "manifest") : 0;
}

/* The seal is looked for at the very end, where it was put: not through the JSON. */
static void find_seal(const char *text, size_t len, struct manifest_facts *ret)
{
	const size_t head = strlen(SEAL_HEAD), tail = strlen(SEAL_TAIL);

	if (len < head + SEAL_HEX + tail)
		return;
	const char *p = text + len - tail - SEAL_HEX - head;
	if (memcmp(p, SEAL_HEAD, head) != 0 || memcmp(p + head + SEAL_HEX, SEAL_TAIL, tail) != 0)
		return;
	memcpy(ret->seal, p + head, SEAL_HEX);
	ret->covered = (size_t)(p - text);
}

static void copy(char *to, size_t cap, const char *from)
{
	(void)snprintf(to, cap, "%s", from ? from : "");
}

static bool number(const json_t *object, const char *key, uint64_t *ret)
{
	const json_t *j = json_object_get(object, key);

	if (!json_is_integer(j) || json_integer_value(j) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(j);
	return true;
}

static bool digest(const json_t *object, const char *key, char to[65])
{
	const char *s = json_str(object, key);

	if (!s || strlen(s) != SEAL_HEX || strspn(s, "0123456789abcdef") != SEAL_HEX)
		return false;
	copy(to, 65, s);
	return true;
}

static const char *read_archive(const json_t *a, struct manifest_facts *ret)
{
	if (!digest(a, "sha256", ret->sha256))
		return "archive.sha256";
	if (!digest(a, "index_sha256", ret->index_sha256))
		return "archive.index_sha256";
	if (!number(a, "bytes", &ret->file_bytes))
		return "archive.bytes";
	return number(a, "tar_bytes", &ret->tar_bytes) ? NULL : "archive.tar_bytes";
}

static const char *read_counts(const json_t *c, struct manifest_facts *ret)
{
	const struct {
		const char *key;
		uint64_t *to;
	} rows[] = {{"entries", &ret->entries}, {"files", &ret->files}, {"dirs", &ret->dirs},
		{"symlinks", &ret->symlinks}, {"hardlinks", &ret->hardlinks},
		{"devices", &ret->devices}, {"fifos", &ret->fifos},
		{"content_bytes", &ret->content_bytes}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!number(c, rows[i].key, rows[i].to))
			return rows[i].key;
	return NULL;
}

int manifest_read(
	const char *text, size_t len, const char *name, struct manifest_facts *ret, struct err *e)
{
	AUTO_JSON *j = NULL;

	*ret = (struct manifest_facts){0};
	int rc = json_parse_object(text, len, name, &j, e);
	if (rc < 0) {
		e->kind = ERR_DAMAGED;
		return rc;
	}
	const char *format = json_str(j, "format");
	uint64_t version = 0;
	if (!format || strcmp(format, "thinark-manifest") != 0)
		return err_set(e, ERR_DAMAGED, -EBADMSG, "%s: not a manifest of thinark", name);
	if (!number(j, "version", &version) || version != 1)
		return err_set(e, ERR_DAMAGED, -ENOTSUP, "%s: version %" PRIu64 " is not known",
			name, version);
	const char *missing = read_archive(json_object_get(j, "archive"), ret);
	if (!missing)
		missing = read_counts(json_object_get(j, "counts"), ret);
	if (missing)
		return err_set(
			e, ERR_DAMAGED, -EBADMSG, "%s: %s is missing or wrong", name, missing);
	ret->is_complete = json_is_true(json_object_get(j, "complete"));
	copy(ret->created, sizeof(ret->created), json_str(j, "created"));
	copy(ret->container, sizeof(ret->container),
		json_str(json_object_get(j, "container"), "name"));
	find_seal(text, len, ret);
	return 0;
}
