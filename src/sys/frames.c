/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zstd.h>

#include "contents.h"
#include "format.h"
#include "lanes.h"
#include "budget.h"
#include "rate.h"
#include "scope.h"
#include "thread.h"

/* Less than one cut is pending at a member boundary, and a member adds at most one more. */
#define RAW_MAX (2 * (size_t)FRAMES_CUT)
#define KEEP (FRAMES_CUT + (1u << 20)) /* of a buffer between two frames; few frames are longer */

#define INDEX_LEVEL 3
/*
 * Tables of level 3, whose own are 17 and 16: half of that fits in a core's cache beside the data,
 * takes 8 to 12 % less time, and finds all but 0.7 % (small files) or 0.5 % (large ones) of it.
 */
#define HASH_LOG 16
#define CHAIN_LOG 15

/* Memory of one compression context, KiB, by level: ZSTD_sizeof_CCtx of 1.5.4, frames of 8 MiB. */
static const unsigned context_kib[] = {0, 568, 760, 1272, 2552, 3576, 3576, 6648, 6648, 12792,
	25080, 25080, 49656, 33272, 49656, 66040, 33418, 49802, 50431, 83199};

/* One frame on its way: filled, compressed by a thread, written by another. */
struct slot {
	unsigned char *raw, *packed;
	size_t raw_len, packed_len;
	unsigned char sha256[DIGEST_LEN]; /* of the packed bytes */
	bool has_sha256;
	struct contents contents;
};

/* What a thread has for itself; the last of them is the writer's. */
struct worker {
	ZSTD_CCtx *zstd;
	struct digest *spare;
	struct digest_job *jobs;
	size_t jobs_cap;
};

struct frames {
	struct rate rate;
	struct sink *to;
	struct digest *digest, *file; /* of the archive, of a file in several frames */
	struct content content;       /* of the file that is being written */
	atomic_uint_least64_t hashed;
	int level;
	unsigned worker_count, slot_count;
	size_t limit; /* bytes in slots */
	struct worker *workers;
	struct slot *slots, *slot; /* the one being filled, or NULL */
	struct lanes *lanes;       /* from the first full frame on */
	ZSTD_CCtx *index_zstd;
	size_t packed_cap;
	uint64_t member; /* bytes since the last boundary */
	struct frame_info *sizes;
	size_t count;
	size_t data_count; /* those of the tar; the rest is the index */
	unsigned char *index;
	size_t index_len, index_parts;
	uint64_t in, out;
	char sha256[DIGEST_HEX], index_sha256[DIGEST_HEX];
	struct digest *part; /* of the index */
};

int frames_new(struct sink *to, int level, struct frames **ret, struct err *e)
{
	struct frames *f = calloc(1, sizeof(*f));

	if (level < 1 || level > 19) {
		free(f);
		return err_set(
			e, ERR_FATAL, -EINVAL, "compression level %d is not possible", level);
	}
	if (!f)
		return err_sys(e, ERR_FATAL, -ENOMEM, "compression");
	f->to = to;
	f->level = level;
	f->packed_cap = ZSTD_compressBound(RAW_MAX);
	f->index_zstd = ZSTD_createCCtx();
	int rc = f->index_zstd ? digest_new(&f->digest, e)
			       : err_sys(e, ERR_FATAL, -ENOMEM, "compression");
	if (rc == 0)
		rc = digest_new(&f->part, e);
	if (rc == 0)
		rc = digest_new(&f->file, e);
	if (rc < 0) {
		frames_free(f);
		return rc;
	}
	frames_limit(f, 0, 0);
	*ret = f;
	return 0;
}

void frames_limit(struct frames *f, unsigned workers, size_t memory)
{
	const size_t all = memory_for_frames(memory), filling = RAW_MAX + f->packed_cap;
	const size_t context = (size_t)context_kib[f->level] << 10;
	const size_t each = 2 * (FRAMES_CUT + (FRAMES_CUT >> 4)) + context;
	const size_t fit = all > filling + each ? (all - filling) / each : 1;

	if (workers == 0)
		workers = thread_cores();
	f->worker_count = workers < fit ? workers : (unsigned)fit;
	f->slot_count = 2 * f->worker_count + 2;
	f->limit = all > f->worker_count * context ? all - f->worker_count * context : 0;
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

static int worker_new(const struct frames *f, struct worker *w, struct err *e)
{
	w->zstd = ZSTD_createCCtx();
	if (!w->zstd)
		return err_sys(e, ERR_FATAL, -ENOMEM, "compression");
	const bool is_default = f->level == ZSTD_CLEVEL_DEFAULT;
	if (ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, f->level)) ||
		ZSTD_isError(ZSTD_CCtx_setParameter(
			w->zstd, ZSTD_c_hashLog, is_default ? HASH_LOG : 0)) ||
		ZSTD_isError(ZSTD_CCtx_setParameter(
			w->zstd, ZSTD_c_chainLog, is_default ? CHAIN_LOG : 0)) ||
		ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1)))
		return err_set(
			e, ERR_FATAL, -EINVAL, "compression level %d is not possible", f->level);
	return 0;
}

