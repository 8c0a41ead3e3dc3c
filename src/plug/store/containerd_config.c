/* SPDX-License-Identifier: Apache-2.0 */
/* As much TOML as the three settings of interest need. */
#include <ctype.h>
#include <string.h>

#include "containerd_record.h"
#include "scope.h"

#define DM_NAME_MAX 127

struct line {
	const char *at;
	size_t len;
};

static struct line trim(struct line l)
{
	while (l.len && isspace((unsigned char)*l.at)) {
		l.at++;
		l.len--;
	}
	while (l.len && isspace((unsigned char)l.at[l.len - 1]))
		l.len--;
	return l;
}

/* A key or a table's name without quotes and white space; false if it does not fit. */
static bool plain(struct line l, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < l.len; i++) {
		if (strchr("\"' \t", l.at[i]))
			continue;
		if (n + 1 == size || l.at[i] == '\0')
			return false;
		out[n++] = l.at[i];
	}
	out[n] = '\0';
	return true;
}

/* "text" or 'text' on one line without escapes. */
static bool quoted(struct line l, struct line *ret)
{
	const char *end;

	l = trim(l);
	if (l.len < 2 || (*l.at != '"' && *l.at != '\''))
		return false;
	end = memchr(l.at + 1, *l.at, l.len - 1);
	if (!end)
		return false;
	*ret = (struct line){l.at + 1, (size_t)(end - l.at - 1)};
	return !(*l.at == '"' && memchr(ret->at, '\\', ret->len)) &&
	       !memchr(ret->at, '\0', ret->len);
}

enum table { TABLE_TOP, TABLE_PLUGIN, TABLE_OTHER };

static enum table table_of(struct line l)
{
	const char *end = memchr(l.at, ']', l.len);
	char name[128];

	if (!end || !plain((struct line){l.at + 1, (size_t)(end - l.at - 1)}, name, sizeof(name)))
		return TABLE_OTHER;
	/* The second is that of version 1 of the file. */
	return strcmp(name, "plugins.io.containerd.snapshotter.v1.devmapper") == 0 ||
			       strcmp(name, "plugins.devmapper") == 0
		       ? TABLE_PLUGIN
		       : TABLE_OTHER;
}

static int take(const char *name, enum table table, struct line l, struct containerd_config *ret,
	struct err *e)
{
	const char *eq = memchr(l.at, '=', l.len);
	char key[64];
	struct line value;
	char **to = NULL;

	if (!eq || !plain((struct line){l.at, (size_t)(eq - l.at)}, key, sizeof(key)))
		return 0;
	if (table == TABLE_TOP && strcmp(key, "root") == 0)
		to = &ret->root;
	else if (table == TABLE_PLUGIN && strcmp(key, "root_path") == 0)
		to = &ret->root_path;
	else if (table == TABLE_PLUGIN && strcmp(key, "pool_name") == 0)
		to = &ret->pool_name;
	if (!to || !quoted((struct line){eq + 1, (size_t)(l.at + l.len - eq - 1)}, &value) ||
		!value.len)
		return 0;
	if (to != &ret->pool_name && value.at[0] != '/')
		return err_set(e, ERR_STORE, -EBADMSG, "%s: %s: is no absolute path", name, key);
	if (to == &ret->pool_name && (memchr(value.at, '/', value.len) || value.len > DM_NAME_MAX))
		return err_set(e, ERR_STORE, -EBADMSG,
			"%s: pool_name: names no device of the mapper", name);
	char *copy = strndup(value.at, value.len);
	if (!copy)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
	free(*to);
	*to = copy;
	return 0;
}

int containerd_parse_config(const char *text, size_t len, const char *name,
	struct containerd_config *ret, struct err *e)
{
	enum table table = TABLE_TOP;

	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;
		struct line l = trim((struct line){text + at, n});
		int r;

		at += n + 1;
		if (!l.len || *l.at == '#')
			continue;
		if (*l.at == '[') {
			table = table_of(l);
			continue;
		}
		r = take(name, table, l, ret, e);
		if (r < 0)
			return r;
	}
	return 0;
}

void containerd_config_done(struct containerd_config *c)
{
	free(c->root);
	free(c->root_path);
	free(c->pool_name);
	*c = (struct containerd_config){0};
}
