/* SPDX-License-Identifier: Apache-2.0 */
#include "unframe.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "format.h"
#include "frames.h"
#include "scope.h"
#include "unframe_table.h"

#define THREADS_MAX 16
#define SLOTS_MAX (2 * THREADS_MAX + 2)
#define SCAN (4 * (size_t)FRAMES_CUT) /* longer frames are not ours */
#define STREAM_IN (1u << 18)
#define STREAM_OUT (1u << 20)

enum slot_state { SLOT_FREE, SLOT_WANTED, SLOT_BUSY, SLOT_READY };

/* One decoded frame. */
struct slot {
	enum slot_state state;
	size_t frame;
	ZSTD_DCtx *zstd;
	struct digest *digest;
	unsigned char *packed, *raw;
	size_t packed_cap, raw_cap;
	int rc;
	struct err e;
};

struct unframe {
	int fd;
	uint64_t size;
	struct frame_table table;
	const struct frame_info *digests; /* one for each frame, or NULL */
	struct slot slots[SLOTS_MAX];
	size_t slot_count;
	size_t last; /* frame asked for last, and its slot: nobody takes it before the next one */
	const struct slot *current;
	pthread_t threads[THREADS_MAX];
	unsigned thread_count, threads_wanted;
	pthread_mutex_t lock;
	pthread_cond_t wanted, ready;
	bool stop;
	/* without a table */
	ZSTD_DStream *stream;
	unsigned char *in, *out;
	size_t in_len, in_pos, out_len;
	uint64_t in_at, out_at; /* in the file; of out[0] in the tar */
	bool frame_ended, at_end;
};

static int reserve(unsigned char **buf, size_t *cap, size_t want)
{
	if (want <= *cap)
		return 0;
	free(*buf);
	*buf = malloc(want);
	*cap = *buf ? want : 0;
	return *buf ? 0 : -ENOMEM;
}

static int damaged(struct err *e, size_t i, const struct unframe_frame *f, const char *why)
{
	return err_set(
		e, ERR_DAMAGED, -EBADMSG, "frame %zu at byte %" PRIu64 ": %s", i, f->at, why);
}

/* Reads frame i into the slot and checks its SHA-256.  1: checked, 0: no digest known. */
static int fetch(const struct unframe *u, size_t i, struct slot *s)
{
	const struct unframe_frame *f = &u->table.frames[i];
	unsigned char sum[DIGEST_LEN];

	if (reserve(&s->packed, &s->packed_cap, f->packed) < 0)
		return err_sys(&s->e, ERR_FATAL, -ENOMEM, "decompression");
	int rc = frame_pread(u->fd, s->packed, f->packed, f->at, &s->e);
	if (rc < 0 || !u->digests)
		return rc;
	if (!s->digest)
		rc = digest_new(&s->digest, &s->e);
	if (rc == 0)
		rc = digest_add(s->digest, s->packed, f->packed, &s->e);
	if (rc == 0)
		rc = digest_next(s->digest, sum, &s->e);
	if (rc < 0)
		return rc;
	if (u->digests[i].packed != f->packed || u->digests[i].raw != f->raw ||
		memcmp(u->digests[i].sha256, sum, sizeof(sum)) != 0)
		return damaged(&s->e, i, f, "its SHA-256 differs");
	return 1;
}

/* Touches nothing but the slot. */
static int decode(const struct unframe *u, size_t i, struct slot *s)
{
	const struct unframe_frame *f = &u->table.frames[i];
	int rc = fetch(u, i, s);

	if (rc < 0)
		return rc;
	if (!s->zstd)
		s->zstd = ZSTD_createDCtx();
	if (!s->zstd || reserve(&s->raw, &s->raw_cap, f->raw) < 0)
		return err_sys(&s->e, ERR_FATAL, -ENOMEM, "decompression");
	size_t n = ZSTD_decompressDCtx(s->zstd, s->raw, f->raw, s->packed, f->packed);
	if (ZSTD_isError(n))
		return damaged(&s->e, i, f, ZSTD_getErrorName(n));
	return n == f->raw ? 0 : damaged(&s->e, i, f, "shorter than the seek table says");
}

