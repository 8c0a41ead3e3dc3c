/* SPDX-License-Identifier: Apache-2.0 */
/* The loader on any bytes: no crash, no leak; either a configuration or located mistakes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cfg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_STRBUF mistakes = {0};
	struct cfg cfg = {0};
	struct err e = {0};
	int r = cfg_load((const char *)data, size, "fuzz.yaml", &cfg, &mistakes, &e);

	if ((r < 0) != (mistakes.len > 0))
		abort();
	for (size_t i = 0; r == 0 && i < cfg.job_count; i++) {
		const struct cfg_job *job = &cfg.jobs[i];

		if (!cfg_find_dest(&cfg, job->destination) || !job->stores.count ||
			job->zstd_level < 1 || job->zstd_level > 19)
			abort();
	}
	if (r == 0)
		cfg_done(&cfg);
	return 0;
}
