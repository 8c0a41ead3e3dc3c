/* SPDX-License-Identifier: Apache-2.0 */
/* The first bytes of a device; shorter inputs go on with zeros. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fscheck.h"
#include "fsinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t b[FSINFO_BYTES] = {0};
	struct fsinfo fs;
	struct err e = {0};

	memcpy(b, data, size < sizeof(b) ? size : sizeof(b));
	if (fsinfo_parse(b, &fs, &e) < 0) {
		if (e.kind != ERR_SOURCE)
			abort();
	} else if (!fs.type || fs.size_bytes > INT64_MAX) {
		abort();
	}
	(void)fscheck_is_finding((const char *)data, size);
	return 0;
}
