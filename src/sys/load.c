/* SPDX-License-Identifier: Apache-2.0 */
/* One name of the tree: what it is, and the content of small files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "ahead_state.h"
#include "extents.h"
#include "scope.h"

/* Reading must not block on what is no file after all. */
#define CONTENT_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY)

static void read_link(struct entry *e, int dirfd, const char *name)
{
	char target[PATH_MAX + 1];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);

	if (n <= 0) {
		found_note(&e->found, "read link", n < 0 ? errno : EUCLEAN);
		return;
	}
	e->found.symlink = strndup(target, (size_t)n);
	e->found.is_there = e->found.symlink != NULL;
	if (!e->found.symlink)
		found_note(&e->found, "read link", ENOMEM);
}

/* Reads [at, end) to buf; what cannot be read is zeros. */
static void read_extent(struct entry *e, int fd, off_t at, off_t end)
{
	while (at < end) {
		ssize_t n = pread(fd, e->whole + at, (size_t)(end - at), at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0) {
			at += n;
			continue;
		}
		if (!e->data.is_broken)
			found_note(&e->found, n < 0 ? "read" : "read: file is shorter",
				n < 0 ? errno : EIO);
		e->data.is_broken = true;
		memset(e->whole + at, 0, (size_t)(end - at));
		return;
	}
}

static void read_whole(struct ahead *a, struct entry *e, int fd)
{
	const off_t size = e->found.st.st_size;
	const struct pack_extent all = {0, size}, *map = e->map ? e->map : &all;
	const size_t count = e->map ? e->data.map_len : size > 0;

	ahead_take_buffer(a, e, (size_t)size);
	if (!e->whole) {
		found_note(&e->found, "read", ENOMEM);
		e->found.is_there = false;
		return;
	}
	for (size_t i = 0; i < count; i++)
		read_extent(e, fd, map[i].at, map[i].end);
}

static void prepare_large(struct ahead *a, struct entry *e, int fd)
{
	/* Each window is one request of its own: the kernel's reading ahead would come twice. */
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	e->fd = fd;
	(void)pthread_mutex_lock(&a->lock);
	window_plan(a, e, false);
	(void)pthread_mutex_unlock(&a->lock);
}

/* Takes fd over. */
static void load_content(struct ahead *a, struct entry *e, int fd, struct digest *d)
{
	const struct stat *st = &e->found.st;
	const bool is_large = st->st_size > AHEAD_WHOLE;
	AUTO_CLOSE int mine = fd;

	if (!a->tree.o->no_fingerprints) {
		if (st->st_blocks && extents_fingerprint(fd, d, e->extents))
			e->data.extents = e->extents;
		e->data.has_generation = extents_generation(fd, &e->data.generation);
	}
	/* Where all blocks are there, a small file has no hole worth two calls. */
	if (st->st_size && (is_large || (off_t)st->st_blocks * 512 < st->st_size) &&
		extents_find(fd, st->st_size, &e->map, &e->data.map_len) < 0) {
		found_note(&e->found, "read", ENOMEM);
		e->found.is_there = false;
		return;
	}
	e->data.map = e->map;
	e->data.is_sparse = e->map != NULL;
	if (is_large)
		prepare_large(a, e, TAKE_FD(mine));
	else
		read_whole(a, e, fd);
}

/* fd is open for reading, st known, and it is a regular file.  Takes fd over. */
static void load_file(struct ahead *a, struct entry *e, int fd, struct digest *d)
{
	e->found.is_there = true;
	found_xattrs(&e->found, fd, -1, NULL);
	if (e->found.st.st_nlink > 1 && ahead_is_seen(a, e)) {
		e->is_left = true;
		(void)close(fd);
		return;
	}
	load_content(a, e, fd, d);
}

/* What is no regular file, or not known. */
static void load_other(struct ahead *a, struct entry *e, struct digest *d)
{
	const int dirfd = e->folder->fd;
	AUTO_CLOSE int fd = found_open(&a->tree, dirfd, e->name, O_PATH);
	struct stat *st = &e->found.st;
	int error = fd < 0 ? -fd : fstat(fd, st) < 0 ? errno : 0;

	if (!error && st->st_dev != a->tree.dev)
		error = EXDEV;
	if (!error && S_ISREG(st->st_mode)) {
		int content = found_open_quietly(&a->tree, dirfd, e->name, CONTENT_FLAGS);

		if (content >= 0) {
			if (fstat(content, st) == 0 && S_ISREG(st->st_mode)) {
				load_file(a, e, content, d);
				return;
			}
			(void)close(content);
		}
		error = content < 0 ? -content : ESTALE;
	}
	/* A folder now that was none when its own folder was read: it was not looked into. */
	if (!error && S_ISDIR(st->st_mode))
		error = ESTALE;
	if (error) {
		found_note(&e->found, "open", error);
		return;
	}
	e->found.is_there = true;
	if (S_ISLNK(st->st_mode))
		read_link(e, fd, "");
	if (e->found.is_there && !S_ISSOCK(st->st_mode))
		found_xattrs(&e->found, -1, dirfd, e->name);
}

static void load_symlink(struct ahead *a, struct entry *e, struct digest *d)
{
	const int dirfd = e->folder->fd;

	if (fstatat(dirfd, e->name, &e->found.st, AT_SYMLINK_NOFOLLOW) < 0 ||
		e->found.st.st_dev != a->tree.dev || !S_ISLNK(e->found.st.st_mode)) {
		load_other(a, e, d);
		return;
	}
	read_link(e, dirfd, e->name);
	if (e->found.is_there)
		found_xattrs(&e->found, -1, dirfd, e->name);
}

static void load_regular(struct ahead *a, struct entry *e, struct digest *d)
{
	int fd = found_open_quietly(&a->tree, e->folder->fd, e->name, CONTENT_FLAGS);
	int error = fd < 0 ? -fd : fstat(fd, &e->found.st) < 0 ? errno : 0;

	if (!error && e->found.st.st_dev != a->tree.dev)
		error = EXDEV;
	if (!error && S_ISREG(e->found.st.st_mode)) {
		load_file(a, e, fd, d);
		return;
	}
	if (fd >= 0)
		(void)close(fd);
	/* Without its content it is not archived: a file of zeros would look like the file. */
	if (error)
		found_note(&e->found, "open", error);
	else
		load_other(a, e, d);
}

void load_entry(struct ahead *a, struct entry *e, struct digest *d)
{
	if (e->type == DT_REG)
		load_regular(a, e, d);
	else if (e->type == DT_LNK)
		load_symlink(a, e, d);
	else
		load_other(a, e, d);
}

void ahead_load(struct ahead *a, struct entry *e)
{
	const struct stat before = e->found.st;
	int fd = found_open_quietly(&a->tree, e->folder->fd, e->name, CONTENT_FLAGS);
	int error = fd < 0 ? -fd : fstat(fd, &e->found.st) < 0 ? errno : 0;

	if (!error && (e->found.st.st_dev != before.st_dev || e->found.st.st_ino != before.st_ino))
		error = ESTALE;
	if (error) {
		found_note(&e->found, "open", error);
		e->found.is_there = false;
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	load_content(a, e, fd, a->digest);
}
