/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of their pools containers take, from the pools' metadata; they may be active or not.
 * Private to run.
 */
#pragma once

#include "job.h"

struct usage {
	const struct run_options *options;
	struct usage_pool *pools;
	size_t count;
	bool has_dm;
	int code; /* exit code: what could not be found out although it was asked for */
};

struct usage_bytes {
	bool is_known, is_shared_known;
	uint64_t mapped, exclusive; /* exclusive: no other thin device has these blocks too */
};

/*
 * Of c, whose pool_ref must outlive u.  Without options->usage only mapped, which takes a few
 * blocks of the metadata; with it the first container of a pool has all of it read, and says why
 * if that cannot be.
 */
struct usage_bytes usage_of(struct usage *u, const struct container *c);
void usage_done(struct usage *u);
