/* SPDX-License-Identifier: Apache-2.0 */
/* Private to run: one job of the configuration. */
#pragma once

#include "job.h"

struct tally {
	int code; /* exit code so far */
	size_t selected, good, incomplete, failed, skipped;
};

/* Archives what the job selects of the list; *sum is zeroed before and receives what came of it. */
void round_run(const struct run_options *o, const struct cfg_job *cfg,
	const struct container_list *list, const char *hostname, struct tally *sum);
