/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's answer about a container. */
#include <stdint.h>
#include <stdlib.h>

#include "engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum engine_state state = ENGINE_STOPPED;
	struct err e = {0};
	int r = engine_parse_state((const char *)data, size, "f", &state, &e);

	if (r > 0 || (r == 0) != (e.kind == ERR_NONE) || (r < 0 && (!e.text[0] || e.code != r)))
		abort();
	return 0;
}
