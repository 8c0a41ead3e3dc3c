/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "digest.h"

#define SEEK_SKIPPABLE 0x184D2A5Eu
#define SEEK_FOOTER 0x8F92EAB1u
#define SEEK_FRAMES_MAX 0x8000000u
/* Less than one cut is pending at a member boundary, and a member adds at most one more. */
#define RAW_MAX (2 * (size_t)FRAMES_CUT)

struct frame_size {
	uint32_t packed, raw;
};

struct frames {
	struct sink *to;
	struct digest *digest;
	ZSTD_CCtx *zstd;
	unsigned char *raw;    /* the frame being filled */
	unsigned char *packed; /* room for a whole compressed frame */
	size_t raw_len, packed_cap;
	uint64_t member; /* bytes since the last boundary */
	struct frame_size *sizes;
	size_t count;
	uint64_t in, out;
	char sha256[DIGEST_HEX];
};

int frames_new(struct sink *to, int level, struct frames **ret, struct err *e)
{
	struct frames *f = calloc(1, sizeof(*f));

	if (!f)
		return err_sys(e, ERR_FATAL, -ENOMEM, "compression");
	f->to = to;
	f->zstd = ZSTD_createCCtx();
	f->packed_cap = ZSTD_compressBound(RAW_MAX);
	f->raw = malloc(RAW_MAX);
	f->packed = malloc(f->packed_cap);
	if (!f->zstd || !f->raw || !f->packed) {
		frames_free(f);
		return err_sys(e, ERR_FATAL, -ENOMEM, "compression");
	}
	if (ZSTD_isError(ZSTD_CCtx_setParameter(f->zstd, ZSTD_c_compressionLevel, level)) ||
		ZSTD_isError(ZSTD_CCtx_setParameter(f->zstd, ZSTD_c_checksumFlag, 1))) {
		frames_free(f);
		return err_set(
			e, ERR_FATAL, -EINVAL, "compression level %d is not possible", level);
	}
	int rc = digest_new(&f->digest, e);
	if (rc < 0) {
		frames_free(f);
		return rc;
	}
	*ret = f;
	return 0;
}

static int emit(struct frames *f, const void *data, size_t len, struct err *e)
{
	int rc = f->to->write(f->to->state, data, len, e);

	if (rc == 0)
		rc = digest_add(f->digest, data, len, e);
	f->out += len;
	return rc;
}

static int remember(struct frames *f, size_t packed, size_t raw, struct err *e)
{
	if (f->count == SEEK_FRAMES_MAX)
		return err_set(e, ERR_FATAL, -EFBIG, "the archive has too many frames");
	if ((f->count & (f->count - 1)) == 0) {
		size_t cap = f->count ? f->count * 2 : 1;
		struct frame_size *grown = realloc(f->sizes, cap * sizeof(*grown));

		if (!grown)
			return err_sys(e, ERR_FATAL, -ENOMEM, "seek table");
		f->sizes = grown;
	}
	f->sizes[f->count++] = (struct frame_size){(uint32_t)packed, (uint32_t)raw};
	return 0;
}

/*
 * A frame is compressed in one call, never as a stream: the bytes then depend on its content
 * only, not on how it was handed over.
 */
static int end_frame(struct frames *f, struct err *e)
{
	if (f->raw_len == 0)
		return 0;
	size_t n = ZSTD_compress2(f->zstd, f->packed, f->packed_cap, f->raw, f->raw_len);
	if (ZSTD_isError(n))
		return err_set(e, ERR_FATAL, -EIO, "compression: %s", ZSTD_getErrorName(n));
	int rc = remember(f, n, f->raw_len, e);
	if (rc < 0)
		return rc;
	f->raw_len = 0;
	return emit(f, f->packed, n, e);
}

int frames_write(struct frames *f, const void *data, size_t len, struct err *e)
{
	const unsigned char *p = data;

	while (len) {
		size_t n = FRAMES_CUT - (size_t)(f->member % FRAMES_CUT);

		if (n > len)
			n = len;
		memcpy(f->raw + f->raw_len, p, n);
		f->raw_len += n;
		f->member += n;
		f->in += n;
		p += n;
		len -= n;
		if (f->member % FRAMES_CUT == 0) {
			int rc = end_frame(f, e);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

int frames_boundary(struct frames *f, struct err *e)
{
	f->member = 0;
	return f->raw_len >= FRAMES_CUT ? end_frame(f, e) : 0;
}

static unsigned char *put32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		*p++ = (unsigned char)(v >> (8 * i));
	return p;
}

int frames_finish(struct frames *f, struct err *e)
{
	int rc = end_frame(f, e);

	if (rc < 0)
		return rc;
	size_t body = f->count * 8 + 9;
	unsigned char *table = malloc(body + 8);
	if (!table)
		return err_sys(e, ERR_FATAL, -ENOMEM, "seek table");
	unsigned char *p = put32(table, SEEK_SKIPPABLE);
	p = put32(p, (uint32_t)body);
	for (size_t i = 0; i < f->count; i++) {
		p = put32(p, f->sizes[i].packed);
		p = put32(p, f->sizes[i].raw);
	}
	p = put32(p, (uint32_t)f->count);
	*p++ = 0; /* no checksums here: every frame carries its own */
	(void)put32(p, SEEK_FOOTER);
	rc = emit(f, table, body + 8, e);
	free(table);
	return rc < 0 ? rc : digest_end(f->digest, f->sha256, e);
}

uint64_t frames_bytes_in(const struct frames *f)
{
	return f->in;
}

uint64_t frames_bytes_out(const struct frames *f)
{
	return f->out;
}

void frames_sha256(const struct frames *f, char out[65])
{
	memcpy(out, f->sha256, sizeof(f->sha256));
}

void frames_free(struct frames *f)
{
	if (!f)
		return;
	digest_free(f->digest);
	(void)ZSTD_freeCCtx(f->zstd);
	free(f->raw);
	free(f->packed);
	free(f->sizes);
	free(f);
}
