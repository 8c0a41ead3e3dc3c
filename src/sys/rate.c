/* SPDX-License-Identifier: Apache-2.0 */
#include "rate.h"

#include "clock.h"
#include "stop.h"

#define STEP_MS 100
#define SECOND_NS 1000000000u

void rate_start(struct rate *r, uint64_t bytes_per_s)
{
	*r = (struct rate){.bytes_per_s = bytes_per_s, .start_ns = clock_ns()};
}

void rate_take(struct rate *r, uint64_t bytes)
{
	struct err e;

	if (!r->bytes_per_s)
		return;
	r->taken += bytes;
	while (stop_check(&e) == 0) {
		const double due = (double)r->taken / (double)r->bytes_per_s * SECOND_NS;
		const uint64_t now = clock_ns() - r->start_ns;

		if (due <= (double)now)
			break;
		const uint64_t ms = ((uint64_t)due - now) / 1000000u;
		clock_sleep_ms(ms < STEP_MS ? (unsigned)ms + 1 : STEP_MS);
	}
	/* What was not used of a second is lost: no burst after a pause. */
	const uint64_t now = clock_ns();
	if ((double)r->taken / (double)r->bytes_per_s * SECOND_NS + SECOND_NS <
		(double)(now - r->start_ns))
		rate_start(r, r->bytes_per_s);
}