static void *decoder(void *arg)
{
	struct unframe *u = arg;

	(void)pthread_mutex_lock(&u->lock);
	while (!u->stop) {
		struct slot *next = NULL;

		for (size_t k = 0; k < u->slot_count; k++)
			if (u->slots[k].state == SLOT_WANTED &&
				(!next || u->slots[k].frame < next->frame))
				next = &u->slots[k];
		if (!next) {
			(void)pthread_cond_wait(&u->wanted, &u->lock);
			continue;
		}
		next->state = SLOT_BUSY;
		(void)pthread_mutex_unlock(&u->lock);
		int rc = decode(u, next->frame, next);
		(void)pthread_mutex_lock(&u->lock);
		next->rc = rc;
		next->state = SLOT_READY;
		(void)pthread_cond_broadcast(&u->ready);
	}
	(void)pthread_mutex_unlock(&u->lock);
	return NULL;
}

/* Threads start with the first read in order; without them everything works, only slower. */
static void start_threads(struct unframe *u)
{
	(void)pthread_mutex_lock(&u->lock);
	while (u->thread_count < u->threads_wanted &&
		pthread_create(&u->threads[u->thread_count], NULL, decoder, u) == 0)
		u->thread_count++;
	u->threads_wanted = u->thread_count;
	u->slot_count = u->thread_count ? 2 * u->thread_count + 2 : 1;
	(void)pthread_mutex_unlock(&u->lock);
}

static struct slot *find_slot(struct unframe *u, size_t frame)
{
	for (size_t k = 0; k < u->slot_count; k++)
		if (u->slots[k].state != SLOT_FREE && u->slots[k].frame == frame)
			return &u->slots[k];
	return NULL;
}

/* A slot for frame, taken from what is outside of keep..keep+slots; NULL if all are needed. */
static struct slot *take_slot(struct unframe *u, size_t frame, size_t keep)
{
	for (size_t k = 0; k < u->slot_count; k++) {
		struct slot *s = &u->slots[k];
		bool needed = s->frame >= keep && s->frame < keep + u->slot_count;

		if (s->state == SLOT_BUSY || (s->state != SLOT_FREE && needed))
			continue;
		s->frame = frame;
		s->state = SLOT_WANTED;
		return s;
	}
	return NULL;
}

/* The slot that holds frame i, decoded; frames behind it are asked for when the order says so. */
static const struct slot *get_frame(struct unframe *u, size_t i)
{
	bool in_order = i == u->last + 1;
	struct slot *s;

	if (u->current && i == u->last)
		return u->current;
	if (in_order && u->thread_count < u->threads_wanted)
		start_threads(u);
	(void)pthread_mutex_lock(&u->lock);
	while (!(s = find_slot(u, i)) && !(s = take_slot(u, i, i)))
		(void)pthread_cond_wait(&u->ready, &u->lock);
	for (size_t k = i + 1; in_order && u->thread_count && k < u->table.count; k++)
		if (k == i + u->slot_count || (!find_slot(u, k) && !take_slot(u, k, i)))
			break;
	if (u->thread_count)
		(void)pthread_cond_broadcast(&u->wanted);
	if (s->state == SLOT_WANTED && (!in_order || !u->thread_count)) {
		s->state = SLOT_BUSY;
		(void)pthread_mutex_unlock(&u->lock);
		int rc = decode(u, i, s);
		(void)pthread_mutex_lock(&u->lock);
		s->rc = rc;
		s->state = SLOT_READY;
	}
	while (s->state != SLOT_READY)
		(void)pthread_cond_wait(&u->ready, &u->lock);
	u->last = i;
	u->current = s;
	(void)pthread_mutex_unlock(&u->lock);
	return s;
}

