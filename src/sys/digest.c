/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

/* Only a name for the library's context. */
struct digest {
	EVP_MD_CTX *md;
};

int digest_new(struct digest **ret, struct err *e)
{
	struct digest *d = OPENSSL_zalloc(sizeof(*d));

	if (d)
		d->md = EVP_MD_CTX_new();
	if (!d || !d->md) {
		digest_free(d);
		return err_sys(e, ERR_FATAL, -ENOMEM, "SHA-256");
	}
	if (EVP_DigestInit_ex(d->md, EVP_sha256(), NULL) != 1) {
		digest_free(d);
		return err_set(e, ERR_FATAL, -EIO, "SHA-256 is not available");
	}
	*ret = d;
	return 0;
}

int digest_add(struct digest *d, const void *data, size_t len, struct err *e)
{
	if (EVP_DigestUpdate(d->md, data, len) != 1)
		return err_set(e, ERR_FATAL, -EIO, "SHA-256 failed");
	return 0;
}

int digest_end(struct digest *d, char out[DIGEST_HEX], struct err *e)
{
	unsigned char raw[DIGEST_LEN];
	int rc = digest_next(d, raw, e);

	if (rc == 0)
		digest_hex(raw, out);
	return rc;
}

int digest_next(struct digest *d, unsigned char out[DIGEST_LEN], struct err *e)
{
	if (EVP_DigestFinal_ex(d->md, out, NULL) != 1 || EVP_DigestInit_ex(d->md, NULL, NULL) != 1)
		return err_set(e, ERR_FATAL, -EIO, "SHA-256 failed");
	return 0;
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
