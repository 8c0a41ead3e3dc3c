/* SPDX-License-Identifier: Apache-2.0 */
/* The wrapper around the JSON library: one object, no NUL, and a message with the place. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_JSON *j = NULL;
	struct err e = {0};
	int r = json_parse_object((const char *)data, size, "f", &j, &e);

	if (r == 0 && (!json_is_object(j) || memchr(data, '\0', size)))
		abort();
	if (r < 0 && (j || strncmp(e.text, "f:", 2) != 0))
		abort();
	return 0;
}
