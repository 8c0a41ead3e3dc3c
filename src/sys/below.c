/* SPDX-License-Identifier: Apache-2.0 */
#include "below.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scope.h"

#define FOLDER (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

void below_init(struct below *b, int root)
{
	*b = (struct below){.root = root, .deep = -1};
}

static void drop_deep(struct below *b)
{
	scope_close(&b->deep);
	b->deep = -1;
}

static void drop_to(struct below *b, size_t count)
{
	while (b->count > count)
		(void)close(b->levels[--b->count].fd);
	b->len = b->count ? b->levels[b->count - 1].end : 0;
}

/* One component, which holds no slash and is neither ".." nor a symlink. */
static int step(int at, const char *from, size_t len, bool create)
{
	char name[NAME_MAX + 1];

	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, from, len);
	name[len] = '\0';
	int fd = openat(at, name, FOLDER);
	if (fd < 0 && errno == ENOENT && create) {
		if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(at, name, FOLDER);
	}
	return fd < 0 ? -errno : fd;
}

/* How many of the open levels path[len] goes through. */
static size_t common(const struct below *b, const char *path, size_t len)
{
	size_t n = 0;

	while (n < b->count) {
		size_t end = b->levels[n].end;

		if (end > len || (end < len && path[end] != '/') || memcmp(b->path, path, end) != 0)
			break;
		n++;
	}
	return n;
}

/* Walks on from the last open level; what is deeper than the levels is kept as one. */
static int descend(struct below *b, const char *path, size_t len, bool create)
{
	size_t at = b->len ? b->len + 1 : 0;
	int fd = b->count ? b->levels[b->count - 1].fd : b->root;

	drop_deep(b);
	while (at < len) {
		const char *slash = memchr(path + at, '/', len - at);
		size_t end = slash ? (size_t)(slash - path) : len;
		int next = step(fd, path + at, end - at, create);

		if (next < 0)
			return next;
		if (b->count < BELOW_OPEN) {
			b->levels[b->count++] = (struct below_level){next, end};
			b->len = end;
		} else {
			drop_deep(b);
			b->deep = next;
		}
		fd = next;
		at = end + 1;
	}
	return fd;
}

int below_parent(struct below *b, const char *path, bool create, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	*ret_name = slash ? slash + 1 : path;
	/* The deep one's path is all of b->path: it is reused for the very same folder only. */
	if (b->deep >= 0 && b->path && strlen(b->path) == len && memcmp(b->path, path, len) == 0)
		return b->deep;
	drop_to(b, b->path ? common(b, path, len) : 0);
	char *copy = strndup(path, len);
	if (!copy) {
		drop_to(b, 0);
		return -ENOMEM;
	}
	free(b->path);
	b->path = copy;
	int fd = descend(b, path, len, create);
	if (fd < 0)
		drop_deep(b);
	return fd;
}

int below_open(struct below *b, const char *path, int flags)
{
	const char *name;
	int at = below_parent(b, path, false, &name);

	if (at < 0)
		return at;
	int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | flags);
	return fd < 0 ? -errno : fd;
}

void below_done(struct below *b)
{
	drop_to(b, 0);
	drop_deep(b);
	free(b->path);
	b->path = NULL;
}
