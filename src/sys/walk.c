/* SPDX-License-Identifier: Apache-2.0 */
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "scope.h"
#include "stop.h"

#define MAGIC_EXT4 0xEF53
#define MAGIC_XFS 0x58465342
#define OPEN_LEVELS 32 /* folders kept open; a deeper walk comes back by ".." */

struct name {
	size_t at; /* in names.text */
	unsigned char type;
};

struct names {
	struct strbuf text;
	struct name *items;
	size_t count, cap;
};

struct level {
	int fd; /* -1: closed to save descriptors */
	struct stat st;
	struct names names;
	size_t next;
	size_t path_len; /* of this folder's path in walk.path */
	uint64_t subdirs;
	bool listed; /* the whole stream was read: counts can be compared */
};

struct walk {
	const struct walk_options *o;
	struct pack *to;
	struct trouble *t;
	struct strbuf path;
	bool count_links; /* the file system keeps st_nlink == 2 + sub-directories */
	bool is_ext4;
	struct level *levels;
	size_t depth;
};

static bool match(const char *p, const char *s)
{
	const char *star_p = NULL, *star_s = NULL, *deep_p = NULL, *deep_s = NULL;
	const char *start = s;
	bool by_folder = false;

	for (;;) {
		if (p[0] == '*' && p[1] == '*') {
			while (*p == '*')
				p++;
			/* A "**" that is a whole component stands for any number of folders. */
			by_folder = *p == '/' && (s == start || s[-1] == '/');
			if (by_folder)
				p++;
			deep_p = p;
			deep_s = s;
			star_p = NULL;
		} else if (*p == '*') {
			star_p = ++p;
			star_s = s;
		} else if (*s && (*p == *s || (*p == '?' && *s != '/'))) {
			p++;
			s++;
		} else if (!*s && !*p) {
			return true;
		} else if (star_p && *star_s && *star_s != '/') {
			p = star_p;
			s = ++star_s;
		} else if (deep_p && *deep_s) {
			if (by_folder)
				deep_s += strcspn(deep_s, "/");
			if (!*deep_s)
				return false;
			star_p = NULL;
			p = deep_p;
			s = ++deep_s;
		} else {
			return false;
		}
	}
}

bool walk_excluded(const struct cfg_strings *exclude, const char *path)
{
	for (size_t i = 0; exclude && i < exclude->count; i++)
		if (match(exclude->items[i], path))
			return true;
	return false;
}

/* Opens name below dirfd without following anything; kernels before 5.6 have no openat2. */
static int open_below(int dirfd, const char *name, int flags)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.resolve = (unsigned)(RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_NO_XDEV),
	};
	long fd;

	do
		fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
	while (fd < 0 && errno == EINTR);
	/* EPERM: seccomp filters older than openat2 answer so. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : (int)fd;
}

/* Reading must not block on what is no file after all, nor ask for access times. */
static int open_content(int dirfd, const char *name, const struct stat *seen)
{
	int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
	struct stat st;

	if (S_ISDIR(seen->st_mode))
		flags |= O_DIRECTORY;
	int fd = open_below(dirfd, name, flags | O_NOATIME);
	if (fd == -EPERM)
		fd = open_below(dirfd, name, flags);
	if (fd < 0)
		return fd;
	int rc = fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0 && (st.st_dev != seen->st_dev || st.st_ino != seen->st_ino ||
			       (st.st_mode & S_IFMT) != (seen->st_mode & S_IFMT)))
		rc = -ESTALE;
	if (rc < 0) {
		(void)close(fd);
		return rc;
	}
	return fd;
}

