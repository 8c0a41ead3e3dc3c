/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to digest: the compression function of SHA-256 (FIPS 180-4) by the instructions of x86
 * processors.  One stream waits for each round's result most of the time; a second one fits into
 * these gaps, so that two take hardly longer than one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The working variables in the order of the instructions: F E B A, H G D C. */
struct sha256 {
	_Alignas(16) uint32_t abef[4];
	_Alignas(16) uint32_t cdgh[4];
};

/* Does this processor have them? Nothing else may be called if not. */
bool sha256_is_fast(void);
void sha256_start(struct sha256 *s);
/* blocks of 64 bytes each. */
void sha256_one(struct sha256 *s, const void *p, size_t blocks);
void sha256_two(struct sha256 *const s[2], const void *const p[2], size_t blocks);
void sha256_value(const struct sha256 *s, unsigned char out[32]);
