/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of LXC ('l'), of Proxmox' containers ('p') and its storages ('s'), and the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lv_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void proxmox(const char *text, size_t len)
{
	struct pve_config c = {0};

	check(pve_parse(text, len, &c) == 0);
	for (size_t i = 0; i < c.count; i++) {
		const struct pve_volume *v = &c.volumes[i];

		check(strcmp(v->key, "rootfs") == 0 || strncmp(v->key, "mp", 2) == 0);
		check(v->is_foreign || (lvm_is_name(v->name) && lvm_is_name(v->storage)));
	}
	pve_config_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	char vg[LVM_NAME_MAX];

	if (size == 0)
		return 0;
	/* Of exactly that size, so that reading behind its end is noticed. */
	char *copy = malloc(size);
	check(copy != NULL);
	memcpy(copy, text, size - 1);
	if (data[0] == 'l') {
		char *path = lxc_rootfs(copy, size - 1);

		check(!path || path[0]);
		free(path);
	} else if (data[0] == 'p') {
		proxmox(copy, size - 1);
	} else if (data[0] == 's' && pve_storage_group(copy, size - 1, "local-lvm", vg)) {
		check(lvm_is_name(vg));
	}
	free(copy);
	return 0;
}
