/* SPDX-License-Identifier: Apache-2.0 */
#include "docker_record.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "scope.h"

#define DEVICE_ID_MAX 0xFFFFFF
#define SIZE_MAX_BYTES (1ll << 60) /* keeps sums of sizes far from overflowing */
#define DM_NAME_MAX 127
#define ZERO_TIME "0001-01-01T00:00:00Z"

/* A file being parsed: its object and its name in messages. */
struct doc {
	json_t *root;
	const char *name;
};

static bool is_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'a' && s[i] <= 'f'))
			return false;
	return true;
}

bool docker_is_id(const char *s)
{
	return strlen(s) == 64 && is_hex(s, 64);
}

bool docker_parse_mount_id(const char *text, size_t len, char out[DOCKER_HASH_CAP])
{
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	while (len > 0 && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	if (len != 64 && !(len == 69 && memcmp(text + 64, "-init", 5) == 0))
		return false;
	if (!is_hex(text, 64))
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

int docker_parse_hostconfig(const char *text, size_t len, const char *name, struct err *e)
{
	AUTO_JSON *root = NULL;

	return json_parse_object(text, len, name, &root, e);
}

static int bad(const struct doc *d, const char *key, const char *reason, struct err *e)
{
	return err_set(e, ERR_STORE, -EBADMSG, "%s: %s: %s", d->name, key, reason);
}

static int copy(const struct doc *d, const char *s, char **ret, struct err *e)
{
	char *made = strdup(s);

	if (!made)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", d->name);
	free(*ret);
	*ret = made;
	return 0;
}

/* The value at key of that type (JSON_TRUE: either boolean), borrowed; NULL when missing. */
static int get(const struct doc *d, json_t *object, const char *key, json_type type, json_t **ret,
	struct err *e)
{
	const char *k;
	json_t *v, *found = NULL;

	*ret = NULL;
	json_object_foreach (object, k, v) {
		if (strcasecmp(k, key) != 0)
			continue;
		/* Go lets the last spelling win; such a file was not written by Docker. */
		if (found)
			return bad(d, key, "given twice in different case", e);
		found = v;
	}
	if (!found || json_is_null(found))
		return 0;
	if (json_typeof(found) != type && !(type == JSON_TRUE && json_is_false(found)))
		return bad(d, key, "has the wrong type", e);
	*ret = found;
	return 0;
}

static int get_bool(const struct doc *d, json_t *object, const char *key, bool *ret, struct err *e)
{
	json_t *v = NULL;
	int r = get(d, object, key, JSON_TRUE, &v, e);

	*ret = r == 0 && v && json_is_true(v);
	return r;
}

/* Leaves *ret alone when the key is missing or the string empty. */
static int get_string(
	const struct doc *d, json_t *object, const char *key, char **ret, struct err *e)
{
	json_t *v = NULL;
	int r = get(d, object, key, JSON_STRING, &v, e);

	if (r < 0 || !v || !json_string_length(v))
		return r;
	return copy(d, json_string_value(v), ret, e);
}

static int get_number(const struct doc *d, const char *key, long long least, long long most,
	long long *ret, struct err *e)
{
	json_t *v = NULL;
	int r = get(d, d->root, key, JSON_INTEGER, &v, e);

	if (r < 0)
		return r;
	/* Go would take 0, but Docker always writes them, and device 0 is somebody else's. */
	if (!v)
		return bad(d, key, "missing", e);
	*ret = json_integer_value(v);
	if (*ret < least || *ret > most)
		return err_set(e, ERR_STORE, -ERANGE, "%s: %s: %lld is not within %lld..%lld",
			d->name, key, *ret, least, most);
	return 0;
}

int docker_parse_device(
	const char *text, size_t len, const char *name, struct docker_device *ret, struct err *e)
{
	AUTO_JSON *root = NULL;
	long long id = 0, size = 0;
	int r = json_parse_object(text, len, name, &root, e);
	struct doc d = {root, name};

	if (r < 0)
		return r;
	*ret = (struct docker_device){0};
	r = get_bool(&d, root, "deleted", &ret->deleted, e);
	if (r == 0)
		r = get_number(&d, "device_id", 0, DEVICE_ID_MAX, &id, e);
	if (r == 0)
		r = get_number(&d, "size", 1, SIZE_MAX_BYTES, &size, e);
	if (r < 0)
		return r;
	if (size % 512)
		return bad(&d, "size", "is not a multiple of 512", e);
	ret->device_id = (uint32_t)id;
	ret->size_bytes = (uint64_t)size;
	return 0;
}

/* Docker's own order of precedence. */
static int parse_state(const struct doc *d, struct container *c, struct err *e)
{
	static const char *const keys[] = {
		"Running", "Paused", "Restarting", "RemovalInProgress", "Dead"};
	enum { RUNNING, PAUSED, RESTARTING, REMOVING, DEAD, FLAGS };
	bool is[FLAGS] = {false};
	AUTO_FREE char *started = NULL;
	const char *state;
	json_t *o = NULL;
	int r = get(d, d->root, "State", JSON_OBJECT, &o, e);

	for (size_t i = 0; r == 0 && o && i < FLAGS; i++)
		r = get_bool(d, o, keys[i], &is[i], e);
	if (r == 0 && o)
		r = get_string(d, o, "StartedAt", &started, e);
	if (r < 0)
		return r;
	if (is[RUNNING])
		state = is[PAUSED] ? "paused" : is[RESTARTING] ? "restarting" : "running";
	else if (is[REMOVING])
		state = "removing";
	else if (is[DEAD])
		state = "dead";
	else
		state = !started || strcmp(started, ZERO_TIME) == 0 ? "created" : "exited";
	return copy(d, state, &c->state, e);
}

static int parse_labels(const struct doc *d, json_t *labels, struct container *c, struct err *e)
{
	size_t n = json_object_size(labels);
	const char *key;
	json_t *v = NULL;

	if (!n)
		return 0;
	c->labels = calloc(n, sizeof(*c->labels));
	if (!c->labels)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", d->name);
	json_object_foreach (labels, key, v) {
		struct label *l = &c->labels[c->label_count++];
		int r;

		if (!json_is_string(v)) {
			r = bad(d, "Labels", "a value is no string", e);
		} else {
			r = copy(d, key, &l->key, e);
			if (r == 0)
				r = copy(d, json_string_value(v), &l->value, e);
		}
		if (r < 0) {
			/* A label is whole or absent: container_label compares every key. */
			free(l->key);
			l->key = NULL;
			c->label_count--;
			return r;
		}
	}
	return 0;
}

/* Archives are called after containers, so a name must be one that Docker could have given. */
static int parse_name(const struct doc *d, struct container *c, struct err *e)
{
	AUTO_FREE char *full = NULL;
	const char *s;
	int r = get_string(d, d->root, "Name", &full, e);

	if (r < 0 || !full)
		return r;
	s = full + (*full == '/');
	if (!*s)
		return 0;
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
			return bad(d, "Name", "is not a container name", e);
	if (*s == '.')
		return bad(d, "Name", "is not a container name", e);
	return copy(d, s, &c->name, e);
}

static int parse_image(const struct doc *d, struct container *c, struct err *e)
{
	json_t *config = NULL, *labels = NULL;
	int r = get_string(d, d->root, "Image", &c->image_id, e);

	if (r == 0)
		r = get(d, d->root, "Config", JSON_OBJECT, &config, e);
	if (r < 0 || !config)
		return r;
	r = get_string(d, config, "Image", &c->image, e);
	if (r == 0)
		r = get(d, config, "Labels", JSON_OBJECT, &labels, e);
	if (r < 0 || !labels)
		return r;
	return parse_labels(d, labels, c, e);
}

int docker_parse_config(const char *text, size_t len, const char *name, struct container *c,
	char **ret_driver, struct err *e)
{
	AUTO_JSON *root = NULL;
	AUTO_FREE char *driver = NULL, *id = NULL;
	int r = json_parse_object(text, len, name, &root, e);
	struct doc d = {root, name};

	if (r < 0)
		return r;
	r = get_string(&d, root, "Driver", &driver, e);
	if (r == 0 && !driver)
		r = bad(&d, "Driver", "missing", e);
	if (r < 0)
		return r;
	*ret_driver = TAKE_PTR(driver);
	r = parse_name(&d, c, e);
	if (r == 0)
		r = get_string(&d, root, "ID", &id, e);
	/* Docker refuses to load such a container too. */
	if (r == 0 && id && strcmp(id, c->id) != 0)
		r = bad(&d, "ID", "is not the one of its folder", e);
	if (r == 0)
		r = parse_state(&d, c, e);
	if (r == 0)
		r = parse_image(&d, c, e);
	if (r == 0 && !(c->config_json = strndup(text, len)))
		r = err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
	return r;
}

int docker_parse_setup(
	const char *text, size_t len, const char *name, bool *ret_made, struct err *e)
{
	AUTO_JSON *root = NULL;
	AUTO_FREE char *device = NULL;
	int r = json_parse_object(text, len, name, &root, e);
	struct doc d = {root, name};

	if (r == 0)
		r = get_string(&d, root, "Device", &device, e);
	*ret_made = r == 0 && device;
	return r;
}

/* One "dm.KEY=VALUE"; the key in any case, white space around both. */
static int parse_option(
	const struct doc *d, const char *s, struct docker_daemon *ret, struct err *e)
{
	static const char mapper[] = "/dev/mapper/";
	const char *eq = strchr(s, '='), *v = eq ? eq + 1 : "";
	char **to = NULL;

	while (isspace((unsigned char)*s))
		s++;
	while (isspace((unsigned char)*v))
		v++;
	while (eq && eq > s && isspace((unsigned char)eq[-1]))
		eq--;
	size_t key = eq ? (size_t)(eq - s) : 0, len = strlen(v);
	AUTO_FREE char *value = NULL;

	while (len > 0 && isspace((unsigned char)v[len - 1]))
		len--;
	if (key == strlen("dm.thinpooldev") && strncasecmp(s, "dm.thinpooldev", key) == 0)
		to = &ret->thinpool;
	else if (key == strlen("dm.datadev") && strncasecmp(s, "dm.datadev", key) == 0)
		to = &ret->datadev;
	else if (key == strlen("dm.metadatadev") && strncasecmp(s, "dm.metadatadev", key) == 0)
		to = &ret->metadatadev;
	if (!to)
		return 0;
	value = strndup(v, len);
	if (!value)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", d->name);
	v = value;
	if (to != &ret->thinpool)
		return *v == '/' ? copy(d, v, to, e)
				 : bad(d, "storage-opts", "a device is no absolute path", e);
	if (strncmp(v, mapper, strlen(mapper)) == 0)
		v += strlen(mapper);
	if (!*v || strchr(v, '/') || strlen(v) > DM_NAME_MAX)
		return bad(d, "storage-opts", "dm.thinpooldev names no device of the mapper", e);
	return copy(d, v, to, e);
}

int docker_parse_daemon(
	const char *text, size_t len, const char *name, struct docker_daemon *ret, struct err *e)
{
	AUTO_JSON *root = NULL;
	json_t *opts = NULL, *v;
	size_t i;
	int r = json_parse_object(text, len, name, &root, e);
	struct doc d = {root, name};

	if (r == 0)
		r = get_string(&d, root, "graph", &ret->root, e);
	if (r == 0)
		r = get_string(&d, root, "data-root", &ret->root, e);
	if (r == 0)
		r = get(&d, root, "storage-opts", JSON_ARRAY, &opts, e);
	if (r < 0)
		return r;
	json_array_foreach (opts, i, v) {
		if (!json_is_string(v))
			return bad(&d, "storage-opts", "an option is no string", e);
		r = parse_option(&d, json_string_value(v), ret, e);
		if (r < 0)
			return r;
	}
	return 0;
}

bool docker_find_option(const char *text, size_t len, const char *key, char *out, size_t size)
{
	const char *at = memmem(text, len, key, strlen(key));
	size_t n = 0;

	if (!at)
		return false;
	at += strlen(key);
	len -= (size_t)(at - text);
	while (n < len && at[n] && !strchr(" \t\r\n\"'", at[n]))
		n++;
	if (n == 0 || n >= size)
		return false;
	memcpy(out, at, n);
	out[n] = '\0';
	return true;
}

void docker_daemon_done(struct docker_daemon *d)
{
	free(d->root);
	free(d->thinpool);
	free(d->datadev);
	free(d->metadatadev);
	*d = (struct docker_daemon){0};
}
