/* SPDX-License-Identifier: Apache-2.0 */
#include "container.h"

#include <stdlib.h>
#include <string.h>

void container_done(struct container *c)
{
	free(c->store);
	free(c->id);
	free(c->name);
	free(c->namespace);
	free(c->image);
	free(c->image_id);
	free(c->state);
	for (size_t i = 0; i < c->label_count; i++) {
		free(c->labels[i].key);
		free(c->labels[i].value);
	}
	free(c->labels);
	free(c->config_json);
	free(c->hostconfig_json);
	free(c->pool.dm_name);
	free(c->pool.data_path);
	free(c->pool.metadata_path);
	free(c->pool.device_name);
	free(c->subdir);
	free(c->lv);
	free(c->path);
	free(c->problem);
	*c = (struct container){0};
}

const char *container_label(const struct container *c, const char *key)
{
	for (size_t i = 0; i < c->label_count; i++)
		if (strcmp(c->labels[i].key, key) == 0)
			return c->labels[i].value;
	return NULL;
}

struct container *container_list_add(struct container_list *l)
{
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct container *grown = realloc(l->items, cap * sizeof(*grown));

		if (!grown)
			return NULL;
		l->items = grown;
		l->cap = cap;
	}
	l->items[l->count] = (struct container){0};
	return &l->items[l->count++];
}

void container_list_done(struct container_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		container_done(&l->items[i]);
	free(l->items);
	*l = (struct container_list){0};
}
