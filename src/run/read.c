/* SPDX-License-Identifier: Apache-2.0 */
/* What only looks into an archive: ls, cat. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "find_archive.h"
#include "job.h"
#include "log.h"
#include "reader.h"
#include "restore.h"
#include "scope.h"
#include "stop.h"

static const char *kind_of(const struct index_entry *x)
{
	if (x->has & INDEX_HARDLINK)
		return "hardlink";
	switch (x->mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "folder";
	case S_IFLNK:
		return "symlink";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	default:
		return "fifo";
	}
}

static void time_text(struct timespec t, char out[48])
{
	struct tm tm;
	size_t n = 0;

	if (gmtime_r(&t.tv_sec, &tm))
		n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	if (n)
		(void)snprintf(out + n, 48 - n, ".%09ldZ", t.tv_nsec);
	else
		(void)snprintf(out, 48, "%" PRId64, (int64_t)t.tv_sec);
}

static void mode_text(const struct index_entry *x, char out[11])
{
	static const char bits[] = "rwxrwxrwx";
	const mode_t m = x->mode;
	const char type = x->has & INDEX_HARDLINK ? 'h'
			  : S_ISREG(m)            ? '-'
			  : S_ISDIR(m)            ? 'd'
			  : S_ISLNK(m)            ? 'l'
			  : S_ISCHR(m)            ? 'c'
			  : S_ISBLK(m)            ? 'b'
						  : 'p';

	out[0] = type;
	for (int i = 0; i < 9; i++)
		out[i + 1] = m >> (8 - i) & 1 ? bits[i] : '-';
	if (m & S_ISUID)
		out[3] = m & S_IXUSR ? 's' : 'S';
	if (m & S_ISGID)
		out[6] = m & S_IXGRP ? 's' : 'S';
	if (m & S_ISVTX)
		out[9] = m & S_IXOTH ? 't' : 'T';
	out[10] = '\0';
}

static void escape(struct strbuf *b, const char *s)
{
	size_t cap = strlen(s) * 4 + 1;
	AUTO_FREE char *out = malloc(cap);

	if (!out)
		b->failed = true;
	else
		strbuf_add(b, out, str_escape(s, strlen(s), out, cap));
}

static void print_text(const struct index_entry *x)
{
	AUTO_STRBUF b = {0};
	char mode[11], time[48];

	mode_text(x, mode);
	time_text(x->mtime, time);
	strbuf_printf(&b, "%s %5" PRIu32 " %5" PRIu32, mode, x->uid, x->gid);
	if (S_ISCHR(x->mode) || S_ISBLK(x->mode))
		strbuf_printf(&b, " %5" PRIu32 ",%6" PRIu32, x->rdev_major, x->rdev_minor);
	else
		strbuf_printf(&b, " %12" PRIu64, x->size);
	strbuf_printf(&b, " %.19s ", time);
	escape(&b, x->path);
	if (x->link) {
		strbuf_puts(&b, x->has & INDEX_HARDLINK ? " link to " : " -> ");
		escape(&b, x->link);
	}
	report_line(&b);
}

static void print_json(const struct index_entry *x)
{
	AUTO_STRBUF b = {0};
	char time[48], hex[DIGEST_HEX];

	time_text(x->mtime, time);
	strbuf_puts(&b, "{\"v\":1,\"type\":\"entry\"");
	json_path(&b, x->path);
	json_field(&b, "kind", kind_of(x));
	strbuf_printf(&b,
		",\"mode\":\"%04o\",\"uid\":%" PRIu32 ",\"gid\":%" PRIu32 ",\"size\":%" PRIu64,
		x->mode & 07777, x->uid, x->gid, x->size);
	json_field(&b, "mtime", time);
	json_field(&b, "link", x->link);
	if ((x->has & INDEX_CONTENT) && !(x->has & INDEX_SPARSE)) {
		digest_hex(x->content, hex);
		json_field(&b, "sha256", hex);
	}
	if (S_ISCHR(x->mode) || S_ISBLK(x->mode))
		strbuf_printf(
			&b, ",\"device\":[%" PRIu32 ",%" PRIu32 "]", x->rdev_major, x->rdev_minor);
	strbuf_puts(&b, "}");
	report_line(&b);
}

/* What the tar itself says, in the form of an index; borrows. */
static struct index_entry as_entry(const struct tar_member *m)
{
	return (struct index_entry){.path = m->path,
		.link = m->link,
		.has = m->hardlink ? INDEX_HARDLINK
		       : m->link   ? INDEX_SYMLINK
				   : 0u,
		.mode = m->mode,
		.uid = m->uid,
		.gid = m->gid,
		.rdev_major = m->rdev_major,
		.rdev_minor = m->rdev_minor,
		.size = m->size,
		.mtime = m->mtime,
		.header = m->header,
		.data = m->body,
		.end = m->end};
}

