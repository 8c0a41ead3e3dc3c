/* SPDX-License-Identifier: Apache-2.0 */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "scope.h"

#define DENTS (32u << 10) /* bytes read at a time */

/* https://bford.info/cachedir/ */
#define CACHE_TAG "CACHEDIR.TAG"
#define CACHE_SIGNATURE "Signature: 8a477f597d28d172789f06886806bc55"

/* struct linux_dirent64, getdents(2). */
struct dent {
	uint64_t ino;
	int64_t off;
	unsigned short len;
	unsigned char type;
	char name[];
};

struct folder *folder_new(struct folder *parent, const char *name)
{
	struct folder *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	*f = (struct folder){.parent = parent,
		.name = name,
		.depth = parent ? parent->depth + 1 : 0,
		.refs = 1,
		.fd = -1};
	if (parent)
		parent->refs++;
	return f;
}

void folder_free(struct folder *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	found_done(&f->found);
	strbuf_free(&f->names.text);
	free(f->names.items);
	free(f);
}

void folder_path(const struct folder *f, struct strbuf *path)
{
	const struct folder *chain[WALK_DEPTH_MAX + 1];
	size_t n = 0;

	for (; f && f->parent && n <= WALK_DEPTH_MAX; f = f->parent)
		chain[n++] = f;
	while (n--) {
		if (path->len)
			strbuf_add(path, "/", 1);
		strbuf_puts(path, chain[n]->name);
	}
}