static int names_add(struct names *n, const char *name, unsigned char type)
{
	if (n->count == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 64;
		struct name *grown = realloc(n->items, cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		n->items = grown;
		n->cap = cap;
	}
	n->items[n->count++] = (struct name){n->text.len, type};
	strbuf_add(&n->text, name, strlen(name) + 1);
	return n->text.failed ? -ENOMEM : 0;
}

static int names_order(const void *a, const void *b, void *text)
{
	const struct name *x = a, *y = b;

	return strcmp((const char *)text + x->at, (const char *)text + y->at);
}

static void names_done(struct names *n)
{
	strbuf_free(&n->text);
	free(n->items);
	*n = (struct names){0};
}

/* Reads the stream of l->fd.  Only being out of memory is an error here. */
static int list(struct walk *w, struct level *l)
{
	int fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 3);
	AUTO_DIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	unsigned dots = 0;
	int rc = 0;

	if (!d) {
		trouble_add(w->t, w->path.data, "read folder", errno);
		if (fd >= 0)
			(void)close(fd);
		return 0;
	}
	while (rc == 0) {
		errno = 0;
		const struct dirent *de = readdir(d);
		if (!de)
			break;
		if (strcmp(de->d_name, ".") == 0)
			dots |= 1;
		else if (strcmp(de->d_name, "..") == 0)
			dots |= 2;
		else
			rc = names_add(&l->names, de->d_name, de->d_type);
	}
	if (rc < 0)
		return rc;
	l->listed = errno == 0 && dots == 3;
	if (errno)
		trouble_add(w->t, w->path.data, "read folder", errno);
	else if (dots != 3)
		/* A damaged folder of an ext4 without checksums reads as empty, without error. */
		trouble_add(w->t, w->path.data, "read folder: no '.' and '..'", EUCLEAN);
	if (l->names.count)
		qsort_r(l->names.items, l->names.count, sizeof(*l->names.items), names_order,
			l->names.text.data);
	return 0;
}

/* Takes fd over. */
static int push(struct walk *w, int fd, const struct stat *st)
{
	struct level *l = &w->levels[w->depth];

	*l = (struct level){.fd = fd, .st = *st, .path_len = w->path.len};
	w->depth++;
	if (w->depth > OPEN_LEVELS) {
		struct level *old = &w->levels[w->depth - 1 - OPEN_LEVELS];

		if (old->fd >= 0)
			(void)close(old->fd);
		old->fd = -1;
	}
	return list(w, l);
}

static void check_links(struct walk *w, const struct level *l)
{
	if (!w->count_links || !l->listed || (w->is_ext4 && l->st.st_nlink == 1))
		return;
	if (l->st.st_nlink != l->subdirs + 2)
		trouble_add(w->t, w->path.data, "read folder: link count differs", EUCLEAN);
}

/* Reopens the parent of l through "..": the same folder, or it cannot be used. */
static void reopen(struct walk *w, struct level *up, const struct level *l)
{
	int fd = openat(l->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd >= 0 &&
		(fstat(fd, &st) < 0 || st.st_dev != up->st.st_dev || st.st_ino != up->st.st_ino)) {
		(void)close(fd);
		fd = -1;
		errno = ESTALE;
	}
	if (fd < 0)
		trouble_add(w->t, w->path.data, "open", errno);
	up->fd = fd;
}

static void set_path(struct walk *w, size_t len)
{
	w->path.len = len;
	w->path.data[len] = '\0';
}

static void pop(struct walk *w)
{
	struct level *l = &w->levels[w->depth - 1];

	set_path(w, l->path_len);
	check_links(w, l);
	if (w->depth > 1) {
		struct level *up = &w->levels[w->depth - 2];

		set_path(w, up->path_len);
		if (up->fd < 0 && l->fd >= 0)
			reopen(w, up, l);
	}
	names_done(&l->names);
	if (l->fd >= 0)
		(void)close(l->fd);
	w->depth--;
}

static int add(struct walk *w, const struct pack_entry *entry, struct err *e)
{
	int rc = pack_add(w->to, entry, w->t, e);

	if (rc == 0 && w->o->progress)
		w->o->progress(w->o->progress_arg, pack_counts(w->to)->content_bytes);
	return rc;
}

/* Adds a folder and goes into it; content is taken over. */
static int enter(struct walk *w, struct pack_entry *entry, int content, struct err *e)
{
	int rc = add(w, entry, e);

	if (rc == 0 && content >= 0 && w->depth == WALK_DEPTH_MAX)
		trouble_add(w->t, w->path.data, "folders are nested too deep", ELOOP);
	if (rc < 0 || content < 0 || w->depth == WALK_DEPTH_MAX) {
		if (content >= 0)
			(void)close(content);
		return rc;
	}
	rc = push(w, content, entry->st);
	return rc < 0 ? err_sys(e, ERR_FATAL, rc, "walking the container") : 0;
}

