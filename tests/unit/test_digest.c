/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 by the processor, alone and two at a time, against libcrypto's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "scope.h"

#define TEXT 4096
#define JOBS 40
#define STREAMS 4 /* digests that several jobs share */

static unsigned char text[TEXT];
static uint32_t chance = 1;

static uint32_t random_below(uint32_t n)
{
	chance = chance * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)chance * n >> 32);
}

static void plain_sum(const void *data, size_t len, unsigned char out[DIGEST_LEN])
{
	struct digest *d = NULL;
	struct err e = {0};

	assert_int_equal(digest_new_plain(&d, &e), 0);
	assert_int_equal(digest_add(d, data, len, &e), 0);
	assert_int_equal(digest_next(d, out, &e), 0);
	digest_free(d);
}

/* FIPS 180-4's example. */
static void known_value(void **state)
{
	char hex[DIGEST_HEX];
	struct err e = {0};

	(void)state;
	assert_int_equal(digest_text("abc", 3, hex, &e), 0);
	assert_string_equal(
		hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void every_length_and_cut(void **state)
{
	unsigned char want[DIGEST_LEN], got[DIGEST_LEN];
	struct digest *d = NULL;
	struct err e = {0};
	unsigned compared = 0;

	(void)state;
	assert_int_equal(digest_new(&d, &e), 0);
	for (size_t len = 0; len < 300; len++) {
		plain_sum(text, len, want);
		for (size_t cut = 0; cut <= len; cut += 1 + len / 17, compared++) {
			assert_int_equal(digest_add(d, text, cut, &e), 0);
			assert_int_equal(digest_add(d, text + cut, len - cut, &e), 0);
			assert_int_equal(digest_next(d, got, &e), 0);
			assert_memory_equal(want, got, DIGEST_LEN);
		}
	}
	digest_free(d);
	printf("%u sums compared\n", compared);
	assert_true(compared > 3000);
}

/* Jobs of own and of shared digests, in random order, lengths and ends. */
static unsigned one_batch(struct digest *spare, struct digest *const streams[STREAMS],
	unsigned char seen[STREAMS][JOBS * TEXT], size_t filled[STREAMS])
{
	struct digest_job jobs[JOBS] = {0};
	unsigned char want[JOBS][DIGEST_LEN], got[JOBS][DIGEST_LEN];
	struct err e = {0};
	unsigned ends = 0;

	for (size_t i = 0; i < JOBS; i++) {
		const size_t at = random_below(TEXT), kind = random_below(STREAMS + 2);
		const size_t most = random_below(2) ? TEXT - at : (TEXT - at) / 32;
		const bool is_own = kind >= STREAMS;

		jobs[i].data = text + at;
		jobs[i].len = random_below((uint32_t)most + 1);
		jobs[i].to = is_own ? NULL : streams[kind];
		jobs[i].out = is_own || random_below(3) == 0 ? got[i] : NULL;
		if (is_own) {
			plain_sum(jobs[i].data, jobs[i].len, want[i]);
			continue;
		}
		memcpy(seen[kind] + filled[kind], jobs[i].data, jobs[i].len);
		filled[kind] += jobs[i].len;
		if (!jobs[i].out)
			continue;
		plain_sum(seen[kind], filled[kind], want[i]);
		filled[kind] = 0;
	}
	assert_int_equal(digest_all(spare, jobs, JOBS, &e), 0);
	for (size_t i = 0; i < JOBS; i++) {
		if (!jobs[i].out)
			continue;
		assert_memory_equal(want[i], got[i], DIGEST_LEN);
		ends++;
	}
	return ends;
}

static void batches(bool plain)
{
	static unsigned char seen[STREAMS][JOBS * TEXT];
	struct digest *spare = NULL, *streams[STREAMS] = {NULL};
	struct err e = {0};
	unsigned ends = 0;

	assert_int_equal(plain ? digest_new_plain(&spare, &e) : digest_new(&spare, &e), 0);
	for (size_t round = 0; round < 300; round++) {
		size_t filled[STREAMS] = {0};

		for (size_t i = 0; i < STREAMS; i++)
			assert_int_equal(plain ? digest_new_plain(&streams[i], &e)
					       : digest_new(&streams[i], &e),
				0);
		ends += one_batch(spare, streams, seen, filled);
		for (size_t i = 0; i < STREAMS; i++)
			digest_free(streams[i]);
	}
	printf("%u sums compared, %s\n", ends, digest_is_paired(spare) ? "in pairs" : "one by one");
	digest_free(spare);
	assert_true(ends > 3000);
}

static void batches_here(void **state)
{
	(void)state;
	batches(false);
}

static void batches_elsewhere(void **state)
{
	(void)state;
	batches(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(known_value),
		cmocka_unit_test(every_length_and_cut), cmocka_unit_test(batches_here),
		cmocka_unit_test(batches_elsewhere)};

	for (size_t i = 0; i < TEXT; i++)
		text[i] = (unsigned char)random_below(256);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
