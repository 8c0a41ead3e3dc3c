/* SPDX-License-Identifier: Apache-2.0 */
/* LVM's report: whatever is accepted names volumes that can be given to its programs. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lvm.h"
#include "thinmeta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lvm_list l = {0};
	struct err e = {0};

	if (lvm_parse((const char *)data, size, "lvs", &l, &e) < 0) {
		check(e.text[0] && strstr(e.text, "lvs") && !l.items);
		return 0;
	}
	for (size_t i = 0; i < l.count; i++) {
		const struct lvm_lv *v = &l.items[i];
		char name[128];

		check(lvm_is_name(v->vg) && lvm_is_name(v->name) && v->tags);
		check(lvm_in_list(&l, v->vg, v->name) != NULL);
		(void)lvm_has_tag(v, "thinark");
		if (!v->is_thin || v->problem)
			continue;
		check(v->thin_id <= THINMETA_ID_MAX && v->size_bytes && v->size_bytes % 512 == 0);
		if (lvm_dm_name(v->vg, v->pool, "-tpool", name, sizeof(name)))
			check(strlen(name) > 8);
	}
	lvm_list_done(&l);
	return 0;
}
