/* SPDX-License-Identifier: Apache-2.0 */
#include "lv_config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scope.h"

/* A part of a text. */
struct span {
	const char *data;
	size_t len;
};

static struct span trim(struct span s)
{
	while (s.len && isspace((unsigned char)s.data[0])) {
		s.data++;
		s.len--;
	}
	while (s.len && isspace((unsigned char)s.data[s.len - 1]))
		s.len--;
	return s;
}

static bool is_text(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static bool begins(struct span s, const char *text)
{
	return s.len >= strlen(text) && memcmp(s.data, text, strlen(text)) == 0;
}

/* Takes the part up to the separator off s; all of it if there is none. */
static struct span cut(struct span *s, char separator)
{
	const char *at = s->len ? memchr(s->data, separator, s->len) : NULL;
	const struct span first = {s->data, at ? (size_t)(at - s->data) : s->len};
	const size_t used = first.len + (at != NULL);

	s->data = used ? s->data + used : s->data;
	s->len -= used;
	return first;
}

/* False, and out is empty, if it does not fit or has a NUL. */
static bool copy(struct span s, char *out, size_t size)
{
	out[0] = '\0';
	if (s.len >= size || (s.len && memchr(s.data, '\0', s.len)))
		return false;
	if (s.len)
		memcpy(out, s.data, s.len);
	out[s.len] = '\0';
	return true;
}

static struct span unquote(struct span s)
{
	if (s.len >= 2 && (s.data[0] == '"' || s.data[0] == '\'') && s.data[s.len - 1] == s.data[0])
		return (struct span){s.data + 1, s.len - 2};
	return s;
}

char *lxc_rootfs(const char *text, size_t len)
{
	struct span rest = {text, len}, found = {0};

	while (rest.len) {
		struct span value = trim(cut(&rest, '\n'));
		const struct span key = trim(cut(&value, '='));

		if (is_text(key, "lxc.rootfs.path") || is_text(key, "lxc.rootfs"))
			found = unquote(trim(value));
	}
	if (begins(found, "lvm:"))
		found = (struct span){found.data + 4, found.len - 4};
	/* NULL as well for a text with a NUL, which is no path. */
	return found.len && !memchr(found.data, '\0', found.len) ? strndup(found.data, found.len)
								 : NULL;
}

/* "STORAGE:VOLUME", or with "volume=" before it, then options. */
static void parse_volume(struct span value, struct pve_volume *v)
{
	bool is_first = true;

	v->is_backed_up = strcmp(v->key, "rootfs") == 0;
	for (; value.len || is_first; is_first = false) {
		struct span item = trim(cut(&value, ','));

		if (is_text(item, "backup=1"))
			v->is_backed_up = true;
		if (begins(item, "volume="))
			item = (struct span){item.data + 7, item.len - 7};
		else if (!is_first)
			continue;
		const struct span storage = cut(&item, ':');
		v->is_foreign = !copy(storage, v->storage, sizeof(v->storage)) ||
				!copy(item, v->name, sizeof(v->name)) || !lvm_is_name(v->name) ||
				!lvm_is_name(v->storage);
	}
}

/* "rootfs" or "mp" and a number. */
static bool is_volume(struct span key)
{
	size_t digits = 0;

	if (is_text(key, "rootfs"))
		return true;
	if (!begins(key, "mp") || key.len < 3 || key.len > 5)
		return false;
	while (2 + digits < key.len && isdigit((unsigned char)key.data[2 + digits]))
		digits++;
	return 2 + digits == key.len;
}

static int take_line(struct span key, struct span value, struct pve_config *c)
{
	if (is_text(key, "hostname"))
		(void)copy(value, c->hostname, sizeof(c->hostname));
	else if (is_text(key, "lock"))
		(void)copy(value, c->lock, sizeof(c->lock));
	if (is_text(key, "tags") && !c->tags) {
		c->tags = strndup(value.data, value.len);
		return c->tags ? 0 : -ENOMEM;
	}
	if (!is_volume(key))
		return 0;
	struct pve_volume *more = reallocarray(c->volumes, c->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->volumes = more;
	more[c->count] = (struct pve_volume){0};
	(void)copy(key, more[c->count].key, sizeof(more->key));
	parse_volume(value, &more[c->count++]);
	return 0;
}

int pve_parse(const char *text, size_t len, struct pve_config *ret)
{
	struct span rest = {text, len};
	int r = 0;

	*ret = (struct pve_config){0};
	/* A section is a snapshot, or what is pending: not how the container is now. */
	while (r == 0 && rest.len && rest.data[0] != '[') {
		struct span value = cut(&rest, '\n');

		if (!value.len || value.data[0] == '#')
			continue;
		const struct span key = trim(cut(&value, ':'));
		r = take_line(key, trim(value), ret);
	}
	if (r < 0)
		pve_config_done(ret);
	return r;
}

void pve_config_done(struct pve_config *c)
{
	free(c->volumes);
	free(c->tags);
	*c = (struct pve_config){0};
}

bool pve_storage_group(const char *text, size_t len, const char *storage, char vg[LVM_NAME_MAX])
{
	struct span rest = {text, len};
	bool is_it = false;

	vg[0] = '\0';
	while (rest.len) {
		struct span line = cut(&rest, '\n');

		if (!line.len || line.data[0] == '#')
			continue;
		if (!isspace((unsigned char)line.data[0])) {
			const struct span type = trim(cut(&line, ':'));

			is_it = is_text(type, "lvmthin") && is_text(trim(line), storage);
			continue;
		}
		line = trim(line);
		const struct span key = cut(&line, ' ');
		if (is_it && is_text(key, "vgname") && !copy(trim(line), vg, LVM_NAME_MAX))
			return false;
	}
	return lvm_is_name(vg);
}

size_t pve_is_config(const char *file)
{
	const size_t digits = strspn(file, "0123456789");

	return digits >= 3 && digits <= 9 && file[0] != '0' && strcmp(file + digits, ".conf") == 0
		       ? digits
		       : 0;
}