/* Calls fn for every entry: of the index, or of the tar if that has none. */
static int each(struct reader *r, int (*fn)(void *arg, const struct index_entry *x), void *arg,
	struct err *e)
{
	struct tar_member m;
	int rc = 0;

	for (size_t i = 0; r->has_index && i < r->index.count && rc == 0; i++) {
		rc = fn(arg, &r->index.entries[i]);
		if (rc == 0)
			rc = stop_check(e);
	}
	r->tar.at = 0;
	while (!r->has_index && rc == 0) {
		rc = reader_next(r, &m, e);
		if (rc <= 0)
			break;
		/* Hostile paths are shown as they are. */
		AUTO_FREE char *own = strdup(m.path);
		if (own && tar_path_clean(own)) {
			free(m.path);
			m.path = TAKE_PTR(own);
		}
		struct index_entry x = as_entry(&m);
		rc = fn(arg, &x);
		tar_member_done(&m);
		if (rc == 0)
			rc = stop_check(e);
	}
	return rc;
}

struct ls {
	const struct read_options *o;
	char **paths;
	size_t count;
	bool *found;
	uint64_t shown;
};

static int ls_entry(void *arg, const struct index_entry *x)
{
	struct ls *l = arg;

	if (!restore_selects(l->paths, l->count, x->path, false, l->found))
		return 0;
	(l->o->json ? print_json : print_text)(x);
	l->shown++;
	return 0;
}

/* only: the one path that is wanted; NULL: all */
static int open_reader(const struct read_options *o, const struct found_archive *a,
	const char *only, struct reader *r, struct err *e)
{
	int rc = only ? reader_open_path(a->fd, only, r, e) : reader_open(a->fd, 0, r, e);

	if (rc == 0 && r->index_problem.code && r->index_problem.code != -ENOENT)
		report_problem(o, a->name, NULL, r->index_problem.text);
	return rc;
}

int run_ls(const struct read_options *o)
{
	AUTO_FOUND a = {.fd = -1};
	struct reader r = {0};
	struct err e = {0};
	const char *bad = NULL;
	struct ls l = {.o = o, .count = o->arg_count - 1};

	stop_init();
	AUTO_FREE bool *found = calloc(o->arg_count, sizeof(*found));
	l.found = found;
	l.paths = clean_paths(o->args + 1, l.count, &bad);
	int rc = l.paths && found ? 0 : -EINVAL;
	if (rc < 0)
		(void)err_set(&e, bad ? ERR_USAGE : ERR_FATAL, rc, "no path of an archive");
	if (rc == 0)
		rc = find_archive(o, o->args[0], &a, &e);
	if (rc == 0)
		rc = open_reader(o, &a, NULL, &r, &e);
	if (rc == 0)
		rc = each(&r, ls_entry, &l, &e);
	int code = rc < 0 ? report_failure(o, bad ? bad : o->args[0], &e) : EXIT_GOOD;
	for (size_t i = 0; rc == 0 && i < l.count; i++)
		if (!found[i]) {
			report_problem(o, a.name, l.paths[i], "not in the archive");
			code = l.shown ? EXIT_INCOMPLETE : EXIT_NOTHING;
		}
	clean_paths_done(l.paths, l.count);
	reader_close(&r);
	return code;
}

