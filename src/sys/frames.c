/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "format.h"
#include "scope.h"

/* Less than one cut is pending at a member boundary, and a member adds at most one more. */
#define RAW_MAX (2 * (size_t)FRAMES_CUT)

#define INDEX_LEVEL 3

struct frames {
	struct sink *to;
	struct digest *digest;
	ZSTD_CCtx *zstd, *index_zstd;
	unsigned char *raw;    /* the frame being filled */
	unsigned char *packed; /* room for a whole compressed frame */
	size_t raw_len, packed_cap;
	uint64_t member; /* bytes since the last boundary */
	struct frame_info *sizes;
	size_t count;
	size_t data_count; /* those of the tar; the rest is the index */
	unsigned char *index;
	size_t index_len, index_parts;
	uint64_t in, out;
	char sha256[DIGEST_HEX], index_sha256[DIGEST_HEX];
	struct digest *part; /* of one frame, then of the index */
};

int frames_new(struct sink *to, int level, struct frames **ret, struct err *e)
{
	struct frames *f = calloc(1, sizeof(*f));

	if (!f)
		return err_sys(e, ERR_FATAL, -ENOMEM, "compression");
	f->to = to;
	f->zstd = ZSTD_createCCtx();
	f->index_zstd = ZSTD_createCCtx();
	f->packed_cap = ZSTD_compressBound(RAW_MAX);
	f->raw = malloc(RAW_MAX);
	f->packed = malloc(f->packed_cap);
	if (!f->zstd || !f->index_zstd || !f->raw || !f->packed) {
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
	if (rc == 0)
		rc = digest_new(&f->part, e);
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
	if (f->count == FORMAT_FRAMES_MAX)
		return err_set(e, ERR_FATAL, -EFBIG, "the archive has too many frames");
	if ((f->count & (f->count - 1)) == 0) {
		size_t cap = f->count ? f->count * 2 : 1;
		struct frame_info *grown = realloc(f->sizes, cap * sizeof(*grown));

		if (!grown)
			return err_sys(e, ERR_FATAL, -ENOMEM, "seek table");
		f->sizes = grown;
	}
	f->sizes[f->count++] =
		(struct frame_info){.packed = (uint32_t)packed, .raw = (uint32_t)raw};
	return 0;
}

static unsigned char *put32(unsigned char *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
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
	if (rc == 0)
		rc = digest_add(f->part, f->packed, n, e);
	if (rc == 0)
		rc = digest_next(f->part, f->sizes[f->count - 1].sha256, e);
	if (rc < 0)
		return rc;
	f->data_count = f->count;
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

int frames_end_data(struct frames *f, struct err *e)
{
	return end_frame(f, e);
}

const struct frame_info *frames_info(const struct frames *f, size_t i)
{
	return i < f->data_count ? &f->sizes[i] : NULL;
}

int frames_add_index(struct frames *f, const void *part, size_t len, struct err *e)
{
	size_t cap = ZSTD_compressBound(len) + FORMAT_SKIP_HEAD;
	AUTO_FREE unsigned char *packed = malloc(cap);

	if (!packed)
		return err_sys(e, ERR_FATAL, -ENOMEM, "index");
	(void)ZSTD_CCtx_setParameter(f->index_zstd, ZSTD_c_compressionLevel, INDEX_LEVEL);
	(void)ZSTD_CCtx_setParameter(f->index_zstd, ZSTD_c_checksumFlag, 1);
	size_t n = ZSTD_compress2(
		f->index_zstd, packed + FORMAT_SKIP_HEAD, cap - FORMAT_SKIP_HEAD, part, len);
	if (ZSTD_isError(n))
		return err_set(e, ERR_FATAL, -EIO, "compression: %s", ZSTD_getErrorName(n));
	(void)put32(put32(packed, FORMAT_INDEX_MAGIC), (uint32_t)n);
	n += FORMAT_SKIP_HEAD;
	unsigned char *grown = realloc(f->index, f->index_len + n);
	if (!grown)
		return err_sys(e, ERR_FATAL, -ENOMEM, "index");
	memcpy(grown + f->index_len, packed, n);
	f->index = grown;
	f->index_len += n;
	f->index_parts++;
	return 0;
}

/* The parts are frames without content for the seek table, so that it covers the whole file. */
static int put_index(struct frames *f, struct err *e)
{
	const unsigned char *p = f->index;
	int rc = 0;

	for (size_t i = 0; i < f->index_parts && rc == 0; i++) {
		size_t n = FORMAT_SKIP_HEAD + get32(p + 4);

		rc = remember(f, n, 0, e);
		p += n;
	}
	if (rc == 0 && f->index_len)
		rc = emit(f, f->index, f->index_len, e);
	if (rc == 0)
		rc = digest_add(f->part, f->index, f->index_len, e);
	return rc < 0 || !f->index_len ? rc : digest_end(f->part, f->index_sha256, e);
}

int frames_finish(struct frames *f, struct err *e)
{
	int rc = end_frame(f, e);

	if (rc == 0)
		rc = put_index(f, e);
	if (rc < 0)
		return rc;
	size_t body = f->count * 8 + FORMAT_SEEK_FOOT;
	AUTO_FREE unsigned char *table = malloc(body + FORMAT_SKIP_HEAD);
	if (!table)
		return err_sys(e, ERR_FATAL, -ENOMEM, "seek table");
	unsigned char *p = put32(table, FORMAT_SEEK_MAGIC);
	p = put32(p, (uint32_t)body);
	for (size_t i = 0; i < f->count; i++) {
		p = put32(p, f->sizes[i].packed);
		p = put32(p, f->sizes[i].raw);
	}
	p = put32(p, (uint32_t)f->count);
	*p++ = 0; /* no checksums here: every frame carries its own */
	(void)put32(p, FORMAT_SEEK_END);
	rc = emit(f, table, body + FORMAT_SKIP_HEAD, e);
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

void frames_index_sha256(const struct frames *f, char out[65])
{
	memcpy(out, f->index_sha256, sizeof(f->index_sha256));
}

void frames_free(struct frames *f)
{
	if (!f)
		return;
	digest_free(f->digest);
	digest_free(f->part);
	(void)ZSTD_freeCCtx(f->zstd);
	(void)ZSTD_freeCCtx(f->index_zstd);
	free(f->index);
	free(f->raw);
	free(f->packed);
	free(f->sizes);
	free(f);
}
