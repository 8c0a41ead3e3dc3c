/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <endian.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "scope.h"
#include "sha256.h"

#define BLOCK 64
#define LENGTH_AT 56 /* in the last block */

struct digest {
	struct sha256 state;
	EVP_MD_CTX *md;            /* NULL: the processor does it, and these are used */
	unsigned char rest[BLOCK]; /* of what is no whole block yet */
	uint64_t len;              /* of all so far */
};

/* One of two streams that are hashed at a time: whole blocks at a time of one job. */
struct lane {
	struct digest *d;
	struct digest own; /* for a job that has none */
	const unsigned char *data;
	size_t len; /* left of the job, behind the blocks */
	const unsigned char *at;
	size_t blocks;
	unsigned char *out;
	unsigned char tail[2 * BLOCK]; /* the end of a message with its padding */
	bool is_padded;
};

static void restart(struct digest *d)
{
	d->len = 0;
	sha256_start(&d->state);
}

static int new_digest(bool plain, struct digest **ret, struct err *e)
{
	struct digest *d = OPENSSL_zalloc(sizeof(*d));

	if (!d)
		return err_sys(e, ERR_FATAL, -ENOMEM, "SHA-256");
	restart(d);
	if (plain) {
		d->md = EVP_MD_CTX_new();
		if (!d->md || EVP_DigestInit_ex(d->md, EVP_sha256(), NULL) != 1) {
			digest_free(d);
			return err_set(e, ERR_FATAL, -EIO, "SHA-256 is not available");
		}
	}
	*ret = d;
	return 0;
}

int digest_new(struct digest **ret, struct err *e)
{
	return new_digest(!sha256_is_fast(), ret, e);
}

int digest_new_plain(struct digest **ret, struct err *e)
{
	return new_digest(true, ret, e);
}

bool digest_is_paired(const struct digest *d)
{
	return !d->md;
}

static void begin(struct lane *l, const struct digest_job *job)
{
	l->d = job->to ? job->to : &l->own;
	if (!job->to)
		restart(l->d);
	l->data = job->data;
	l->len = job->len;
	l->out = job->out;
	l->is_padded = false;
}

static void pad(struct lane *l)
{
	const size_t used = l->d->len % BLOCK;
	const uint64_t bits = htobe64(l->d->len * 8);

	l->blocks = used < LENGTH_AT ? 1 : 2;
	memset(l->tail, 0, sizeof(l->tail));
	memcpy(l->tail, l->d->rest, used);
	l->tail[used] = 0x80;
	memcpy(l->tail + (l->blocks - 1) * BLOCK + LENGTH_AT, &bits, sizeof(bits));
	l->at = l->tail;
	l->is_padded = true;
}

/* Part of a block, kept until it is whole. */
static void keep(struct lane *l)
{
	const size_t used = l->d->len % BLOCK;
	const size_t n = l->len < BLOCK - used ? l->len : BLOCK - used;

	memcpy(l->d->rest + used, l->data, n);
	l->data += n;
	l->len -= n;
	l->d->len += n;
	if (used + n == BLOCK) {
		l->at = l->d->rest;
		l->blocks = 1;
	}
}

/* The next blocks of the job; false: it is done. */
static bool refill(struct lane *l)
{
	if (l->len >= BLOCK && l->d->len % BLOCK == 0) {
		l->at = l->data;
		l->blocks = l->len / BLOCK;
		l->data += l->blocks * BLOCK;
		l->len %= BLOCK;
		l->d->len += l->blocks * BLOCK;
	} else if (l->len) {
		keep(l);
	}
	if (!l->blocks && !l->len && l->out && !l->is_padded)
		pad(l);
	if (l->blocks || l->len)
		return true;
	if (l->out) {
		sha256_value(&l->d->state, l->out);
		restart(l->d);
	}
	l->d = NULL;
	return false;
}