static int visit(struct walk *w, int dirfd, const char *name, struct err *e)
{
	AUTO_CLOSE int fd = open_below(dirfd, name, O_PATH);
	AUTO_CLOSE int content = -1;
	char target[PATH_MAX + 1];
	struct stat st;
	struct pack_entry entry = {.path = w->path.data,
		.st = &st,
		.fd = fd,
		.content_fd = -1,
		.dirfd = dirfd,
		.name = name};

	if (fd < 0 || fstat(fd, &st) < 0) {
		trouble_add(w->t, w->path.data, "open", fd < 0 ? -fd : errno);
		return 0;
	}
	if (st.st_dev != w->levels[0].st.st_dev) {
		trouble_add(w->t, w->path.data, "open", EXDEV);
		return 0;
	}
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);

		if (n <= 0) {
			trouble_add(w->t, w->path.data, "read link", n < 0 ? errno : EUCLEAN);
			return 0;
		}
		target[n] = '\0';
		entry.symlink = target;
	}
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		content = open_content(dirfd, name, &st);
		if (content < 0)
			trouble_add(w->t, w->path.data, "open", -content);
		if (content < 0 && S_ISREG(st.st_mode))
			return 0; /* a file of zeros would look like the file */
	}
	entry.content_fd = content < 0 ? -1 : content;
	if (S_ISDIR(st.st_mode)) {
		/* The descriptor goes on with the folder; the entry is used before that. */
		int taken = TAKE_FD(content);

		return enter(w, &entry, taken, e);
	}
	return add(w, &entry, e);
}

static bool is_dir(const struct level *l, const struct name *n, const char *name)
{
	struct stat st;

	if (n->type != DT_UNKNOWN)
		return n->type == DT_DIR;
	return fstatat(l->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* The next name of the top folder. */
static int step(struct walk *w, struct level *l, struct err *e)
{
	const struct name *n = &l->names.items[l->next++];
	const char *name = l->names.text.data + n->at;

	/* Read before the call below may add a level; excluded ones count as well. */
	l->subdirs += is_dir(l, n, name);
	if (l->path_len == 1 && w->depth == 1) {
		set_path(w, 0);
	} else {
		set_path(w, l->path_len);
		strbuf_add(&w->path, "/", 1);
	}
	strbuf_puts(&w->path, name);
	if (w->path.failed)
		return err_sys(e, ERR_FATAL, -ENOMEM, "walking the container");
	if (walk_excluded(w->o->exclude, w->path.data)) {
		pack_counts(w->to)->excluded++;
		return 0;
	}
	return visit(w, l->fd, name, e);
}

static int run(struct walk *w, struct err *e)
{
	while (w->depth) {
		struct level *l = &w->levels[w->depth - 1];
		int rc = stop_check(e);

		if (rc < 0)
			return rc;
		if (l->next == l->names.count || l->fd < 0) {
			/* The root's path is "." again once its children are done. */
			if (w->depth == 1) {
				w->path.len = 0;
				strbuf_puts(&w->path, ".");
			}
			pop(w);
			continue;
		}
		rc = step(w, l, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int walk_tree(int root_fd, const struct walk_options *o, struct pack *to, struct trouble *t,
	struct err *e)
{
	struct walk w = {.o = o, .to = to, .t = t};
	struct statfs fs;
	struct stat st;
	int rc;

	if (fstat(root_fd, &st) < 0 || fstatfs(root_fd, &fs) < 0)
		return err_sys(e, ERR_SOURCE, -errno, "cannot open the container's '/'");
	w.is_ext4 = fs.f_type == MAGIC_EXT4;
	w.count_links = w.is_ext4 || fs.f_type == MAGIC_XFS;
	w.levels = calloc(WALK_DEPTH_MAX, sizeof(*w.levels));
	strbuf_puts(&w.path, ".");
	int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct pack_entry root = {
		.path = ".", .st = &st, .fd = fd, .content_fd = fd, .dirfd = fd, .name = "."};
	if (fd < 0)
		rc = err_sys(e, ERR_SOURCE, -errno, "cannot open the container's '/'");
	else if (!w.levels || w.path.failed) {
		(void)close(fd);
		rc = err_sys(e, ERR_FATAL, -ENOMEM, "walking the container");
	} else {
		rc = enter(&w, &root, fd, e);
		if (rc == 0)
			rc = run(&w, e);
	}
	while (w.depth) {
		names_done(&w.levels[w.depth - 1].names);
		if (w.levels[w.depth - 1].fd >= 0)
			(void)close(w.levels[w.depth - 1].fd);
		w.depth--;
	}
	free(w.levels);
	strbuf_free(&w.path);
	return rc;
}