static int names_add(struct names *n, const struct dent *d)
{
	if (n->count == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 64;
		struct name *grown = reallocarray(n->items, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		n->items = grown;
		n->cap = cap;
	}
	n->items[n->count++] = (struct name){.at = n->text.len, .ino = d->ino, .type = d->type};
	strbuf_add(&n->text, d->name, strlen(d->name) + 1);
	return n->text.failed ? -ENOMEM : 0;
}

static int by_bytes(const void *a, const void *b, void *text)
{
	const struct name *x = a, *y = b;

	return strcmp((const char *)text + x->at, (const char *)text + y->at);
}

static int add_dents(struct folder *f, const char *buf, size_t len, unsigned *dots)
{
	int rc = 0;

	for (size_t at = 0; at < len && rc == 0;) {
		const struct dent *d = (const void *)(buf + at);

		if (strcmp(d->name, ".") == 0)
			*dots |= 1;
		else if (strcmp(d->name, "..") == 0)
			*dots |= 2;
		else
			rc = names_add(&f->names, d);
		at += d->len;
	}
	return rc;
}

/* *ret_all: the whole folder was read, so that counts can be compared. */
static int read_names(struct folder *f, bool *ret_all)
{
	_Alignas(struct dent) char buf[DENTS];
	unsigned dots = 0;
	long n;
	int rc = 0;

	while (rc == 0 && (n = syscall(SYS_getdents64, f->fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			found_note(&f->found, "read folder", errno);
			dots = 3;
			break;
		}
		rc = add_dents(f, buf, (size_t)n, &dots);
	}
	*ret_all = n == 0 && dots == 3;
	/* A damaged folder of an ext4 without checksums reads as empty, without error. */
	if (dots != 3)
		found_note(&f->found, "read folder: no '.' and '..'", EUCLEAN);
	if (f->names.count)
		qsort_r(f->names.items, f->names.count, sizeof(*f->names.items), by_bytes,
			f->names.text.data);
	return rc;
}

/* What the folder itself does not tell. */
static uint64_t count_folders(struct folder *f)
{
	uint64_t count = 0;

	for (size_t i = 0; i < f->names.count; i++) {
		struct name *n = &f->names.items[i];
		struct stat st;

		if (n->type == DT_UNKNOWN &&
			fstatat(f->fd, folder_name(f, i), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISDIR(st.st_mode))
			n->type = DT_DIR;
		count += n->type == DT_DIR;
	}
	return count;
}

static void check_links(const struct tree *t, struct folder *f, uint64_t folders)
{
	const nlink_t links = f->found.st.st_nlink;

	if (!t->count_links || (t->is_ext4 && links == 1))
		return;
	if (links != folders + 2)
		found_note(&f->found, "read folder: link count differs", EUCLEAN);
}

static int exclude(const struct tree *t, struct folder *f)
{
	AUTO_STRBUF path = {0};

	if (!t->o->exclude || !t->o->exclude->count)
		return 0;
	folder_path(f, &path);
	const size_t len = path.len;
	for (size_t i = 0; i < f->names.count; i++) {
		path.len = len;
		if (len)
			strbuf_add(&path, "/", 1);
		strbuf_puts(&path, folder_name(f, i));
		if (path.failed)
			return -ENOMEM;
		f->names.items[i].is_excluded = walk_excluded(t->o->exclude, path.data);
	}
	return 0;
}

static const struct name *find_name(const struct folder *f, const char *name)
{
	size_t lo = 0, hi = f->names.count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(folder_name(f, mid), name);

		if (c == 0)
			return &f->names.items[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* The tag alone proves nothing: its first bytes do. */
static bool is_cache(struct tree *t, const struct folder *f)
{
	char start[sizeof(CACHE_SIGNATURE) - 1];
	const struct name *n = find_name(f, CACHE_TAG);

	if (!n || (n->type != DT_REG && n->type != DT_UNKNOWN))
		return false;
	AUTO_CLOSE int fd =
		found_open_quietly(t, f->fd, CACHE_TAG, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	return fd >= 0 && pread(fd, start, sizeof(start), 0) == (ssize_t)sizeof(start) &&
	       memcmp(start, CACHE_SIGNATURE, sizeof(start)) == 0;
}

static bool is_tagged(struct tree *t, const struct folder *f)
{
	const struct cfg_strings *marks = t->o->exclude_if_present;

	for (size_t i = 0; marks && i < marks->count; i++)
		if (find_name(f, marks->items[i]))
			return true;
	return t->o->exclude_caches && is_cache(t, f);
}

/* It cannot be entered, but what is known of it is archived. */
static void look_from_outside(struct tree *t, struct folder *f)
{
	AUTO_CLOSE int fd = found_open(t, f->parent->fd, f->name, O_PATH);

	if (fd < 0 || fstat(fd, &f->found.st) < 0 || f->found.st.st_dev != t->dev ||
		!S_ISDIR(f->found.st.st_mode))
		return;
	f->found.is_there = true;
	found_xattrs(&f->found, -1, f->parent->fd, f->name);
}

static int open_folder(struct tree *t, struct folder *f)
{
	if (f->fd < 0) {
		int fd = found_open_quietly(
			t, f->parent->fd, f->name, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_NOCTTY);
		if (fd < 0) {
			found_note(&f->found, "open", -fd);
			look_from_outside(t, f);
			return -1;
		}
		f->fd = fd;
	}
	int error = fstat(f->fd, &f->found.st) < 0 ? errno : 0;
	if (!error && f->found.st.st_dev != t->dev)
		error = EXDEV;
	if (error) {
		found_note(&f->found, "open", error);
		return -1;
	}
	f->found.is_there = true;
	f->dev = f->found.st.st_dev;
	f->ino = f->found.st.st_ino;
	found_xattrs(&f->found, f->fd, -1, NULL);
	return 0;
}

static void leave(struct folder *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
	f->names.count = 0;
}

int folder_list(struct tree *t, struct folder *f)
{
	bool all = false;

	if (open_folder(t, f) < 0) {
		leave(f);
		return 0;
	}
	if (f->depth >= WALK_DEPTH_MAX) {
		found_note(&f->found, "folders are nested too deep", ELOOP);
		leave(f);
		return 0;
	}
	int rc = read_names(f, &all);
	if (rc == 0 && f->parent && is_tagged(t, f)) {
		f->is_tagged = true;
		leave(f);
		return 0;
	}
	if (rc == 0)
		rc = exclude(t, f);
	uint64_t folders = count_folders(f);
	if (all)
		check_links(t, f, folders);
	return rc;
}
