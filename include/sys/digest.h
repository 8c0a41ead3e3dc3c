/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 as a stream.  The only user of libcrypto. */
#pragma once

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
