/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "find_archive.h"
#include "into.h"
#include "log.h"
#include "restore.h"
#include "scope.h"
#include "stop.h"

#define DECODERS 2

/* New, or empty: nothing of a restore can then meet what it did not make itself. */
static int open_target(const char *path, int *ret_fd, struct err *e)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(e, ERR_DEST, -errno, "%s", path);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int again = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_DIR DIR *d = again < 0 ? NULL : fdopendir(again);
	if (!d) {
		int rc = err_sys(e, ERR_DEST, -errno, "%s", path);

		if (again >= 0)
			(void)close(again);
		return rc;
	}
	for (const struct dirent *de; (de = readdir(d));)
		/* A file system of its own has this one, and it is root's. */
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0 &&
			strcmp(de->d_name, "lost+found") != 0)
			return err_set(e, ERR_USAGE, -ENOTEMPTY, "%s is not empty", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void summary(const struct read_options *o, const struct found_archive *a,
	const struct restore_counts *c, const struct trouble *t, bool is_done)
{
	AUTO_STRBUF b = {0};
	char size[16];
	const char *status = !is_done ? "failed" : t->count ? "incomplete" : "good";

	if (!o->json) {
		log_info("%s: %s: %" PRIu64 " entries, %s, %" PRIu64 " damaged, %" PRIu64
			 " device nodes left out",
			a->name, status, c->entries, str_size(c->content_bytes, size), c->damaged,
			c->devices_skipped);
		return;
	}
	strbuf_puts(&b, "{\"v\":1,\"type\":\"summary\"");
	json_field(&b, "archive", a->name);
	json_field(&b, "status", status);
	strbuf_printf(&b,
		",\"entries\":%" PRIu64 ",\"files\":%" PRIu64 ",\"folders\":%" PRIu64
		",\"symlinks\":%" PRIu64 ",\"hardlinks\":%" PRIu64 ",\"devices\":%" PRIu64
		",\"fifos\":%" PRIu64 ",\"devices_skipped\":%" PRIu64 ",\"content_bytes\":%" PRIu64
		",\"damaged\":%" PRIu64 ",\"problems\":%" PRIu64 "}",
		c->entries, c->files, c->dirs, c->symlinks, c->hardlinks, c->devices, c->fifos,
		c->devices_skipped, c->content_bytes, c->damaged, t->count);
	report_line(&b);
}

static void report_trouble(
	const struct read_options *o, const struct found_archive *a, const struct trouble *t)
{
	for (size_t i = 0; i < t->kept; i++) {
		AUTO_STRBUF b = {0};

		strbuf_printf(&b, "%s: %s", t->items[i].what, strerror(t->items[i].error));
		report_problem(o, a->name, t->items[i].path, b.data ? b.data : "");
	}
	if (t->count > t->kept)
		log_warning("%s: and %" PRIu64 " more", a->name, t->count - t->kept);
}

/* Facts of the manifest that cost nothing to check before. */
static void look_at_manifest(const struct read_options *o, const struct found_archive *a)
{
	struct stat st;

	if (a->problem.code)
		report_problem(o, a->name, NULL, a->problem.text);
	else if (!a->manifest)
		log_warning("%s: has no manifest", a->name);
	else if (fstat(a->fd, &st) == 0 && (uint64_t)st.st_size != a->facts.file_bytes)
		report_problem(o, a->name, NULL, "is not as long as its manifest says");
}

/* How much the paths may write at most, as far as that can be told. */
static int measure(struct reader *r, const struct found_archive *a, char **paths, size_t count,
	uint64_t *ret, struct err *e)
{
	size_t selected = 0;

	*ret = count ? 0 : a->facts.tar_bytes;
	if (!r->has_index)
		return 0;
	*ret = 0;
	for (size_t i = 0; i < r->index.count; i++) {
		const struct index_entry *x = &r->index.entries[i];

		if (!restore_selects(paths, count, x->path, false, NULL))
			continue;
		selected++;
		*ret += x->end - x->data;
	}
	return selected ? 0 : err_set(e, ERR_NOTHING, -ENOENT, "nothing of that is in the archive");
}

static int open_into(struct into *t, struct reader *r, const struct found_archive *a, char **paths,
	size_t count, struct err *e)
{
	uint64_t bytes;
	int rc = measure(r, a, paths, count, &bytes, e);

	return rc < 0 ? rc : into_open(t, bytes, e);
}

static int restore(const struct read_options *o, const struct found_archive *a, char **paths,
	struct into *into)
{
	AUTO_CLOSE int target = -1;
	struct restore_counts counts = {0};
	struct trouble t = {0};
	struct reader r = {0};
	struct err e = {0}, end = {0};
	const size_t path_count = o->arg_count - 1;
	int rc = into ? into_prepare(into, &e) : 0;

	if (rc == 0 && into && a->facts.container[0] && into->container->name &&
		strcmp(a->facts.container, into->container->name) != 0)
		log_warning("%s: is an archive of '%s'", a->name, a->facts.container);
	if (rc == 0)
		rc = reader_open(a->fd, DECODERS, &r, &e);
	if (rc == 0 && r.index_problem.code && r.index_problem.code != -ENOENT) {
		report_problem(o, a->name, NULL, r.index_problem.text);
		t.count++;
	}
	if (rc == 0)
		rc = into ? open_into(into, &r, a, paths, path_count, &e)
			  : open_target(o->to, &target, &e);
	if (rc == 0) {
		const struct restore_options ro = {.dirfd = into ? into->root : target,
			.paths = paths,
			.path_count = path_count,
			.no_devices = o->no_devices,
			.is_over = into != NULL};

		rc = restore_tree(&r, &ro, &counts, &t, &e);
	}
	reader_close(&r);
	report_trouble(o, a, &t);
	if (into && into_close(into, o->keep_snapshot || rc < 0 || t.count, &end) < 0) {
		if (rc < 0)
			(void)err_add(&end, "%s; then", e.text);
		e = end;
		rc = e.code;
	}
	int code = t.count ? EXIT_INCOMPLETE : EXIT_GOOD;
	if (rc < 0)
		code = report_failure(o, into ? into->name : a->name, &e);
	else if (path_count > 0 && counts.entries == 0)
		code = EXIT_NOTHING;
	summary(o, a, &counts, &t, rc == 0);
	trouble_done(&t);
	return code;
}

static int restore_into(const struct read_options *o, const struct found_archive *a, char **paths)
{
	const struct run_options run = {.cfg = o->cfg, .json = o->json};
	AUTO_FREE struct into *t = calloc(1, sizeof(*t));
	struct err e = {0};

	if (!t) {
		(void)err_sys(&e, ERR_FATAL, -ENOMEM, "restore");
		return report_failure(o, o->into, &e);
	}
	t->options = &run;
	t->name = o->into;
	t->pools = (struct pools){.options = &run, .what = "restore"};
	t->root = -1;
	return restore(o, a, paths, t);
}

int run_restore(const struct read_options *o)
{
	AUTO_FOUND a = {.fd = -1};
	struct err e = {0};
	const char *bad = NULL;
	char **paths = clean_paths(o->args + 1, o->arg_count - 1, &bad);
	int code;

	stop_init();
	if (!paths) {
		(void)err_set(&e, bad ? ERR_USAGE : ERR_FATAL, -EINVAL, "no path of an archive");
		return report_failure(o, bad ? bad : "restore", &e);
	}
	if (find_archive(o, o->args[0], &a, &e) < 0) {
		code = report_failure(o, o->args[0], &e);
	} else {
		look_at_manifest(o, &a);
		code = o->into ? restore_into(o, &a, paths) : restore(o, &a, paths, NULL);
	}
	clean_paths_done(paths, o->arg_count - 1);
	return code;
}
