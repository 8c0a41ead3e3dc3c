/* SPDX-License-Identifier: Apache-2.0 */
#include "verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reader.h"
#include "scope.h"
#include "stop.h"
#include "verify_member.h"

#define BUFFER (1u << 20)
#define THREADS 2

struct verify {
	const struct verify_options *o;
	struct verify_result *ret;
	struct reader r;
	int fd;
	bool is_ours; /* has a manifest or an index: then it must have a seek table and all */
	bool *bad;    /* entries of the index that were named */
	struct err *e;
};

static void problem(struct verify *v, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void problem(struct verify *v, const char *path, const char *fmt, ...)
{
	char text[1200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->ret->problems++;
	if (v->o->problem)
		v->o->problem(v->o->arg, path, text);
}

static void bad_entry(struct verify *v, size_t i, const char *text)
{
	if (v->bad[i])
		return;
	v->bad[i] = true;
	v->ret->bad_entries++;
	problem(v, v->r.index.entries[i].path, "%s", text);
}

/* Names every entry that reaches into frame i. */
static void bad_frame(struct verify *v, size_t i)
{
	const struct unframe_frame *f = unframe_frame(v->r.stream, i);
	const struct index *x = &v->r.index;

	v->ret->bad_frames++;
	problem(v, NULL, "frame %zu at byte %" PRIu64 ": its SHA-256 differs", i, f->at);
	for (size_t k = 0; k < x->count; k++)
		if (x->entries[k].header < f->tar_at + f->raw && x->entries[k].end > f->tar_at)
			bad_entry(v, k, "lies in a damaged frame");
}

/* The digest of the whole file and of each frame, in one pass. */
struct pass {
	struct digest *whole, *frame;
	size_t next; /* frame */
	bool has_digests;
};

static int feed(
	struct verify *v, struct pass *p, const unsigned char *data, size_t len, uint64_t at)
{
	const size_t count = p->has_digests ? unframe_count(v->r.stream) : 0;
	int rc = digest_add(p->whole, data, len, v->e);

	while (rc == 0 && p->next < count) {
		const struct unframe_frame *f = unframe_frame(v->r.stream, p->next);
		uint64_t from = f->at > at ? f->at : at;
		uint64_t to = f->at + f->packed < at + len ? f->at + f->packed : at + len;
		unsigned char sum[DIGEST_LEN];

		if (from < to)
			rc = digest_add(p->frame, data + (from - at), (size_t)(to - from), v->e);
		if (rc < 0 || f->at + f->packed > at + len)
			break;
		rc = digest_next(p->frame, sum, v->e);
		if (rc == 0 && memcmp(sum, v->r.index.frames[p->next].sha256, sizeof(sum)) != 0)
			bad_frame(v, p->next);
		p->next++;
	}
	return rc;
}

static int read_file(struct verify *v, struct pass *p)
{
	AUTO_FREE unsigned char *buffer = malloc(BUFFER);
	uint64_t at = 0;
	int rc = buffer ? 0 : err_sys(v->e, ERR_FATAL, -ENOMEM, "verify");

	while (rc == 0) {
		ssize_t n = pread(v->fd, buffer, BUFFER, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(
				v->e, ERR_SOURCE, -errno, "cannot read at byte %" PRIu64, at);
		if (n == 0)
			break;
		rc = feed(v, p, buffer, (size_t)n, at);
		at += (uint64_t)n;
		if (rc == 0)
			rc = stop_check(v->e);
	}
	v->ret->file_bytes = at;
	return rc;
}

static int check_file(struct verify *v)
{
	struct pass p = {.has_digests = v->r.index.frame_count == unframe_count(v->r.stream)};
	char hex[DIGEST_HEX];
	int rc = digest_new(&p.whole, v->e);

	v->ret->frames = unframe_count(v->r.stream);
	if (rc == 0)
		rc = digest_new(&p.frame, v->e);
	if (rc == 0)
		rc = read_file(v, &p);
	if (rc == 0)
		rc = digest_end(p.whole, hex, v->e);
	digest_free(p.whole);
	digest_free(p.frame);
	if (rc < 0 || !v->o->facts)
		return rc;
	if (v->ret->file_bytes != v->o->facts->file_bytes)
		problem(v, NULL, "%" PRIu64 " bytes long, the manifest says %" PRIu64,
			v->ret->file_bytes, v->o->facts->file_bytes);
	if (strcmp(hex, v->o->facts->sha256) != 0)
		problem(v, NULL, "the SHA-256 of the file is not that of the manifest");
	return 0;
}

static void count_entry(struct manifest_facts *c, const struct index_entry *x)
{
	c->entries++;
	if (x->has & INDEX_HARDLINK)
		c->hardlinks++;
	else if (S_ISREG(x->mode))
		c->files++;
	else if (S_ISDIR(x->mode))
		c->dirs++;
	else if (S_ISLNK(x->mode))
		c->symlinks++;
	else if (S_ISFIFO(x->mode))
		c->fifos++;
	else
		c->devices++;
	c->content_bytes += x->has & INDEX_HARDLINK ? 0 : x->size;
}

static void check_counts(struct verify *v)
{
	const struct manifest_facts *want = v->o->facts;
	struct manifest_facts got = {0};

	for (size_t i = 0; i < v->r.index.count; i++)
		count_entry(&got, &v->r.index.entries[i]);
	const struct {
		const char *name;
		uint64_t want, got;
	} rows[] = {{"entries", want->entries, got.entries}, {"files", want->files, got.files},
		{"folders", want->dirs, got.dirs}, {"symlinks", want->symlinks, got.symlinks},
		{"hard links", want->hardlinks, got.hardlinks},
		{"devices", want->devices, got.devices}, {"fifos", want->fifos, got.fifos},
		{"bytes of content", want->content_bytes, got.content_bytes},
		{"bytes of tar", want->tar_bytes, v->r.index.tar_bytes}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].want != rows[i].got)
			problem(v, NULL, "%" PRIu64 " %s, the manifest says %" PRIu64, rows[i].got,
				rows[i].name, rows[i].want);
}

static int check_index(struct verify *v)
{
	const struct index *x = &v->r.index;
	char hex[DIGEST_HEX];

	v->ret->has_index = v->r.has_index;
	if (unframe_table(v->r.stream) != UNFRAME_TABLE)
		problem(v, NULL, "the seek table is missing or damaged");
	if (v->r.index_problem.code)
		problem(v, NULL, "%s", v->r.index_problem.text);
	if (v->r.has_index && (x->frame_count != unframe_count(v->r.stream) ||
				      x->tar_bytes != unframe_tar_bytes(v->r.stream)))
		problem(v, NULL, "the index and the seek table do not fit together");
	for (size_t i = 0; v->r.has_index && i < x->frame_count && i < unframe_count(v->r.stream);
		i++) {
		const struct unframe_frame *f = unframe_frame(v->r.stream, i);

		if (x->frames[i].packed == f->packed && x->frames[i].raw == f->raw)
			continue;
		problem(v, NULL, "frame %zu is not as long as the index says", i);
		break;
	}
	if (!v->o->facts)
		return 0;
	if (v->r.has_index)
		check_counts(v);
	int rc = unframe_index_sha256(v->r.stream, hex, v->e);
	if (rc == 0 && strcmp(hex, v->o->facts->index_sha256) != 0)
		problem(v, NULL, "the SHA-256 of the index is not that of the manifest");
	return rc;
}

static int member(struct verify *v, const struct tar_member *m, size_t *next)
{
	const struct index *x = &v->r.index;
	struct member_sums sums;
	struct err e = {0};

	v->ret->entries++;
	int rc = member_sums(&v->r, m, &sums, &e);
	if (rc < 0 && e.kind != ERR_DAMAGED) {
		*v->e = e;
		return rc;
	}
	while (*next < x->count && x->entries[*next].header < m->header)
		bad_entry(v, (*next)++, "is in the index but not in the tar");
	const bool is_known = *next < x->count && x->entries[*next].header == m->header;
	if (!is_known) {
		if (rc < 0) {
			v->ret->bad_entries++;
			problem(v, m->path, "%s", e.text);
		} else if (v->r.has_index) {
			v->ret->bad_entries++;
			problem(v, m->path, "is in the tar but not in the index");
		}
		return 0;
	}
	const char *why = rc < 0 ? e.text : member_differs(m, &sums, &x->entries[*next]);
	if (why)
		bad_entry(v, *next, why);
	(*next)++;
	return 0;
}

/* Names the damaged member; false: there is no way on. */
static bool pass_damage(struct verify *v, const struct err *e)
{
	const struct index_entry *entry = NULL;
	bool more = reader_resume(&v->r, &entry);

	if (entry)
		bad_entry(v, (size_t)(entry - v->r.index.entries), e->text);
	else
		problem(v, NULL, "%s", e->text);
	return more;
}

static int check_members(struct verify *v)
{
	struct tar_member m;
	struct err e = {0};
	size_t next = 0;

	v->ret->was_deep = true;
	for (;;) {
		int rc = reader_next(&v->r, &m, &e);

		if (rc == 0)
			break;
		if (rc < 0 && e.kind == ERR_DAMAGED) {
			if (!pass_damage(v, &e))
				break;
			continue;
		}
		if (rc < 0) {
			*v->e = e;
			return rc;
		}
		rc = member(v, &m, &next);
		tar_member_done(&m);
		if (rc == 0)
			rc = stop_check(v->e);
		if (rc < 0)
			return rc;
	}
	for (; next < v->r.index.count; next++)
		bad_entry(v, next, "is in the index but not in the tar");
	return 0;
}

int verify_archive(int fd, const struct verify_options *o, struct verify_result *ret, struct err *e)
{
	struct verify v = {.o = o, .ret = ret, .fd = fd, .e = e};
	int rc = reader_open(fd, THREADS, &v.r, e);

	if (rc < 0)
		return rc;
	v.is_ours = o->facts || v.r.index.count || v.r.index_problem.code != -ENOENT;
	v.bad = calloc(v.r.index.count + 1, sizeof(*v.bad));
	if (!v.bad)
		rc = err_sys(e, ERR_FATAL, -ENOMEM, "verify");
	if (rc == 0)
		rc = check_file(&v);
	if (rc == 0 && v.is_ours)
		rc = check_index(&v);
	if (rc == 0 && (o->deep || !v.r.has_index))
		rc = check_members(&v);
	if (!ret->was_deep)
		ret->entries = v.r.index.count;
	free(v.bad);
	reader_close(&v.r);
	return rc;
}

int verify_manifest(const char *text, const struct manifest_facts *facts,
	const struct verify_options *o, struct verify_result *ret, struct err *e)
{
	struct verify v = {.o = o, .ret = ret, .e = e};
	char hex[DIGEST_HEX];

	if (!facts->covered) {
		problem(&v, NULL, "the manifest has no seal");
		return 0;
	}
	int rc = digest_text(text, facts->covered, hex, e);
	if (rc == 0 && strcmp(hex, facts->seal) != 0)
		problem(&v, NULL, "the manifest was changed: its SHA-256 differs");
	return rc;
}