struct search {
	const char *path;
	struct index_entry last;
	bool is_found;
};

static int search_entry(void *arg, const struct index_entry *x)
{
	struct search *s = arg;

	if (strcmp(x->path, s->path) != 0)
		return 0;
	s->last = *x;
	s->is_found = true;
	return 0;
}

struct cat {
	uint64_t at; /* bytes written so far */
};

static int put_zeros(struct cat *c, uint64_t to, struct err *e)
{
	static const char zeros[65536];

	while (c->at < to) {
		size_t n = to - c->at < sizeof(zeros) ? (size_t)(to - c->at) : sizeof(zeros);

		if (fwrite(zeros, 1, n, stdout) != n)
			return err_sys(e, ERR_DEST, -errno, "standard output");
		c->at += n;
	}
	return 0;
}

static int cat_piece(void *arg, uint64_t at, const void *data, size_t len, struct err *e)
{
	struct cat *c = arg;
	int rc = put_zeros(c, at, e);

	if (rc == 0 && fwrite(data, 1, len, stdout) != len)
		rc = err_sys(e, ERR_DEST, -errno, "standard output");
	c->at += len;
	return rc < 0 ? rc : stop_check(e);
}

static int cat_member(struct reader *r, const struct tar_member *m, struct err *e)
{
	struct cat c = {0};

	if (!S_ISREG(m->mode))
		return err_set(e, ERR_USAGE, -EISDIR, "not a regular file");
	int rc = reader_content(r, m, cat_piece, &c, e);
	if (rc == 0)
		rc = put_zeros(&c, m->size, e);
	if (rc == 0 && fflush(stdout) != 0)
		rc = err_sys(e, ERR_DEST, -errno, "standard output");
	return rc;
}

/* *ret: the path to go on with, if this one is a hard link; owned. */
static int cat_path(const struct read_options *o, const struct found_archive *a, const char *path,
	char **ret, struct err *e)
{
	struct search s = {.path = path};
	struct reader r = {0};
	struct tar_member m = {0};
	int rc = open_reader(o, a, path, &r, e);

	if (rc == 0)
		rc = each(&r, search_entry, &s, e);
	if (rc == 0 && !s.is_found)
		rc = err_set(e, ERR_NOTHING, -ENOENT, "not in the archive");
	if (rc == 0)
		rc = reader_at(&r, &s.last, &m, e);
	if (rc == 0 && m.hardlink) {
		*ret = TAKE_PTR(m.link);
		(void)tar_path_clean(*ret);
	} else if (rc == 0) {
		rc = cat_member(&r, &m, e);
	}
	tar_member_done(&m);
	reader_close(&r);
	return rc;
}

/* A hard link leads to an earlier member, so one more step is enough. */
static int cat(const struct read_options *o, const struct found_archive *a, const char *path,
	struct err *e)
{
	AUTO_FREE char *first = NULL;
	AUTO_FREE char *again = NULL;
	int rc = cat_path(o, a, path, &first, e);

	if (rc == 0 && first)
		rc = cat_path(o, a, first, &again, e);
	return rc == 0 && again ? err_set(e, ERR_DAMAGED, -ELOOP, "a hard link to a hard link")
				: rc;
}

int run_cat(const struct read_options *o)
{
	AUTO_FOUND a = {.fd = -1};
	struct err e = {0};
	const char *bad = NULL;
	char **paths = clean_paths(o->args + 1, 1, &bad);

	stop_init();
	int rc = paths ? find_archive(o, o->args[0], &a, &e)
		       : err_set(&e, ERR_USAGE, -EINVAL, "no path of an archive");
	if (rc == 0) {
		rc = cat(o, &a, paths[0], &e);
		if (rc < 0)
			(void)err_add(&e, "%s", paths[0]);
	}
	int code = rc < 0 ? report_failure(o, o->args[0], &e) : EXIT_GOOD;
	clean_paths_done(paths, 1);
	return code;
}
