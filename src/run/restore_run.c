/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "find_archive.h"
#include "job.h"
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

static int restore(const struct read_options *o, const struct found_archive *a, char **paths)
{
	AUTO_CLOSE int target = -1;
	struct restore_counts counts = {0};
	struct trouble t = {0};
	struct reader r = {0};
	struct err e = {0};
	int rc = reader_open(a->fd, DECODERS, &r, &e);

	if (rc < 0)
		return report_failure(o, a->name, &e);
	if (r.index_problem.code && r.index_problem.code != -ENOENT) {
		report_problem(o, a->name, NULL, r.index_problem.text);
		t.count++;
	}
	rc = open_target(o->to, &target, &e);
	if (rc == 0) {
		const struct restore_options ro = {.dirfd = target,
			.paths = paths,
			.path_count = o->arg_count - 1,
			.no_devices = o->no_devices};

		rc = restore_tree(&r, &ro, &counts, &t, &e);
	}
	reader_close(&r);
	report_trouble(o, a, &t);
	int code = t.count ? EXIT_INCOMPLETE : EXIT_GOOD;
	if (rc < 0)
		code = report_failure(o, a->name, &e);
	else if (o->arg_count > 1 && counts.entries == 0)
		code = EXIT_NOTHING;
	summary(o, a, &counts, &t, rc == 0);
	trouble_done(&t);
	return code;
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
		code = restore(o, &a, paths);
	}
	clean_paths_done(paths, o->arg_count - 1);
	return code;
}