static size_t frame_of(const struct unframe *u, uint64_t at)
{
	size_t lo = 0, hi = u->table.count;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (u->table.frames[mid].tar_at <= at)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

static void rewind_stream(struct unframe *u)
{
	(void)ZSTD_DCtx_reset(u->stream, ZSTD_reset_session_only);
	u->in_len = u->in_pos = u->out_len = 0;
	u->in_at = u->out_at = 0;
	u->frame_ended = true;
	u->at_end = false;
}

static int more_input(struct unframe *u, struct err *e)
{
	size_t want = u->size - u->in_at < STREAM_IN ? (size_t)(u->size - u->in_at) : STREAM_IN;

	u->in_len = u->in_pos = 0;
	if (want == 0) {
		if (!u->frame_ended)
			return err_set(e, ERR_DAMAGED, -EBADMSG,
				"the file ends at byte %" PRIu64 ", within a frame", u->in_at);
		u->at_end = true;
		return 0;
	}
	int rc = frame_pread(u->fd, u->in, want, u->in_at, e);
	if (rc < 0)
		return rc;
	u->in_len = want;
	u->in_at += want;
	return 0;
}

/* Replaces the bytes at hand by the next ones of the stream. */
static int advance(struct unframe *u, struct err *e)
{
	ZSTD_outBuffer out = {u->out, STREAM_OUT, 0};

	u->out_at += u->out_len;
	u->out_len = 0;
	while (out.pos == 0 && !u->at_end) {
		/* A full buffer may have left decoded bytes inside: ask before reading on. */
		ZSTD_inBuffer in = {u->in, u->in_len, u->in_pos};
		size_t n = ZSTD_decompressStream(u->stream, &out, &in);

		if (ZSTD_isError(n))
			return err_set(e, ERR_DAMAGED, -EBADMSG, "near byte %" PRIu64 ": %s",
				u->in_at - (u->in_len - u->in_pos), ZSTD_getErrorName(n));
		if (in.pos > u->in_pos || out.pos)
			u->frame_ended = n == 0;
		u->in_pos = in.pos;
		if (out.pos == 0 && u->in_pos == u->in_len) {
			int rc = more_input(u, e);

			if (rc < 0)
				return rc;
		}
	}
	u->out_len = out.pos;
	return 0;
}

static ssize_t map_stream(struct unframe *u, uint64_t at, const unsigned char **ret, struct err *e)
{
	if (at < u->out_at)
		rewind_stream(u);
	while (at - u->out_at >= u->out_len) {
		if (u->at_end)
			return 0;
		int rc = advance(u, e);
		if (rc < 0)
			return rc;
	}
	*ret = u->out + (at - u->out_at);
	return (ssize_t)(u->out_len - (at - u->out_at));
}

ssize_t unframe_map(struct unframe *u, uint64_t at, const unsigned char **ret, struct err *e)
{
	if (u->table.kind == UNFRAME_NONE)
		return map_stream(u, at, ret, e);
	if (at >= u->table.tar_bytes) {
		if (u->table.is_cut)
			return err_set(e, ERR_DAMAGED, -EBADMSG,
				"the file is damaged or cut behind frame %zu", u->table.count);
		return 0;
	}
	size_t i = frame_of(u, at);
	const struct unframe_frame *f = &u->table.frames[i];
	const struct slot *s = get_frame(u, i);
	if (s->rc < 0) {
		*e = s->e;
		return s->rc;
	}
	*ret = s->raw + (at - f->tar_at);
	return (ssize_t)(f->raw - (at - f->tar_at));
}

ssize_t unframe_read(struct unframe *u, uint64_t at, void *to, size_t len, struct err *e)
{
	unsigned char *p = to;
	size_t done = 0;

	while (done < len) {
		const unsigned char *from = NULL;
		ssize_t n = unframe_map(u, at + done, &from, e);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		size_t take = (size_t)n < len - done ? (size_t)n : len - done;
		memcpy(p + done, from, take);
		done += take;
	}
	return (ssize_t)done;
}

/* Adds the frame at at; returns its length, or 0 if the walk ends here. */
static uint64_t scan_one(struct unframe *u, unsigned char *buf, uint64_t at, struct err *e, int *rc)
{
	uint64_t left = u->size - at;
	size_t len = left < SCAN ? (size_t)left : SCAN;
	struct unframe_frame f = {at, u->table.tar_bytes, 0, 0};
	uint32_t magic = 0;

	*rc = frame_pread(u->fd, buf, len, at, e);
	if (*rc < 0)
		return 0;
	size_t n = ZSTD_findFrameCompressedSize(buf, len);
	if (ZSTD_isError(n)) {
		/* Cut or damaged; or, in a file that goes on, larger than ours are. */
		if (left > SCAN && len >= 4 && memcmp(buf, "\x28\xB5\x2F\xFD", 4) == 0)
			u->table.kind = UNFRAME_NONE;
		u->table.is_cut = true;
		return 0;
	}
	f.packed = (uint32_t)n;
	memcpy(&magic, buf, sizeof(magic));
	magic = le32toh(magic);
	if (magic == FORMAT_INDEX_MAGIC) {
		f.at += FORMAT_SKIP_HEAD;
		f.packed -= FORMAT_SKIP_HEAD;
		*rc = frame_table_add(&u->table, true, f);
	} else if (magic == FORMAT_ZSTD_MAGIC) {
		unsigned long long raw = ZSTD_getFrameContentSize(buf, n);

		if (raw > FRAME_RAW_MAX) {
			u->table.kind = UNFRAME_NONE;
			return 0;
		}
		f.raw = (uint32_t)raw;
		u->table.tar_bytes += raw;
		if (raw)
			*rc = frame_table_add(&u->table, false, f);
	}
	if (*rc < 0)
		*rc = err_sys(e, ERR_FATAL, *rc, "table of frames");
	return *rc < 0 ? 0 : n;
}

static int scan(struct unframe *u, struct err *e)
{
	AUTO_FREE unsigned char *buf = malloc(u->size < SCAN ? (size_t)u->size + 1 : SCAN);
	int rc = 0;

	if (!buf)
		return err_sys(e, ERR_FATAL, -ENOMEM, "table of frames");
	u->table.kind = UNFRAME_REBUILT;
	for (uint64_t at = 0, n = 1; at < u->size && n > 0 && rc == 0; at += n)
		n = scan_one(u, buf, at, e, &rc);
	if (u->table.kind == UNFRAME_NONE || (u->table.count == 0 && u->table.is_cut)) {
		frame_table_done(&u->table);
		u->table.kind = UNFRAME_NONE;
	}
	return rc;
}

static int open_stream(struct unframe *u, struct err *e)
{
	u->stream = ZSTD_createDStream();
	u->in = malloc(STREAM_IN);
	u->out = malloc(STREAM_OUT);
	if (!u->stream || !u->in || !u->out)
		return err_sys(e, ERR_FATAL, -ENOMEM, "decompression");
	rewind_stream(u);
	return 0;
}

int unframe_open(int fd, unsigned threads, struct unframe **ret, struct err *e)
{
	struct unframe *u = calloc(1, sizeof(*u));
	struct stat st;
	struct err ignored;

	if (!u)
		return err_sys(e, ERR_FATAL, -ENOMEM, "decompression");
	u->fd = fd;
	u->slot_count = 1;
	u->last = SIZE_MAX - 1;
	u->threads_wanted = threads < THREADS_MAX ? threads : THREADS_MAX;
	(void)pthread_mutex_init(&u->lock, NULL);
	(void)pthread_cond_init(&u->wanted, NULL);
	(void)pthread_cond_init(&u->ready, NULL);
	int rc = fstat(fd, &st) < 0 ? err_sys(e, ERR_SOURCE, -errno, "cannot read") : 0;
	if (rc == 0 && !S_ISREG(st.st_mode))
		rc = err_set(e, ERR_SOURCE, -EINVAL, "not a regular file");
	if (rc == 0) {
		u->size = (uint64_t)st.st_size;
		if (frame_table_load(fd, u->size, &u->table, &ignored) < 0)
			rc = scan(u, e);
	}
	if (rc == 0 && u->table.kind == UNFRAME_NONE)
		rc = open_stream(u, e);
	if (rc < 0) {
		unframe_close(u);
		return rc;
	}
	*ret = u;
	return 0;
}

enum unframe_table unframe_table(const struct unframe *u)
{
	return u->table.kind;
}

size_t unframe_count(const struct unframe *u)
{
	return u->table.count;
}

const struct unframe_frame *unframe_frame(const struct unframe *u, size_t i)
{
	return &u->table.frames[i];
}

uint64_t unframe_tar_bytes(const struct unframe *u)
{
	return u->table.kind == UNFRAME_NONE || u->table.is_cut ? UINT64_MAX : u->table.tar_bytes;
}

static int read_part(
	struct unframe *u, const struct unframe_frame *part, struct index *ret, struct err *e)
{
	AUTO_FREE unsigned char *packed = malloc(part->packed);

	if (!packed)
		return err_sys(e, ERR_FATAL, -ENOMEM, "index");
	int rc = frame_pread(u->fd, packed, part->packed, part->at, e);
	if (rc < 0)
		return rc;
	unsigned long long len = ZSTD_getFrameContentSize(packed, part->packed);
	if (len > INDEX_PART_MAX)
		return err_set(e, ERR_DAMAGED, -EBADMSG,
			"index: part at byte %" PRIu64 " is damaged", part->at);
	AUTO_FREE unsigned char *raw = malloc((size_t)len + 1);
	if (!raw)
		return err_sys(e, ERR_FATAL, -ENOMEM, "index");
	size_t n = ZSTD_decompress(raw, (size_t)len, packed, part->packed);
	if (ZSTD_isError(n))
		return err_set(e, ERR_DAMAGED, -EBADMSG, "index: part at byte %" PRIu64 ": %s",
			part->at, ZSTD_getErrorName(n));
	return index_part_read(raw, n, ret, e);
}

int unframe_index(struct unframe *u, struct index *ret, struct err *e)
{
	struct err first = {0}, one;

	if (u->table.part_count == 0)
		return err_set(e, ERR_DAMAGED, -ENOENT, "the archive has no index");
	for (size_t i = 0; i < u->table.part_count; i++)
		if (read_part(u, &u->table.parts[i], ret, &one) < 0 && first.code == 0)
			first = one;
	if (first.code == 0)
		(void)index_check(ret, &first);
	if (ret->frame_count == u->table.count)
		u->digests = ret->frames;
	if (first.code < 0)
		*e = first;
	return first.code;
}

int unframe_index_sha256(const struct unframe *u, char out[DIGEST_HEX], struct err *e)
{
	struct digest *d = NULL;
	int rc = 0;

	out[0] = '\0';
	if (u->table.part_count == 0)
		return 0;
	rc = digest_new(&d, e);
	for (size_t i = 0; i < u->table.part_count && rc == 0; i++) {
		const struct unframe_frame *part = &u->table.parts[i];
		size_t len = (size_t)part->packed + FORMAT_SKIP_HEAD;
		AUTO_FREE unsigned char *data = malloc(len);

		if (!data)
			rc = err_sys(e, ERR_FATAL, -ENOMEM, "index");
		if (rc == 0)
			rc = frame_pread(u->fd, data, len, part->at - FORMAT_SKIP_HEAD, e);
		if (rc == 0)
			rc = digest_add(d, data, len, e);
	}
	if (rc == 0)
		rc = digest_end(d, out, e);
	digest_free(d);
	return rc;
}

void unframe_close(struct unframe *u)
{
	if (!u)
		return;
	(void)pthread_mutex_lock(&u->lock);
	u->stop = true;
	(void)pthread_cond_broadcast(&u->wanted);
	(void)pthread_mutex_unlock(&u->lock);
	for (unsigned i = 0; i < u->thread_count; i++)
		(void)pthread_join(u->threads[i], NULL);
	for (size_t k = 0; k < SLOTS_MAX; k++) {
		free(u->slots[k].packed);
		free(u->slots[k].raw);
		digest_free(u->slots[k].digest);
		(void)ZSTD_freeDCtx(u->slots[k].zstd);
	}
	(void)ZSTD_freeDStream(u->stream);
	free(u->in);
	free(u->out);
	frame_table_done(&u->table);
	(void)pthread_mutex_destroy(&u->lock);
	(void)pthread_cond_destroy(&u->wanted);
	(void)pthread_cond_destroy(&u->ready);
	free(u);
}
