/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "dest.h"
#include "scope.h"
#include "store.h"

static const struct store_ops *const stores[] = {&store_docker, &store_containerd, &store_lvm,
	&store_lxc, &store_manual, &store_podman, &store_proxmox, &store_tree};
static const struct dest_ops *const dests[] = {&dest_directory};

const struct store_ops *store_find(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(stores); i++)
		if (strcmp(stores[i]->type, type) == 0)
			return stores[i];
	return NULL;
}

const struct dest_ops *dest_find(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(dests); i++)
		if (strcmp(dests[i]->type, type) == 0)
			return dests[i];
	return NULL;
}

void dest_list_done(struct dest_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->items[i].name);
		free(l->items[i].manifest);
		free(l->items[i].problem);
	}
	free(l->items);
	*l = (struct dest_list){0};
}