static void run_one(struct lane *l)
{
	sha256_one(&l->d->state, l->at, l->blocks);
	l->blocks = 0;
}

static void run_two(struct lane *a, struct lane *b)
{
	const size_t n = a->blocks < b->blocks ? a->blocks : b->blocks;
	struct sha256 *const states[2] = {&a->d->state, &b->d->state};
	const void *const data[2] = {a->at, b->at};

	sha256_two(states, data, n);
	a->at += n * BLOCK;
	b->at += n * BLOCK;
	a->blocks -= n;
	b->blocks -= n;
}

static int add(struct digest *d, const void *data, size_t len, unsigned char *out, struct err *e)
{
	if (!d->md) {
		struct lane l = {.blocks = 0};

		begin(&l, &(struct digest_job){.to = d, .data = data, .len = len, .out = out});
		while (refill(&l))
			if (l.blocks)
				run_one(&l);
		return 0;
	}
	if ((len && EVP_DigestUpdate(d->md, data, len) != 1) ||
		(out && (EVP_DigestFinal_ex(d->md, out, NULL) != 1 ||
				EVP_DigestInit_ex(d->md, NULL, NULL) != 1)))
		return err_set(e, ERR_FATAL, -EIO, "SHA-256 failed");
	return 0;
}

int digest_add(struct digest *d, const void *data, size_t len, struct err *e)
{
	return add(d, data, len, NULL, e);
}

int digest_next(struct digest *d, unsigned char out[DIGEST_LEN], struct err *e)
{
	return add(d, NULL, 0, out, e);
}

/* The first job that is not one of the other lane's digest.  *first: none before it is left. */
static bool pick(struct digest_job *jobs, size_t count, size_t *first, struct lane *l,
	const struct lane *other)
{
	while (*first < count && jobs[*first].is_taken)
		++*first;
	for (size_t i = *first; i < count; i++) {
		if (jobs[i].is_taken || (jobs[i].to && jobs[i].to == other->d))
			continue;
		jobs[i].is_taken = true;
		begin(l, &jobs[i]);
		return true;
	}
	return false;
}

static void pairs(struct digest_job *jobs, size_t count)
{
	struct lane a = {.blocks = 0}, b = {.blocks = 0};
	struct lane *const lanes[2] = {&a, &b};
	size_t first = 0;

	for (;;) {
		for (int i = 0; i < 2; i++)
			while (!lanes[i]->blocks &&
				(lanes[i]->d || pick(jobs, count, &first, lanes[i], lanes[!i])))
				(void)refill(lanes[i]);
		if (a.blocks && b.blocks)
			run_two(&a, &b);
		else if (a.blocks)
			run_one(&a);
		else if (b.blocks)
			run_one(&b);
		else
			return;
	}
}

int digest_all(struct digest *spare, struct digest_job *jobs, size_t count, struct err *e)
{
	int rc = 0;

	if (digest_is_paired(spare)) {
		pairs(jobs, count);
		return 0;
	}
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = add(
			jobs[i].to ? jobs[i].to : spare, jobs[i].data, jobs[i].len, jobs[i].out, e);
	return rc;
}

int digest_end(struct digest *d, char out[DIGEST_HEX], struct err *e)
{
	unsigned char raw[DIGEST_LEN];
	int rc = digest_next(d, raw, e);

	if (rc == 0)
		digest_hex(raw, out);
	return rc;
}

void digest_hex(const unsigned char in[DIGEST_LEN], char out[DIGEST_HEX])
{
	for (unsigned i = 0; i < DIGEST_LEN; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", in[i]);
}

int digest_text(const void *data, size_t len, char out[DIGEST_HEX], struct err *e)
{
	struct digest *d = NULL;
	int rc = digest_new(&d, e);

	if (rc == 0)
		rc = digest_add(d, data, len, e);
	if (rc == 0)
		rc = digest_end(d, out, e);
	digest_free(d);
	return rc;
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->md);
	OPENSSL_free(d);
}
