/* SPDX-License-Identifier: Apache-2.0 */
#include "podman_record.h"

#include <errno.h>
#include <string.h>

#include "docker_record.h"
#include "json.h"
#include "scope.h"

static int no_memory(struct err *e)
{
	return err_sys(e, ERR_FATAL, -ENOMEM, "podman");
}

static bool is_name(const char *s)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	return s && *s && *s != '.' && *s != '-' && s[strspn(s, letters)] == '\0' &&
	       strlen(s) <= 255;
}

static int add_label(struct container *c, const char *key, const char *value, struct err *e)
{
	struct label *more = reallocarray(c->labels, c->label_count + 1, sizeof(*more));

	if (!more)
		return no_memory(e);
	c->labels = more;
	more[c->label_count] = (struct label){strdup(key), strdup(value)};
	c->label_count++;
	return more[c->label_count - 1].key && more[c->label_count - 1].value ? 0 : no_memory(e);
}

/* CRI-O's words for a pod, under the labels that Kubernetes has for them. */
static int add_pod(struct container *c, const json_t *m, struct err *e)
{
	static const char *const keys[][2] = {{"pod-name", "io.kubernetes.pod.name"},
		{"namespace", "io.kubernetes.pod.namespace"},
		{"metadata-name", "io.kubernetes.container.name"}};
	const char *pod = json_str(m, "pod-name"), *space = json_str(m, "namespace");
	const char *name = json_str(m, "metadata-name");

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *value = json_str(m, keys[i][0]);
		int r = value ? add_label(c, keys[i][1], value, e) : 0;

		if (r < 0)
			return r;
	}
	if (!is_name(pod) || !is_name(space) || !is_name(name))
		return 0;
	free(c->name);
	if (asprintf(&c->name, "%s_%s_%s", space, pod, name) >= 0)
		return 0;
	c->name = NULL;
	return no_memory(e);
}

/* The text inside the record that its user wrote; *ret_pod: it is the sandbox of a pod. */
static int take_metadata(struct container *c, const char *text, bool *ret_pod, struct err *e)
{
	AUTO_JSON *m = NULL;
	struct err ignored = {0};

	if (!text || json_parse_object(text, strlen(text), "metadata", &m, &ignored) < 0)
		return 0; /* names and image are more than is needed */
	*ret_pod = json_is_true(json_object_get(m, "pod"));
	const char *image = json_str(m, "image-name");
	c->image = image ? strdup(image) : NULL;
	return image && !c->image ? no_memory(e) : add_pod(c, m, e);
}

static int set_problem(
	struct container *c, const char *name, const char *what, const char *value, struct err *e)
{
	char shown[128];

	(void)str_escape(value ? value : "", value ? strlen(value) : 0, shown, sizeof(shown));
	if (c->problem)
		return 0;
	if (asprintf(&c->problem, "%s: %s '%s' is not one", name, what, shown) >= 0)
		return 0;
	c->problem = NULL;
	return no_memory(e);
}

static int take_ids(
	const json_t *j, const char *name, const char *prefix, struct container *c, struct err *e)
{
	const char *id = json_str(j, "id"), *layer = json_str(j, "layer");
	char shown[128];
	int r = 0;

	(void)str_escape(id ? id : "?", id ? strlen(id) : 1, shown, sizeof(shown));
	c->id = strdup(shown);
	if (!c->id)
		return no_memory(e);
	if (!id || !docker_is_id(id))
		r = set_problem(c, name, "id", id, e);
	if (r == 0 && (!layer || !docker_is_id(layer)))
		r = set_problem(c, name, "layer", layer, e);
	if (r == 0 && asprintf(&c->pool.device_name, "%s-%s", prefix,
			      layer && docker_is_id(layer) ? layer : "") < 0) {
		c->pool.device_name = NULL;
		r = no_memory(e);
	}
	return r;
}

