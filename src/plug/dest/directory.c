/* SPDX-License-Identifier: Apache-2.0 */
/* Archives as files below a folder: PATH/NAME.tar.zst and PATH/NAME.json; NAME may hold '/'. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/statvfs.h>

#include "dest.h"
#include "file.h"
#include "scope.h"

#define ARCHIVE_END ".tar.zst"
#define MANIFEST_END ".json"
#define MANIFEST_MAX (64u << 20)
#define DEPTH_MAX 32 /* folders below PATH */

struct dest_writer {
	struct sink sink;
	int root, dir;
	char *folder;  /* part of the name before the last '/'; "" if none */
	size_t kept;   /* length of the part of folder that was there before */
	char *archive; /* file name without folder */
	char *manifest;
	struct file_part part, text;
	struct ledger_entry entry;
	bool is_entered, sealed;
};

static int open_root(const struct cfg_dest *cfg, int *ret, struct err *e)
{
	*ret = open(cfg->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? err_sys(e, ERR_DEST, -errno, "cannot open %s", cfg->path) : 0;
}

static int check(const struct cfg_dest *cfg, struct strbuf *note, struct err *e)
{
	AUTO_CLOSE int root = -1;
	struct statvfs fs;
	char size[16];
	int rc = open_root(cfg, &root, e);

	if (rc < 0)
		return rc;
	if (faccessat(root, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return err_sys(e, ERR_DEST, -errno, "%s is not writable", cfg->path);
	if (fstatvfs(root, &fs) < 0)
		return err_sys(e, ERR_DEST, -errno, "%s", cfg->path);
	if (fs.f_flag & ST_RDONLY)
		return err_sys(e, ERR_DEST, -EROFS, "%s", cfg->path);
	strbuf_printf(note, "%s free in %s",
		str_size((unsigned long long)fs.f_bavail * fs.f_frsize, size), cfg->path);
	return 0;
}

static int sink_write(void *state, const void *data, size_t len, struct err *e)
{
	struct dest_writer *w = state;

	return file_part_write(&w->part, data, len, e);
}

/* How much of the folder is there already, cut at a component. */
static size_t existing(int root, const char *folder)
{
	size_t len = 0;

	while (folder[len]) {
		size_t end = len + (len > 0);
		struct stat st;

		end += strcspn(folder + end, "/");
		char *part = strndup(folder, end);
		bool there = part && fstatat(root, part, &st, AT_SYMLINK_NOFOLLOW) == 0;
		free(part);
		if (!there)
			break;
		len = end;
	}
	return len;
}

static bool name_is_good(const char *name)
{
	const char *p = name;

	while (*p) {
		size_t len = strcspn(p, "/");

		/* Names with a dot in front are temporary ones and are not listed. */
		if (len == 0 || *p == '.')
			return false;
		p += len;
		if (*p == '/' && !*++p)
			return false;
	}
	return p != name;
}

static int writer_new(const char *name, struct dest_writer **ret, struct err *e)
{
	const char *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;
	struct dest_writer *w = calloc(1, sizeof(*w));
	int n = -1;

	if (!w)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
	w->root = w->dir = -1;
	w->sink = (struct sink){sink_write, w};
	w->folder = strndup(name, slash ? (size_t)(slash - name) : 0);
	if (asprintf(&w->archive, "%s" ARCHIVE_END, base) < 0)
		w->archive = NULL;
	else
		n = asprintf(&w->manifest, "%s" MANIFEST_END, base);
	if (n < 0)
		w->manifest = NULL;
	*ret = w;
	return w->folder && n >= 0 ? 0 : err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
}

/* The ledger knows it before anything of it exists. */
static int enter(struct dest_writer *w, const struct cfg_dest *cfg, const char *name, struct err *e)
{
	struct ledger_entry *x = &w->entry;

	*x = (struct ledger_entry){.kind = LEDGER_ARCHIVE, .kept = (uint32_t)w->kept};
	if (strlen(cfg->path) >= sizeof(x->path) || strlen(name) >= sizeof(x->name))
		return err_sys(e, ERR_DEST, -ENAMETOOLONG, "%s", name);
	(void)snprintf(x->path, sizeof(x->path), "%s", cfg->path);
	(void)snprintf(x->name, sizeof(x->name), "%s", name);
	(void)snprintf(x->type, sizeof(x->type), "%s", dest_directory.type);
	int rc = file_tag(x->tag, e);
	if (rc < 0 || !ledger_is_kept())
		return rc;
	rc = ledger_write(x, e);
	w->is_entered = rc == 0;
	return rc;
}

static int prepare(
	struct dest_writer *w, const struct cfg_dest *cfg, const char *name, struct err *e)
{
	struct stat st;
	int rc = open_root(cfg, &w->root, e);

	if (rc < 0)
		return rc;
	w->kept = existing(w->root, w->folder);
	rc = enter(w, cfg, name, e);
	if (rc == 0)
		rc = file_open_dir(w->root, w->folder, true, &w->dir, e);
	if (rc < 0)
		return rc;
	if (fstatat(w->dir, w->manifest, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_sys(e, ERR_DEST, -EEXIST, "%s", w->manifest);
	return file_part_begin(w->dir, w->archive, w->entry.tag, &w->part, e);
}

static int dir_abort(struct dest_writer *w, struct err *e);

static int begin(
	const struct cfg_dest *cfg, const char *name, struct dest_writer **ret, struct err *e)
{
	struct dest_writer *w = NULL;

	if (!name_is_good(name))
		return err_set(e, ERR_DEST, -EINVAL, "'%s' is no archive name", name);
	int rc = writer_new(name, &w, e);
	if (rc == 0)
		rc = prepare(w, cfg, name, e);
	if (rc < 0) {
		if (w)
			(void)dir_abort(w, NULL);
		return rc;
	}
	*ret = w;
	return 0;
}

static struct sink *get_sink(struct dest_writer *w)
{
	return &w->sink;
}

static int put_manifest(struct dest_writer *w, const char *text, size_t len, struct err *e)
{
	int rc = file_part_begin(w->dir, w->manifest, w->entry.tag, &w->text, e);

	if (rc == 0)
		rc = file_part_write(&w->text, text, len, e);
	if (rc == 0)
		rc = file_part_sync(&w->text, e);
	if (rc == 0 && fsync(w->dir) < 0)
		rc = err_sys(e, ERR_DEST, -errno, "cannot sync the folder of %s", w->manifest);
	return rc;
}

/*
 * Both files are whole and on disk before the first gets its name.  So whoever finds the archive
 * published and the manifest under its temporary name may publish that too: settle_names.
 */
static int seal(struct dest_writer *w, const char *manifest, size_t len, struct err *e)
{
	int rc = file_part_sync(&w->part, e);

	if (rc == 0)
		rc = put_manifest(w, manifest, len, e);
	if (rc == 0)
		rc = file_part_publish(&w->part, e);
	if (rc < 0)
		return rc;
	rc = file_part_publish(&w->text, e);
	if (rc == 0) {
		w->sealed = true;
		return 0;
	}
	/* Without its manifest it is not an archive, only a large file nobody lists. */
	if (unlinkat(w->dir, w->archive, 0) < 0 && errno != ENOENT)
		(void)err_add(e, "%s stays without a manifest", w->archive);
	(void)fsync(w->dir);
	return rc;
}

/* Removes the folders a writer made, deepest first, as long as they are empty. */
static void remove_folders(int root, char *folder, size_t kept)
{
	size_t len = strlen(folder);

	while (len > kept && unlinkat(root, folder, AT_REMOVEDIR) == 0) {
		while (len > kept && folder[len - 1] != '/')
			len--;
		if (len > kept)
			len--;
		folder[len] = '\0';
	}
}

static int dir_abort(struct dest_writer *w, struct err *e)
{
	int rc = file_part_drop(&w->part, e);
	int text = file_part_drop(&w->text, rc < 0 ? NULL : e);

	if (rc == 0)
		rc = text;
	if (!w->sealed && w->root >= 0 && w->folder)
		remove_folders(w->root, w->folder, w->kept);
	if (rc == 0 && w->is_entered)
		rc = ledger_remove(&w->entry, e);
	scope_close(&w->dir);
	scope_close(&w->root);
	free(w->folder);
	free(w->archive);
	free(w->manifest);
	free(w);
	return rc;
}

static int drop(int dir, const char *name, struct err *e)
{
	/* Looked for first, since a read-only folder would refuse even what is not there. */
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return 0;
	return unlinkat(dir, name, 0) < 0 && errno != ENOENT
		       ? err_sys(e, ERR_DEST, -errno, "cannot remove %s", name)
		       : 0;
}

/* By the tag the temporary files are ours; what they tell decides about the final ones. */
static int settle_names(
	int dir, const char *archive, const char *manifest, const char *tag, struct err *e)
{
	char part[300], text[300];
	struct stat a, p, m, t;
	int rc = 0;

	file_part_name(archive, tag, part);
	file_part_name(manifest, tag, text);
	const bool has_archive =
		fstatat(dir, archive, &a, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(a.st_mode);
	const bool has_manifest = fstatat(dir, manifest, &m, AT_SYMLINK_NOFOLLOW) == 0;
	const bool has_part = fstatat(dir, part, &p, AT_SYMLINK_NOFOLLOW) == 0;
	const bool has_text = fstatat(dir, text, &t, AT_SYMLINK_NOFOLLOW) == 0;
	if (!has_part && has_text && has_archive && !has_manifest) {
		rc = file_rename_new(dir, text, manifest);
		if (rc < 0)
			return err_sys(e, ERR_DEST, rc, "cannot publish %s", manifest);
	}
	/* Where a rename may replace, publishing is a link: for a moment it has both names. */
	if (has_part && has_archive && !has_manifest && a.st_ino == p.st_ino && a.st_nlink > 1)
		rc = drop(dir, archive, e);
	if (rc == 0)
		rc = drop(dir, text, e);
	if (rc == 0)
		rc = drop(dir, part, e);
	if (rc == 0 && (has_text || has_part) && fsync(dir) < 0)
		rc = err_sys(e, ERR_DEST, -errno, "cannot sync the folder of %s", archive);
	return rc;
}

static int settle(const struct ledger_entry *x, struct err *e)
{
	const struct cfg_dest cfg = {.path = (char *)(uintptr_t)x->path};
	struct dest_writer *w = NULL;

	if (!name_is_good(x->name))
		return err_set(e, ERR_LEFTOVER, -EINVAL, "'%s' is no archive name", x->name);
	int rc = writer_new(x->name, &w, e);
	if (rc == 0)
		rc = open_root(&cfg, &w->root, e);
	if (rc == 0)
		rc = file_open_dir(w->root, w->folder, false, &w->dir, e);
	if (rc == 0)
		rc = settle_names(w->dir, w->archive, w->manifest, x->tag, e);
	/* Perhaps none of the folders were made, or some, or the destination is gone. */
	if (rc == -ENOENT)
		rc = 0;
	if (w) {
		w->kept = x->kept;
		w->sealed = rc < 0;
		(void)dir_abort(w, NULL);
	}
	return rc;
}

/* Calls fn for each file below dir in no order; path is the folder's, "" or with a final '/'. */
struct scan {
	int (*fn)(struct scan *s, int dir, const char *path, const char *name, struct err *e);
	struct dest_list *list;
	size_t cap;
	char tag[17]; /* for its half that names this host */
	int removed;
};

static int scan_name(
	struct scan *s, int dir, const char *path, const char *name, unsigned depth, struct err *e);

static int scan_dir(struct scan *s, int dir, const char *path, unsigned depth, struct err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_DIR DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		int rc = err_sys(e, ERR_DEST, -errno, "cannot read folder %s", path);

		if (fd >= 0)
			(void)close(fd);
		return rc;
	}
	for (;;) {
		errno = 0;
		const struct dirent *de = readdir(d);
		if (!de)
			return errno ? err_sys(e, ERR_DEST, -errno, "cannot read folder %s", path)
				     : 0;
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		int rc = scan_name(s, dir, path, de->d_name, depth, e);
		if (rc < 0)
			return rc;
	}
}

static int scan_name(
	struct scan *s, int dir, const char *path, const char *name, unsigned depth, struct err *e)
{
	AUTO_CLOSE int sub = -1;
	AUTO_FREE char *below = NULL;
	struct stat st;

	/* Gone meanwhile is no error: another job may finish while this one lists. */
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, ERR_DEST, -errno, "%s%s", path, name);
	if (S_ISREG(st.st_mode))
		return s->fn(s, dir, path, name, e);
	if (!S_ISDIR(st.st_mode) || name[0] == '.' || depth == DEPTH_MAX)
		return 0;
	sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (sub < 0)
		return errno == ENOENT ? 0 : err_sys(e, ERR_DEST, -errno, "%s%s", path, name);
	if (asprintf(&below, "%s%s/", path, name) < 0) {
		below = NULL;
		return err_sys(e, ERR_FATAL, -ENOMEM, "listing");
	}
	return scan_dir(s, sub, below, depth + 1, e);
}

static int scan_all(const struct cfg_dest *cfg, struct scan *s, struct err *e)
{
	AUTO_CLOSE int root = -1;
	int rc = open_root(cfg, &root, e);

	return rc < 0 ? rc : scan_dir(s, root, "", 0, e);
}

/* The manifest's text, or NULL and a negative errno in *rc. */
static char *read_manifest(int dir, const char *name, int *rc)
{
	AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	AUTO_FREE char *data = NULL;
	struct stat st;
	size_t len = 0;

	*rc = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
	if (*rc == 0 && (!S_ISREG(st.st_mode) || st.st_size > (off_t)MANIFEST_MAX))
		*rc = S_ISREG(st.st_mode) ? -EFBIG : -EINVAL;
	if (*rc < 0)
		return NULL;
	data = malloc((size_t)st.st_size + 1);
	while (data && len < (size_t)st.st_size) {
		ssize_t n = read(fd, data + len, (size_t)st.st_size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			*rc = n < 0 ? -errno : -EIO;
			return NULL;
		}
		len += (size_t)n;
	}
	if (!data) {
		*rc = -ENOMEM;
		return NULL;
	}
	data[len] = '\0';
	return TAKE_PTR(data);
}

static int add_item(struct scan *s, struct dest_item *item)
{
	struct dest_list *l = s->list;

	if (l->count == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 32;
		struct dest_item *grown = realloc(l->items, cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->items = grown;
		s->cap = cap;
	}
	l->items[l->count++] = *item;
	return 0;
}

static int list_file(struct scan *s, int dir, const char *path, const char *name, struct err *e)
{
	AUTO_FREE char *archive = NULL;
	struct dest_item item = {0};
	size_t len = strlen(name), end = strlen(MANIFEST_END);
	struct stat st;
	int rc = 0;

	if (name[0] == '.' || len <= end || strcmp(name + len - end, MANIFEST_END) != 0)
		return 0;
	len -= end;
	if (asprintf(&archive, "%.*s" ARCHIVE_END, (int)len, name) < 0) {
		archive = NULL;
		return err_sys(e, ERR_FATAL, -ENOMEM, "listing");
	}
	if (fstatat(dir, archive, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	item.file_bytes = (uint64_t)st.st_size;
	item.manifest = read_manifest(dir, name, &rc);
	if (asprintf(&item.name, "%s%.*s", path, (int)len, name) < 0)
		item.name = NULL;
	if (!item.manifest)
		item.problem = strdup(strerror(-rc));
	if (item.name && (item.manifest || item.problem) && add_item(s, &item) == 0)
		return 0;
	free(item.name);
	free(item.manifest);
	free(item.problem);
	return err_sys(e, ERR_FATAL, -ENOMEM, "listing");
}

static int by_name(const void *a, const void *b)
{
	const struct dest_item *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int list(const struct cfg_dest *cfg, struct dest_list *ret, struct err *e)
{
	struct scan s = {.fn = list_file, .list = ret};

	*ret = (struct dest_list){0};
	int rc = scan_all(cfg, &s, e);
	if (rc < 0) {
		dest_list_done(ret);
		return rc;
	}
	if (ret->count)
		qsort(ret->items, ret->count, sizeof(*ret->items), by_name);
	return 0;
}

static int open_archive(const struct cfg_dest *cfg, const char *name, int *ret_fd, struct err *e)
{
	struct dest_writer *w = NULL;

	if (!name_is_good(name))
		return err_set(e, ERR_DEST, -EINVAL, "'%s' is no archive name", name);
	int rc = writer_new(name, &w, e);
	if (rc == 0)
		rc = open_root(cfg, &w->root, e);
	if (rc == 0)
		rc = file_open_dir(w->root, w->folder, false, &w->dir, e);
	if (rc == 0) {
		*ret_fd =
			openat(w->dir, w->archive, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		rc = *ret_fd < 0 ? err_sys(e, ERR_DEST, -errno, "cannot open %s", w->archive) : 0;
	}
	if (w) {
		w->sealed = true; /* its folders are none of ours */
		(void)dir_abort(w, NULL);
	}
	return rc;
}

/* Only what this host's file_part_begin makes: ".NAME.part-" and sixteen digits, eight known. */
static bool is_part(const char *name, const char *tag)
{
	const char *mark = strrchr(name, '-');

	if (name[0] != '.' || !mark || mark - name < 7 || memcmp(mark - 5, ".part", 5) != 0)
		return false;
	return strlen(mark + 1) == 16 && strspn(mark + 1, "0123456789abcdef") == 16 &&
	       strncmp(mark + 1, tag, 8) == 0;
}

static int sweep_file(struct scan *s, int dir, const char *path, const char *name, struct err *e)
{
	char final[256], archive[300], manifest[300];
	const char *mark = strrchr(name, '-');

	if (!is_part(name, s->tag))
		return 0;
	(void)snprintf(final, sizeof(final), "%.*s", (int)(mark - 5 - name - 1), name + 1);
	size_t len = strlen(final), end = strlen(ARCHIVE_END);
	if (len > end && strcmp(final + len - end, ARCHIVE_END) == 0)
		len -= end;
	else if (len > strlen(MANIFEST_END) &&
		 strcmp(final + len - strlen(MANIFEST_END), MANIFEST_END) == 0)
		len -= strlen(MANIFEST_END);
	(void)snprintf(archive, sizeof(archive), "%.*s" ARCHIVE_END, (int)len, final);
	(void)snprintf(manifest, sizeof(manifest), "%.*s" MANIFEST_END, (int)len, final);
	int rc = settle_names(dir, archive, manifest, mark + 1, e);
	/* The name was cut: what it stands for is known to the ledger only. */
	if (rc == 0)
		rc = drop(dir, name, e);
	if (rc < 0)
		return err_add(e, "%s", path);
	s->removed++;
	return 0;
}

static int sweep(const struct cfg_dest *cfg, struct err *e)
{
	struct scan s = {.fn = sweep_file};
	int rc = file_tag(s.tag, e);

	if (rc == 0)
		rc = scan_all(cfg, &s, e);

	return rc < 0 ? rc : s.removed;
}

static int directory_identify(const struct cfg_dest *cfg, struct strbuf *ret, struct err *e)
{
	struct stat st;

	if (stat(cfg->path, &st) < 0)
		return err_sys(e, ERR_DEST, -errno, "%s", cfg->path);
	strbuf_printf(ret, "%u-%u-%llu", major(st.st_dev), minor(st.st_dev),
		(unsigned long long)st.st_ino);
	return ret->failed ? err_sys(e, ERR_FATAL, -ENOMEM, "%s", cfg->path) : 0;
}

const struct dest_ops dest_directory = {
	.type = "directory",
	.help = "files below a folder: PATH/NAME.tar.zst and PATH/NAME.json",
	.identify = directory_identify,
	.check = check,
	.begin = begin,
	.sink = get_sink,
	.seal = seal,
	.abort = dir_abort,
	.list = list,
	.open = open_archive,
	.settle = settle,
	.sweep = sweep,
};
