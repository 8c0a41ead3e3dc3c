/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list-tree DIR [FLAG...]: one line for each entry with all that a restore must bring back.
 * Zeros and holes are the same here.  Flags, for what another tar cannot do:
 *   no-root      leave the root itself out
 *   no-fraction  whole seconds for times before 1970
 *   without NAME leave an entry of the root out
 *   blocks       print only the sum of allocated blocks of files with paths up to 100 bytes
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <dirent.h>
#include <errno.h>
#include <unistd.h>

static bool no_root, no_fraction, only_blocks;
static const char *without;
static uint64_t blocks;

struct seen {
	ino_t ino;
	char *path;
};
static struct seen *seen;
static size_t seen_count;

static uint64_t hash(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

static void print_name(const char *s)
{
	for (; *s; s++)
		if (*s > ' ' && *s < 127 && *s != '\\')
			(void)putchar(*s);
		else
			(void)printf("\\%02x", (unsigned char)*s);
}

static uint64_t content(int fd, off_t size)
{
	static char block[65536], zeros[65536];
	uint64_t h = 0xcbf29ce484222325u;
	off_t at = 0;

	while (at < size && (at = lseek(fd, at, SEEK_DATA)) >= 0) {
		at = at / 65536 * 65536;
		ssize_t n = pread(fd, block, sizeof(block), at);
		if (n <= 0)
			break;
		if (memcmp(block, zeros, (size_t)n) != 0) {
			h = hash(h, &at, sizeof(at));
			/* A block's zeros at its end may be cut by the end of the file only. */
			h = hash(h, block, (size_t)n);
		}
		at += n;
	}
	return h;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void xattrs(int fd)
{
	static char list[65536], value[65536];
	char proc[64], *names[4096];
	size_t count = 0;

	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	ssize_t len = listxattr(proc, list, sizeof(list));
	for (ssize_t i = 0; i < len && count < 4096; i += (ssize_t)strlen(list + i) + 1)
		names[count++] = list + i;
	qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++) {
		ssize_t n = getxattr(proc, names[i], value, sizeof(value));

		(void)printf(" ");
		print_name(names[i]);
		(void)printf("=%zd:%016" PRIx64, n,
			hash(0xcbf29ce484222325u, value, n > 0 ? (size_t)n : 0));
	}
}

static void print_link(const struct stat *st, const char *path)
{
	for (size_t i = 0; i < seen_count; i++)
		if (seen[i].ino == st->st_ino) {
			(void)printf(" same-as ");
			print_name(seen[i].path);
			return;
		}
	seen = realloc(seen, (seen_count + 1) * sizeof(*seen));
	seen[seen_count++] = (struct seen){st->st_ino, strdup(path)};
}

static void line(int dir, const char *name, const char *path, const struct stat *st)
{
	struct timespec t = st->st_mtim;
	char target[5000] = "";
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW);

	if (no_fraction && t.tv_sec < 0)
		t.tv_nsec = 0;
	print_name(path);
	(void)printf(" %o %u:%u %" PRId64 ".%09ld %ju", st->st_mode, st->st_uid, st->st_gid,
		(int64_t)t.tv_sec, t.tv_nsec, S_ISDIR(st->st_mode) ? 0 : (uintmax_t)st->st_nlink);
	if (S_ISREG(st->st_mode)) {
		int data = openat(dir, name, O_RDONLY | O_NOFOLLOW);

		(void)printf(" %jd %016" PRIx64, (intmax_t)st->st_size, content(data, st->st_size));
		(void)close(data);
		blocks += strlen(path) > 100 ? 0 : (uint64_t)st->st_blocks;
	} else if (S_ISLNK(st->st_mode)) {
		(void)!readlinkat(dir, name, target, sizeof(target) - 1);
		(void)printf(" -> ");
		print_name(target);
	} else if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		(void)printf(" %u,%u", major(st->st_rdev), minor(st->st_rdev));
	}
	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1)
		print_link(st, path);
	xattrs(fd);
	(void)close(fd);
	(void)printf("\n");
}

static void walk(int dir, const char *path)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY));
	char **names = NULL;
	size_t count = 0;

	for (const struct dirent *de; d && (de = readdir(d));) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (without && !*path && strcmp(de->d_name, without) == 0)
			continue;
		names = realloc(names, (count + 1) * sizeof(*names));
		names[count++] = strdup(de->d_name);
	}
	if (d)
		(void)closedir(d);
	if (count)
		qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++) {
		struct stat st;
		char *below = NULL;

		if (asprintf(&below, "%s%s%s", path, *path ? "/" : "", names[i]) < 0 ||
			fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			exit(1);
		if (!S_ISSOCK(st.st_mode))
			line(dir, names[i], below, &st);
		if (S_ISDIR(st.st_mode)) {
			int fd = openat(dir, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

			walk(fd, below);
			(void)close(fd);
		}
		free(below);
		free(names[i]);
	}
	free(names);
}

int main(int argc, char **argv)
{
	struct stat st;

	for (int i = 2; i < argc; i++) {
		no_root |= strcmp(argv[i], "no-root") == 0;
		no_fraction |= strcmp(argv[i], "no-fraction") == 0;
		only_blocks |= strcmp(argv[i], "blocks") == 0;
		if (strcmp(argv[i], "without") == 0 && i + 1 < argc)
			without = argv[++i];
	}
	int top = argc > 1 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
	if (top < 0 || fstat(top, &st) < 0)
		return 1;
	FILE *keep = only_blocks ? freopen("/dev/null", "w", stdout) : stdout;
	if (!keep)
		return 1;
	if (!no_root)
		line(top, ".", ".", &st);
	walk(top, "");
	if (only_blocks)
		(void)fprintf(stderr, "%" PRIu64 "\n", blocks);
	return 0;
}
