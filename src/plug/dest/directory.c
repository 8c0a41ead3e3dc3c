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
	struct file_part part;
	bool sealed;
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

static int prepare(struct dest_writer *w, const struct cfg_dest *cfg, struct err *e)
{
	struct stat st;
	int rc = open_root(cfg, &w->root, e);

	if (rc < 0)
		return rc;
	w->kept = existing(w->root, w->folder);
	rc = file_open_dir(w->root, w->folder, true, &w->dir, e);
	if (rc < 0)
		return rc;
	if (fstatat(w->dir, w->manifest, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_sys(e, ERR_DEST, -EEXIST, "%s", w->manifest);
	return file_part_begin(w->dir, w->archive, &w->part, e);
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
		rc = prepare(w, cfg, e);
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
	struct file_part part;
	int rc = file_part_begin(w->dir, w->manifest, &part, e);

	if (rc == 0)
		rc = file_part_write(&part, text, len, e);
	if (rc == 0)
		rc = file_part_publish(&part, e);
	(void)file_part_drop(&part, NULL);
	return rc;
}

static int seal(struct dest_writer *w, const char *manifest, size_t len, struct err *e)
{
	int rc = file_part_publish(&w->part, e);

	if (rc < 0)
		return rc;
	rc = put_manifest(w, manifest, len, e);
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

/* Removes the folders this writer made, deepest first, as long as they are empty. */
static void remove_folders(struct dest_writer *w)
{
	size_t len = strlen(w->folder);

	while (len > w->kept && unlinkat(w->root, w->folder, AT_REMOVEDIR) == 0) {
		while (len > w->kept && w->folder[len - 1] != '/')
			len--;
		if (len > w->kept)
			len--;
		w->folder[len] = '\0';
	}
}

static int dir_abort(struct dest_writer *w, struct err *e)
{
	int rc = file_part_drop(&w->part, e);

	if (!w->sealed && w->root >= 0 && w->folder)
		remove_folders(w);
	scope_close(&w->dir);
	scope_close(&w->root);
	free(w->folder);
	free(w->archive);
	free(w->manifest);
	free(w);
	return rc;
}

/* Calls fn for each file below dir in no order; path is the folder's, "" or with a final '/'. */
struct scan {
	int (*fn)(struct scan *s, int dir, const char *path, const char *name, struct err *e);
	struct dest_list *list;
	size_t cap;
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
	AUTO_CLOSE int root = -1;
	AUTO_CLOSE int dir = -1;
	AUTO_FREE char *folder = NULL;
	AUTO_FREE char *file = NULL;
	const char *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;

	if (!name_is_good(name))
		return err_set(e, ERR_DEST, -EINVAL, "'%s' is no archive name", name);
	folder = strndup(name, slash ? (size_t)(slash - name) : 0);
	if (!folder || asprintf(&file, "%s" ARCHIVE_END, base) < 0) {
		file = NULL;
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
	}
	int rc = open_root(cfg, &root, e);
	if (rc == 0)
		rc = file_open_dir(root, folder, false, &dir, e);
	if (rc < 0)
		return rc;
	*ret_fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return *ret_fd < 0 ? err_sys(e, ERR_DEST, -errno, "cannot open %s", file) : 0;
}

/* Only what file_part_begin makes: ".NAME.part-" and sixteen hex digits. */
static bool is_part(const char *name)
{
	const char *mark = strrchr(name, '-');

	if (name[0] != '.' || !mark || mark - name < 6 || memcmp(mark - 5, ".part", 5) != 0)
		return false;
	return strlen(mark + 1) == 16 && strspn(mark + 1, "0123456789abcdef") == 16;
}

static int sweep_file(struct scan *s, int dir, const char *path, const char *name, struct err *e)
{
	if (!is_part(name))
		return 0;
	if (unlinkat(dir, name, 0) < 0)
		return errno == ENOENT
			       ? 0
			       : err_sys(e, ERR_DEST, -errno, "cannot remove %s%s", path, name);
	s->removed++;
	return 0;
}

static int sweep(const struct cfg_dest *cfg, struct err *e)
{
	struct scan s = {.fn = sweep_file};
	int rc = scan_all(cfg, &s, e);

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
	.sweep = sweep,
};
