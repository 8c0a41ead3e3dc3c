/* SPDX-License-Identifier: Apache-2.0 */
#include "sha256.h"

#include <endian.h>
#include <string.h>

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define TARGET __attribute__((target("sha,sse4.1"), always_inline))
#define LEAF_FEATURES 7
#define EBX_SHA (1u << 29)

/* FIPS 180-4, 4.2.2 */
static const _Alignas(64) uint32_t k[64] = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
	0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
	0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152,
	0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e,
	0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624,
	0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3,
	0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* One of up to two streams within a block. */
struct lane {
	__m128i abef, cdgh, message[4];
};

bool sha256_is_fast(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(LEAF_FEATURES, 0, &a, &b, &c, &d) && (b & EBX_SHA) &&
	       __builtin_cpu_supports("sse4.1");
}

static inline TARGET void load(struct lane *l, const unsigned char *p)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

	for (int i = 0; i < 4; i++)
		l->message[i] = _mm_shuffle_epi8(
			_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)), big_endian);
}

/* Four rounds, and the message words that are needed sixteen rounds later. */
static inline TARGET void rounds(struct lane *l, int quad)
{
	__m128i *m = l->message;
	const int now = quad & 3, last = (quad + 3) & 3;
	const __m128i wk =
		_mm_add_epi32(m[now], _mm_load_si128((const __m128i *)(const void *)&k[4 * quad]));

	l->cdgh = _mm_sha256rnds2_epu32(l->cdgh, l->abef, wk);
	l->abef = _mm_sha256rnds2_epu32(l->abef, l->cdgh, _mm_shuffle_epi32(wk, 0x0e));
	if (quad >= 12)
		return;
	__m128i next = _mm_sha256msg1_epu32(m[now], m[(quad + 1) & 3]);
	next = _mm_add_epi32(next, _mm_alignr_epi8(m[last], m[(quad + 2) & 3], 4));
	m[now] = _mm_sha256msg2_epu32(next, m[last]);
}

static inline TARGET void get(struct lane *l, const struct sha256 *s)
{
	l->abef = _mm_load_si128((const __m128i *)(const void *)s->abef);
	l->cdgh = _mm_load_si128((const __m128i *)(const void *)s->cdgh);
}

static inline TARGET void put(const struct lane *l, struct sha256 *s)
{
	_mm_store_si128((__m128i *)(void *)s->abef, l->abef);
	_mm_store_si128((__m128i *)(void *)s->cdgh, l->cdgh);
}

static inline TARGET void add(struct lane *l, const struct lane *before)
{
	l->abef = _mm_add_epi32(l->abef, before->abef);
	l->cdgh = _mm_add_epi32(l->cdgh, before->cdgh);
}

__attribute__((target("sha,sse4.1"))) void sha256_one(
	struct sha256 *s, const void *p, size_t blocks)
{
	const unsigned char *at = p;
	struct lane x;

	get(&x, s);
	for (; blocks; blocks--, at += 64) {
		const struct lane before = x;

		load(&x, at);
#pragma GCC unroll 16
		for (int quad = 0; quad < 16; quad++)
			rounds(&x, quad);
		add(&x, &before);
	}
	put(&x, s);
}

__attribute__((target("sha,sse4.1"))) void sha256_two(
	struct sha256 *const s[2], const void *const p[2], size_t blocks)
{
	const unsigned char *at = p[0], *also = p[1];
	struct lane x, y;

	get(&x, s[0]);
	get(&y, s[1]);
	for (; blocks; blocks--, at += 64, also += 64) {
		const struct lane before_x = x, before_y = y;

		load(&x, at);
		load(&y, also);
#pragma GCC unroll 16
		for (int quad = 0; quad < 16; quad++) {
			rounds(&x, quad);
			rounds(&y, quad);
		}
		add(&x, &before_x);
		add(&y, &before_y);
	}
	put(&x, s[0]);
	put(&y, s[1]);
}

#else

bool sha256_is_fast(void)
{
	return false;
}

void sha256_one(struct sha256 *s, const void *p, size_t blocks)
{
	(void)s, (void)p, (void)blocks;
}

void sha256_two(struct sha256 *const s[2], const void *const p[2], size_t blocks)
{
	(void)s, (void)p, (void)blocks;
}

#endif

void sha256_start(struct sha256 *s)
{
	/* FIPS 180-4, 5.3.3 */
	*s = (struct sha256){{0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667},
		{0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372}};
}

void sha256_value(const struct sha256 *s, unsigned char out[32])
{
	const uint32_t words[8] = {s->abef[3], s->abef[2], s->cdgh[3], s->cdgh[2], s->abef[1],
		s->abef[0], s->cdgh[1], s->cdgh[0]};

	for (int i = 0; i < 8; i++) {
		const uint32_t word = htobe32(words[i]);

		memcpy(out + 4 * i, &word, sizeof(word));
	}
}
