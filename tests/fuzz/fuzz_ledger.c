/* SPDX-License-Identifier: Apache-2.0 */
/* Ledger entries: whatever is accepted names devices and ids that can be acted upon. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"
#include "thinmeta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ledger_entry x;
	struct err e = {0};

	if (ledger_parse((const char *)data, size, "pool_ffffff.json", &x, &e) < 0) {
		check(e.text[0] && strstr(e.text, "pool_ffffff.json"));
		return 0;
	}
	check(memchr(x.pool, '\0', sizeof(x.pool)) && !strchr(x.pool, '/'));
	check(memchr(x.device, '\0', sizeof(x.device)) && !strchr(x.device, '/'));
	check(x.thin_id <= THINMETA_ID_MAX && x.origin_id <= THINMETA_ID_MAX);
	check(x.kind != LEDGER_METADATA || (x.mark.has_before && x.held_root <= INT64_MAX));
	check(x.origin_count >= 0 && x.origin_count <= SNAPPER_ORIGINS);
	for (int i = 0; i < x.origin_count; i++)
		check(memchr(x.origins[i], '\0', sizeof(x.origins[i])));
	return 0;
}
