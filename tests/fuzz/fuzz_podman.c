/* SPDX-License-Identifier: Apache-2.0 */
/* containers.json of containers/storage: whatever is accepted is named safely or has a problem. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "docker_record.h"
#include "podman_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct container_list list = {0};
	struct err e = {0};

	if (podman_parse((const char *)data, size, "f", "s", "container-1:2-3", &list, &e) < 0)
		check(e.kind == ERR_STORE && e.text[0]);
	else
		for (size_t i = 0; i < list.count; i++) {
			const struct container *c = &list.items[i];

			check(c->id && c->name && c->config_json && c->pool.device_name);
			check(!strchr(c->name, '/') && c->name[0] != '.');
			check(c->problem || docker_is_id(c->id));
			check(i == 0 || strcmp(c[-1].id, c->id) <= 0);
		}
	container_list_done(&list);
	return 0;
}
