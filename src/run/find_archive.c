/* SPDX-License-Identifier: Apache-2.0 */
#include "find_archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "dest.h"
#include "job.h"
#include "log.h"
#include "scope.h"
#include "untar.h"

#define ARCHIVE_END ".tar.zst"
#define LATEST "/latest"
#define MANIFEST_MAX ((off_t)64 << 20)

bool run_is_path(const char *arg)
{
	struct stat st;
	size_t len = strlen(arg), end = strlen(ARCHIVE_END);

	return (len > end && strcmp(arg + len - end, ARCHIVE_END) == 0) || arg[0] == '/' ||
	       (stat(arg, &st) == 0 && S_ISREG(st.st_mode));
}

static bool ends_with(const char *s, const char *end)
{
	size_t len = strlen(s), n = strlen(end);

	return len > n && strcmp(s + len - n, end) == 0;
}

static int read_manifest(const char *path, char **ret, struct err *e)
{
	AUTO_FCLOSE FILE *f = fopen(path, "rbe");
	struct stat st;

	if (!f && errno == ENOENT)
		return 0;
	if (!f || fstat(fileno(f), &st) < 0)
		return err_sys(e, ERR_SOURCE, -errno, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_size > MANIFEST_MAX)
		return err_set(e, ERR_DAMAGED, -EFBIG, "%s: no manifest", path);
	AUTO_FREE char *text = malloc((size_t)st.st_size + 1);
	if (!text)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", path);
	if (fread(text, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
		return err_set(e, ERR_SOURCE, -EIO, "%s: cannot be read", path);
	text[st.st_size] = '\0';
	/* Text behind a NUL would be out of sight of all that follows. */
	if (strlen(text) != (size_t)st.st_size)
		return err_set(e, ERR_DAMAGED, -EBADMSG, "%s: NUL at byte %zu", path, strlen(text));
	*ret = TAKE_PTR(text);
	return 0;
}

static void read_facts(struct found_archive *a, const char *name)
{
	if (a->manifest && a->problem.code == 0)
		(void)manifest_read(a->manifest, strlen(a->manifest), name, &a->facts, &a->problem);
}

static int open_path(const char *path, struct found_archive *ret, struct err *e)
{
	ret->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (ret->fd < 0)
		return err_sys(
			e, errno == ENOENT ? ERR_NOTHING : ERR_SOURCE, -errno, "cannot open");
	ret->name = strdup(path);
	if (!ret->name)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", path);
	if (!ends_with(path, ARCHIVE_END))
		return 0;
	AUTO_FREE char *json = NULL;
	if (asprintf(&json, "%.*s.json", (int)(strlen(path) - strlen(ARCHIVE_END)), path) < 0) {
		json = NULL;
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", path);
	}
	if (read_manifest(json, &ret->manifest, &ret->problem) < 0 &&
		ret->problem.kind == ERR_FATAL) {
		*e = ret->problem;
		return e->code;
	}
	read_facts(ret, json);
	return 0;
}

/* Whether item is what was asked for: 2 by name, 1 as the newest so far of the container. */
static int matches(const struct dest_item *item, const char *arg, char newest[32])
{
	struct manifest_facts facts;
	struct err e;
	size_t len = strlen(arg);

	if (strcmp(item->name, arg) == 0)
		return 2;
	if (!ends_with(arg, LATEST) || !item->manifest ||
		manifest_read(item->manifest, strlen(item->manifest), item->name, &facts, &e) < 0)
		return 0;
	len -= strlen(LATEST);
	if (strlen(facts.container) != len || memcmp(facts.container, arg, len) != 0 ||
		strcmp(facts.created, newest) <= 0)
		return 0;
	memcpy(newest, facts.created, 32);
	return 1;
}

static int take(
	const struct cfg_dest *d, struct dest_item *item, struct found_archive *ret, struct err *e)
{
	found_archive_done(ret);
	int rc = dest_find(d->type)->open(d, item->name, &ret->fd, e);
	if (rc < 0)
		return rc;
	ret->name = TAKE_PTR(item->name);
	ret->manifest = TAKE_PTR(item->manifest);
	if (item->problem)
		(void)err_set(&ret->problem, ERR_DAMAGED, -EBADMSG, "manifest: %s", item->problem);
	return 0;
}

static int look_in(const struct cfg_dest *d, const char *arg, struct found_archive *ret,
	char newest[32], bool *ret_exact, struct err *e)
{
	struct dest_list list = {0};
	int rc = dest_find(d->type)->list(d, &list, e);

	for (size_t i = 0; i < list.count && rc == 0 && !*ret_exact; i++) {
		int how = matches(&list.items[i], arg, newest);

		if (how == 0)
			continue;
		rc = take(d, &list.items[i], ret, e);
		*ret_exact = how == 2;
	}
	dest_list_done(&list);
	return rc;
}

int find_archive(
	const struct read_options *o, const char *arg, struct found_archive *ret, struct err *e)
{
	char newest[32] = "";
	bool is_exact = false;
	int rc = 0;

	*ret = (struct found_archive){.fd = -1};
	if (run_is_path(arg) || !o->cfg)
		return open_path(arg, ret, e);
	for (size_t i = 0; i < o->cfg->dest_count && rc == 0 && !is_exact; i++)
		rc = look_in(&o->cfg->dests[i], arg, ret, newest, &is_exact, e);
	if (rc < 0)
		return rc;
	if (!ret->name)
		return err_set(e, ERR_NOTHING, -ENOENT, "no destination has such an archive");
	read_facts(ret, ret->name);
	return 0;
}

void found_archive_done(struct found_archive *a)
{
	scope_close(&a->fd);
	free(a->name);
	free(a->manifest);
	*a = (struct found_archive){.fd = -1};
}

void json_field(struct strbuf *b, const char *key, const char *value)
{
	strbuf_printf(b, ",\"%s\":", key);
	if (value)
		strbuf_json(b, value);
	else
		strbuf_puts(b, "null");
}

void json_path(struct strbuf *b, const char *path)
{
	json_field(b, "path", path);
	if (!path || str_is_utf8(path, strlen(path)))
		return;
	strbuf_puts(b, ",\"path_b64\":\"");
	strbuf_base64(b, path, strlen(path));
	strbuf_puts(b, "\"");
}

void report_problem(
	const struct read_options *o, const char *archive, const char *path, const char *text)
{
	AUTO_STRBUF b = {0};

	log_warning("%s: %s%s%s", archive, path ? path : "", path ? ": " : "", text);
	if (!o->json)
		return;
	strbuf_puts(&b, "{\"v\":1,\"type\":\"problem\"");
	json_field(&b, "archive", archive);
	json_path(&b, path);
	json_field(&b, "message", text);
	strbuf_puts(&b, "}");
	report_line(&b);
}

int report_failure(const struct read_options *o, const char *archive, const struct err *e)
{
	const struct run_options as_run = {.json = o->json};

	report_error(&as_run, archive, e);
	return err_exit_code(e->kind);
}

char **clean_paths(char **args, size_t count, const char **bad)
{
	char **paths = calloc(count + 1, sizeof(*paths));

	*bad = NULL;
	for (size_t i = 0; paths && i < count; i++) {
		const char *from = args[i] + strspn(args[i], "/");

		paths[i] = strdup(*from || !*args[i] ? from : ".");
		if (paths[i] && tar_path_clean(paths[i]))
			continue;
		*bad = paths[i] ? args[i] : NULL;
		clean_paths_done(paths, count);
		return NULL;
	}
	return paths;
}

void clean_paths_done(char **paths, size_t count)
{
	for (size_t i = 0; paths && i < count; i++)
		free(paths[i]);
	free(paths);
}