/* Room for what a frame needs, beside the digests of the frame and of the archive. */
static struct digest_job *room(struct worker *w, const struct contents *c, struct err *e)
{
	const size_t want = contents_jobs(c) + 2;

	if (!w->spare && digest_new(&w->spare, e) < 0)
		return NULL;
	if (want > w->jobs_cap) {
		free(w->jobs);
		w->jobs = calloc(want, sizeof(*w->jobs));
		w->jobs_cap = w->jobs ? want : 0;
		if (!w->jobs)
			(void)err_sys(e, ERR_FATAL, -ENOMEM, "digests");
	}
	return w->jobs;
}

/*
 * What needs nothing of other frames.  The frame's own digest is left to the writer where that has
 * so much of a file to hash that both can be done at a time.
 */
static int hash_alone(struct worker *w, struct slot *s, struct err *e)
{
	struct digest_job *jobs = room(w, &s->contents, e);

	if (!jobs)
		return e->code;
	size_t n = contents_whole(&s->contents, s->raw, jobs + 1);
	s->has_sha256 = n == s->contents.count || s->packed_len > s->raw_len / 4 * 3 ||
			!digest_is_paired(w->spare);
	jobs[0] = (struct digest_job){.data = s->packed, .len = s->packed_len, .out = s->sha256};
	return s->has_sha256 ? digest_all(w->spare, jobs, n + 1, e)
			     : digest_all(w->spare, jobs + 1, n, e);
}

/* What depends on the frames before. */
static int hash_in_order(struct frames *f, struct worker *w, struct slot *s, struct err *e)
{
	struct digest_job *jobs = room(w, &s->contents, e);

	if (!jobs)
		return e->code;
	size_t n = contents_parts(&s->contents, s->raw, f->file, jobs);
	jobs[n++] = (struct digest_job){.to = f->digest, .data = s->packed, .len = s->packed_len};
	if (!s->has_sha256)
		jobs[n++] = (struct digest_job){
			.data = s->packed, .len = s->packed_len, .out = s->sha256};
	return digest_all(w->spare, jobs, n, e);
}

/*
 * A frame is compressed in one call, never as a stream: the bytes then depend on its content
 * only, not on how it was handed over, nor on which thread does it.
 */
static int compress(void *arg, unsigned thread, unsigned slot, struct err *e)
{
	struct frames *f = arg;
	struct worker *w = &f->workers[thread];
	struct slot *s = &f->slots[slot];
	int rc = w->zstd ? 0 : worker_new(f, w, e);

	if (rc < 0)
		return rc;
	if (!s->packed && !(s->packed = malloc(f->packed_cap)))
		return err_sys(e, ERR_FATAL, -ENOMEM, "compression");
	size_t n = ZSTD_compress2(w->zstd, s->packed, f->packed_cap, s->raw, s->raw_len);
	if (ZSTD_isError(n))
		return err_set(e, ERR_FATAL, -EIO, "compression: %s", ZSTD_getErrorName(n));
	s->packed_len = n;
	return hash_alone(w, s, e);
}

/* Gives the pages of a long frame back; the next ones are shorter. */
static void trim(unsigned char *buf, size_t len)
{
	const uintptr_t page = 4096, at = ((uintptr_t)buf + KEEP + page - 1) & ~(page - 1);

	if (len > KEEP && (uintptr_t)buf + len > at)
		(void)madvise((void *)at, ((uintptr_t)buf + len - at) & ~(page - 1), MADV_DONTNEED);
}

static int deliver(void *arg, unsigned slot, struct err *e)
{
	struct frames *f = arg;
	struct slot *s = &f->slots[slot];
	int rc = remember(f, s->packed_len, s->raw_len, e);

	if (rc == 0)
		rc = hash_in_order(f, &f->workers[f->worker_count], s, e);
	if (rc < 0)
		return rc;
	memcpy(f->sizes[f->count - 1].sha256, s->sha256, sizeof(s->sha256));
	f->data_count = f->count;
	rc = f->to->write(f->to->state, s->packed, s->packed_len, e);
	f->out += s->packed_len;
	atomic_fetch_add_explicit(&f->hashed, s->raw_len, memory_order_release);
	trim(s->raw, s->raw_len);
	trim(s->packed, s->packed_len);
	s->raw_len = 0;
	s->contents.count = 0;
	return rc;
}

static int get_slot(struct frames *f, struct err *e)
{
	unsigned number = 0;

	if (!f->slots) {
		f->slots = calloc(f->slot_count, sizeof(*f->slots));
		f->workers = calloc(f->worker_count + 1, sizeof(*f->workers));
	}
	if (!f->slots || !f->workers)
		return err_sys(e, ERR_FATAL, -ENOMEM, "compression");
	int rc = f->lanes ? lanes_get(f->lanes, RAW_MAX + f->packed_cap, &number, e) : 0;
	if (rc < 0)
		return rc;
	struct slot *s = &f->slots[number];
	if (!s->raw && !(s->raw = malloc(RAW_MAX)))
		return err_sys(e, ERR_FATAL, -ENOMEM, "compression");
	f->slot = s;
	return 0;
}

