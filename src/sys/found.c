/* SPDX-License-Identifier: Apache-2.0 */
#include "found.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "scope.h"
#include "str.h"

/* The kernel's limits for a list and for a value. */
#define XATTR_MAX 65536
#define SMALL 1024 /* nearly always enough, and on the stack */

void found_note(struct found *f, const char *what, int error)
{
	struct note *grown = reallocarray(f->notes, f->note_count + 1, sizeof(*grown));

	if (!grown) {
		f->notes_lost++;
		return;
	}
	f->notes = grown;
	f->notes[f->note_count++] = (struct note){what, error};
}

void found_report(struct found *f, const char *path, struct trouble *t)
{
	for (size_t i = 0; i < f->note_count; i++)
		trouble_add(t, path, f->notes[i].what, f->notes[i].error);
	for (; f->notes_lost; f->notes_lost--)
		trouble_add(t, path, "out of memory", ENOMEM);
	f->note_count = 0;
}

void found_done(struct found *f)
{
	free(f->symlink);
	free(f->xattrs);
	free(f->notes);
	*f = (struct found){0};
}

/* Kernels before 5.6 have no openat2; with it a mount in the tree is not crossed. */
int found_open(struct tree *t, int dirfd, const char *name, int flags)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.resolve = (unsigned)(RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_NO_XDEV),
	};
	long fd = -1;

	if (!atomic_load_explicit(&t->no_openat2, memory_order_relaxed)) {
		do
			fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
		while (fd < 0 && errno == EINTR);
		if (fd >= 0)
			return (int)fd;
		/* EPERM: also O_NOATIME, or a seccomp filter older than openat2. */
		if (errno != ENOSYS && (errno != EPERM || (flags & O_NOATIME)))
			return -errno;
		if (errno == ENOSYS)
			atomic_store_explicit(&t->no_openat2, true, memory_order_relaxed);
	}
	fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : (int)fd;
}

int found_open_quietly(struct tree *t, int dirfd, const char *name, int flags)
{
	int fd = found_open(t, dirfd, name, flags | O_NOATIME);

	return fd == -EPERM ? found_open(t, dirfd, name, flags) : fd;
}

/* What cannot be opened without side effects is reached by folder and name. */
struct place {
	int fd;
	char path[320];
};

static ssize_t list_names(const struct place *p, char *buf, size_t size)
{
	return p->fd >= 0 ? flistxattr(p->fd, buf, size) : llistxattr(p->path, buf, size);
}

static ssize_t get_value(const struct place *p, const char *name, char *buf, size_t size)
{
	return p->fd >= 0 ? fgetxattr(p->fd, name, buf, size) : lgetxattr(p->path, name, buf, size);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* xfs lists each ACL a second time, in its own format.  The twin's name sorts before it. */
static bool is_twin(const char *name, const char *const *before, size_t count)
{
	const char *twin = NULL;

	if (strcmp(name, "trusted.SGI_ACL_FILE") == 0)
		twin = "system.posix_acl_access";
	else if (strcmp(name, "trusted.SGI_ACL_DEFAULT") == 0)
		twin = "system.posix_acl_default";
	for (size_t i = 0; twin && i < count; i++)
		if (strcmp(before[i], twin) == 0)
			return true;
	return false;
}

/* Appends "NAME\0VALUE" to text; the lengths go to items. */
static void add_value(struct found *f, const struct place *p, const char *name, struct strbuf *text)
{
	char small[SMALL], *buf = small;
	AUTO_FREE char *big = NULL;
	ssize_t n = get_value(p, name, buf, sizeof(small));

	if (n < 0 && errno == ERANGE) {
		buf = big = malloc(XATTR_MAX);
		n = big ? get_value(p, name, big, XATTR_MAX) : -1;
	}
	if (n < 0) {
		found_note(f, "read extended attribute", errno);
		return;
	}
	f->xattrs[f->xattr_count++].len = (size_t)n;
	strbuf_add(text, name, strlen(name) + 1);
	strbuf_add(text, buf, (size_t)n);
}

/* One block for the list and its texts. */
static int settle(struct found *f, const struct strbuf *text)
{
	const size_t head = f->xattr_count * sizeof(*f->xattrs);
	struct pack_xattr *all = text->failed ? NULL : realloc(f->xattrs, head + text->len);

	if (!all)
		return -ENOMEM;
	f->xattrs = all;
	char *at = (char *)all + head;
	memcpy(at, text->data, text->len);
	for (size_t i = 0; i < f->xattr_count; i++) {
		all[i].name = at;
		at += strlen(at) + 1;
		all[i].value = at;
		at += all[i].len;
	}
	return 0;
}

static void read_values(struct found *f, const struct place *p, const char *names, size_t len)
{
	AUTO_FREE const char **order = calloc(len / 2 + 1, sizeof(*order));
	AUTO_STRBUF text = {0};
	size_t count = 0;

	f->xattrs = order ? calloc(len / 2 + 1, sizeof(*f->xattrs)) : NULL;
	if (!f->xattrs) {
		found_note(f, "list extended attributes", ENOMEM);
		return;
	}
	for (const char *n = names; n < names + len; n += strlen(n) + 1)
		if (*n)
			order[count++] = n;
	qsort(order, count, sizeof(*order), by_bytes);
	for (size_t i = 0; i < count; i++)
		if (!is_twin(order[i], order, i))
			add_value(f, p, order[i], &text);
	if (f->xattr_count && settle(f, &text) < 0) {
		f->xattr_count = 0;
		found_note(f, "read extended attribute", ENOMEM);
	}
}

void found_xattrs(struct found *f, int fd, int dirfd, const char *name)
{
	struct place p = {.fd = fd};
	char small[SMALL], *names = small;
	AUTO_FREE char *big = NULL;

	if (fd < 0)
		(void)snprintf(p.path, sizeof(p.path), "/proc/self/fd/%d/%s", dirfd, name);
	ssize_t len = list_names(&p, names, sizeof(small));
	if (len < 0 && errno == ERANGE) {
		names = big = malloc(XATTR_MAX);
		len = big ? list_names(&p, big, XATTR_MAX) : -1;
	}
	if (len < 0 && errno != ENOTSUP && errno != ENOSYS)
		found_note(f, "list extended attributes", errno);
	if (len < 2)
		return;
	names[len - 1] = '\0';
	read_values(f, &p, names, (size_t)len);
}
