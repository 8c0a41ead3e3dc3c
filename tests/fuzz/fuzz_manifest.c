/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest_facts facts;
	struct err e = {0};
	int rc = manifest_read((const char *)data, size, "fuzz.json", &facts, &e);

	if (rc < 0 && (e.kind != ERR_DAMAGED || !e.text[0]))
		abort();
	if (rc == 0 && (strlen(facts.sha256) != 64 || facts.covered > size ||
			       (facts.covered && strlen(facts.seal) != 64)))
		abort();
	return 0;
}