/* The threads begin with the first full frame: small archives do without. */
static int start(struct frames *f, struct err *e)
{
	const struct lanes_ops ops = {compress, deliver, f};
	unsigned number;
	int rc = lanes_new(&ops, f->worker_count, f->slot_count, f->limit, &f->lanes, e);

	/* The slot that is filled already. */
	return rc < 0 ? rc : lanes_get(f->lanes, RAW_MAX + f->packed_cap, &number, e);
}

static int end_frame(struct frames *f, struct err *e)
{
	int rc = f->lanes ? 0 : start(f, e);

	if (rc < 0)
		return rc;
	lanes_put(f->lanes, f->slot->raw_len + ZSTD_compressBound(f->slot->raw_len));
	f->slot = NULL;
	return 0;
}

void frames_rate(struct frames *f, uint64_t bytes_per_s)
{
	rate_start(&f->rate, bytes_per_s);
}

int frames_write(struct frames *f, const void *data, size_t len, struct err *e)
{
	const unsigned char *p = data;

	while (len) {
		int rc = f->slot ? 0 : get_slot(f, e);
		size_t n = FRAMES_CUT - (size_t)(f->member % FRAMES_CUT);

		if (rc < 0)
			return rc;
		if (n > len)
			n = len;
		memcpy(f->slot->raw + f->slot->raw_len, p, n);
		if (f->content.is_on &&
			contents_add(&f->slot->contents, &f->content, f->slot->raw_len, n) < 0)
			return err_sys(e, ERR_FATAL, -ENOMEM, "digests");
		f->slot->raw_len += n;
		f->member += n;
		f->in += n;
		/* Whoever waits for us waits with us: readers run no further ahead than memory
		 * goes. */
		rate_take(&f->rate, n);
		p += n;
		len -= n;
		if (f->member % FRAMES_CUT == 0)
			rc = end_frame(f, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void frames_content(struct frames *f, bool is_on)
{
	f->content.is_on = is_on;
}

int frames_content_at(struct frames *f, uint64_t at, uint64_t len, struct err *e)
{
	const uint64_t note[2] = {htole64(at), htole64(len)};
	int rc = f->slot ? 0 : get_slot(f, e);

	if (rc == 0 && contents_note(&f->slot->contents, &f->content, f->slot->raw_len, note) < 0)
		rc = err_sys(e, ERR_FATAL, -ENOMEM, "digests");
	return rc;
}

int frames_content_end(struct frames *f, unsigned char *out, struct err *e)
{
	int rc = f->slot ? 0 : get_slot(f, e);

	if (rc == 0 && contents_end(&f->slot->contents, &f->content, f->slot->raw_len, out) < 0)
		rc = err_sys(e, ERR_FATAL, -ENOMEM, "digests");
	return rc;
}

uint64_t frames_hashed(const struct frames *f)
{
	return atomic_load_explicit(&f->hashed, memory_order_acquire);
}

int frames_boundary(struct frames *f, struct err *e)
{
	f->member = 0;
	return f->slot && f->slot->raw_len >= FRAMES_CUT ? end_frame(f, e) : 0;
}

int frames_end_data(struct frames *f, struct err *e)
{
	struct slot *s = TAKE_PTR(f->slot);
	int rc = 0;

	if (s && s->raw_len && f->lanes)
		lanes_put(f->lanes, s->raw_len + ZSTD_compressBound(s->raw_len));
	else if (s && s->raw_len)
		rc = compress(f, 0, 0, e);
	if (rc == 0 && s && s->raw_len && !f->lanes)
		rc = deliver(f, 0, e);
	if (rc == 0 && f->lanes)
		rc = lanes_drain(f->lanes, e);
	return rc;
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
	int rc = frames_end_data(f, e);

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

void frames_stop(struct frames *f)
{
	lanes_free(TAKE_PTR(f->lanes));
}

void frames_free(struct frames *f)
{
	if (!f)
		return;
	frames_stop(f);
	for (unsigned i = 0; f->workers && i <= f->worker_count; i++) {
		(void)ZSTD_freeCCtx(f->workers[i].zstd);
		digest_free(f->workers[i].spare);
		free(f->workers[i].jobs);
	}
	for (unsigned i = 0; f->slots && i < f->slot_count; i++) {
		contents_done(&f->slots[i].contents);
		free(f->slots[i].raw);
		free(f->slots[i].packed);
	}
	digest_free(f->digest);
	digest_free(f->part);
	digest_free(f->file);
	(void)ZSTD_freeCCtx(f->index_zstd);
	free(f->workers);
	free(f->slots);
	free(f->index);
	free(f->sizes);
	free(f);
}