static int take_names(const json_t *j, const char *name, struct container *c, struct err *e)
{
	const char *first = json_string_value(json_array_get(json_object_get(j, "names"), 0));
	const char *image = json_str(j, "image");
	int r = first && !is_name(first) ? set_problem(c, name, "name", first, e) : 0;

	if (r < 0)
		return r;
	c->image_id = image ? strdup(image) : NULL;
	c->name = is_name(first)        ? strdup(first)
		  : docker_is_id(c->id) ? strndup(c->id, 12)
					: strdup("unnamed");
	c->config_json = json_dumps(j, JSON_COMPACT);
	return c->name && c->config_json && (c->image_id || !image) ? 0 : no_memory(e);
}

static int take_one(const json_t *j, const char *name, const char *store, const char *prefix,
	struct container_list *list, struct err *e)
{
	struct container *c = container_list_add(list);
	bool is_pod = false;

	if (!c)
		return no_memory(e);
	c->store = strdup(store);
	c->subdir = strdup("rootfs");
	if (!c->store || !c->subdir)
		return no_memory(e);
	int r = take_ids(j, name, prefix, c, e);
	if (r == 0)
		r = take_names(j, name, c, e);
	if (r == 0)
		r = take_metadata(c, json_str(j, "metadata"), &is_pod, e);
	if (r == 0 && is_pod)
		container_done(&list->items[--list->count]);
	return r;
}

static int by_id(const void *pa, const void *pb)
{
	const struct container *a = pa, *b = pb;

	return strcmp(a->id, b->id);
}

int podman_parse(const char *text, size_t len, const char *name, const char *store,
	const char *prefix, struct container_list *list, struct err *e)
{
	const size_t first = list->count;
	AUTO_JSON *j = NULL;
	int r = json_parse_array(text, len, name, &j, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < json_array_size(j); i++) {
		const json_t *one = json_array_get(j, i);

		r = json_is_object(one)
			    ? take_one(one, name, store, prefix, list, e)
			    : err_set(e, ERR_STORE, -EBADMSG, "%s: item %zu is no object", name, i);

		if (r < 0)
			return r;
	}
	if (list->count > first)
		qsort(&list->items[first], list->count - first, sizeof(*list->items), by_id);
	return 0;
}

static int take_json(const struct bolt *b, const struct bolt_bucket *in, const char *key,
	json_t **ret, struct err *e)
{
	struct bolt_item item;
	int r = bolt_find(b, in, bolt_text(key), &item, e);

	*ret = NULL;
	if (r <= 0 || item.is_bucket)
		return r < 0 ? r : 0;
	return json_parse_object((const char *)item.value.data, item.value.len, b->name, ret, e);
}

int podman_parse_state(struct bolt *b, struct container *c, struct err *e)
{
	/* libpod/define/containerstate.go */
	static const char *const states[] = {NULL, "created", "created", "running", "stopped",
		"paused", "exited", "removing", "running"};
	const char *const path[] = {"ctr", c->id};
	const struct bolt_bucket top = bolt_top(b);
	AUTO_JSON *state = NULL;
	AUTO_JSON *config = NULL;
	struct bolt_bucket mine;
	const char *key;
	json_t *value;
	int r = bolt_descend(b, &top, path, ARRAY_LEN(path), &mine, e);

	if (r <= 0)
		return r;
	r = take_json(b, &mine, "state", &state, e);
	if (r == 0)
		r = take_json(b, &mine, "config", &config, e);
	const json_int_t number = json_integer_value(json_object_get(state, "state"));
	if (r == 0 && number > 0 && number < (json_int_t)ARRAY_LEN(states)) {
		c->state = strdup(states[number]);
		r = c->state ? 0 : no_memory(e);
	}
	json_object_foreach (json_object_get(config, "labels"), key, value) {
		if (r == 0 && json_is_string(value))
			r = add_label(c, key, json_string_value(value), e);
	}
	return r;
}
