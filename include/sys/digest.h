/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 as a stream: by the processor where it has instructions for it, else by libcrypto, whose
 * only user this is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define DIGEST_LEN 32
#define DIGEST_HEX 65 /* 64 digits and the NUL */

struct digest;

int digest_new(struct digest **ret, struct err *e);
int digest_add(struct digest *d, const void *data, size_t len, struct err *e);
int digest_end(struct digest *d, char out[DIGEST_HEX], struct err *e);
/* As digest_end, but the bytes; d starts anew. */
int digest_next(struct digest *d, unsigned char out[DIGEST_LEN], struct err *e);
void digest_hex(const unsigned char in[DIGEST_LEN], char out[DIGEST_HEX]);
/* Of len bytes at once. */
int digest_text(const void *data, size_t len, char out[DIGEST_HEX], struct err *e);
void digest_free(struct digest *d);
/* Always libcrypto's: what the others are compared with. */
int digest_new_plain(struct digest **ret, struct err *e);

/* One piece of several. */
struct digest_job {
	struct digest *to; /* borrowed; NULL: a digest of these bytes alone */
	const void *data;
	size_t len;
	unsigned char *out; /* DIGEST_LEN bytes: what digest_next returns behind it; NULL: none */
	bool is_taken;      /* false at first; digest_all's own */
};

/* Is a second job done nearly for nothing beside another one? */
bool digest_is_paired(const struct digest *d);
/* Does all; those of one digest in their order, others two at a time.  spare: an idle digest. */
int digest_all(struct digest *spare, struct digest_job *jobs, size_t count, struct err *e);
