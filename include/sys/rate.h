/* SPDX-License-Identifier: Apache-2.0 */
/* A limit in bytes a second: who is faster sleeps.  For one thread. */
#pragma once

#include <stdint.h>

struct rate {
	uint64_t bytes_per_s; /* 0: no limit */
	uint64_t start_ns, taken;
};

void rate_start(struct rate *r, uint64_t bytes_per_s);
/* Call it after the bytes were used; sleeps in pieces of at most 100 ms and ends early when work
 * has to stop. */
void rate_take(struct rate *r, uint64_t bytes);
