/* SPDX-License-Identifier: Apache-2.0 */
/* nasty-tree DIR SEED: fills DIR with everything that archives lose.  Prints what it made. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

static uint64_t seed;
static unsigned made;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static void must(long rc, const char *what)
{
	if (rc >= 0)
		return;
	perror(what);
	exit(1);
}

static void set_times(int dir, const char *name)
{
	/* Of every kind: now, long ago, before 1970 (also within its last second's reach), far
	 * ahead. */
	const time_t base[] = {1700000000, 1, 0, -1000000000, -86401, 4102444800};
	struct timespec t[2];

	t[0].tv_sec = t[1].tv_sec = base[roll(6)] + (time_t)roll(100000) * 10;
	if (t[1].tv_sec == -1)
		t[1].tv_sec = -2;
	t[0].tv_nsec = t[1].tv_nsec = roll(3) ? (long)roll(1000000000) : 0;
	must(utimensat(dir, name, t, AT_SYMLINK_NOFOLLOW), "utimensat");
}

static void set_owner(int dir, const char *name)
{
	static const uid_t ids[] = {0, 1, 1000, 65534, 70000, 2097152, 4294967294u};

	must(fchownat(dir, name, ids[roll(7)], ids[roll(7)], AT_SYMLINK_NOFOLLOW), "chown");
}

static void put_acl(unsigned char *to, const uint32_t *rows, size_t n)
{
	const uint32_t version = 2;

	memcpy(to, &version, 4);
	for (size_t i = 0; i < n; i++) {
		uint16_t tag = (uint16_t)rows[3 * i], perm = (uint16_t)rows[3 * i + 1];

		memcpy(to + 4 + i * 8, &tag, 2);
		memcpy(to + 6 + i * 8, &perm, 2);
		memcpy(to + 8 + i * 8, &rows[3 * i + 2], 4);
	}
}

static void set_xattrs(int fd, int is_dir, unsigned mode)
{
	const uint32_t none = UINT32_MAX;
	const uint32_t acl[] = {1, mode >> 6 & 7, none, 2, 5, 99, 2, 6, 2000000000u, 4, 4, none, 8,
		7, (uint32_t)roll(70000), 16, 7, none, 32, mode & 7, none};
	unsigned char raw[64], value[1500];
	char name[64];

	for (uint64_t n = roll(3); n > 0; n--) {
		static const char *const spaces[] = {"user", "trusted", "security"};
		size_t len = roll(4) ? roll(40) : roll(600);

		for (size_t i = 0; i < len; i++)
			value[i] = (unsigned char)roll(256);
		(void)snprintf(name, sizeof(name), "%s.%s%d", spaces[roll(3)],
			roll(5) ? "plain" : "a=b%c%3D", (int)roll(100));
		must(fsetxattr(fd, name, value, len, 0), name);
	}
	if (roll(4) == 0) {
		put_acl(raw, acl, 7);
		must(fsetxattr(fd, "system.posix_acl_access", raw, 60, 0), "acl");
	}
	if (is_dir && roll(3) == 0) {
		put_acl(raw, acl, 7);
		must(fsetxattr(fd, "system.posix_acl_default", raw, 60, 0), "default acl");
	}
	if (!is_dir && roll(6) == 0) {
		const uint32_t cap[] = {0x02000001, 0x2400, 0, 0, 0};

		must(fsetxattr(fd, "security.capability", cap, sizeof(cap), 0), "capability");
	}
}

static void fill(int fd)
{
	static unsigned char data[1 << 20];
	static const size_t sizes[] = {0, 1, 511, 512, 513, 4096, 70000};
	size_t len = roll(40) ? sizes[roll(7)] : 300000 + roll(700000);

	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)(roll(4) ? 'a' + i % 26 : roll(256));
	must(write(fd, data, len), "write");
	/* Holes in front, between and behind. */
	if (roll(8) == 0) {
		must(pwrite(fd, data, 100, (off_t)roll(40) * 65536 + 131072), "pwrite");
		must(pwrite(fd, "x", 1, 3 * 1048576 + (off_t)roll(1000)), "pwrite");
	}
	if (roll(12) == 0)
		must(ftruncate(fd, 5 * 1048576 + (off_t)roll(5000)), "ftruncate");
}

static void odd_name(char out[256])
{
	static const char *const fixed[] = {"-rf", "new\nline", "tab\t", "utf\303\2748", "bad\377x",
		"sur\355\240\201\355\260\200", "\033[31mred", "back\\slash", "...", " space ",
		"bidi\342\200\256x", "%s%n", "GNUSparseFile.0", "PaxHeaders"};
	size_t len = 1 + roll(20);

	if (roll(3) == 0) {
		(void)snprintf(out, 256, "%s%u", fixed[roll(14)], made);
		return;
	}
	if (roll(15) == 0)
		len = 240;
	for (size_t i = 0; i < len; i++) {
		out[i] = (char)(roll(4) ? 'a' + (int)roll(26) : 1 + (int)roll(255));
		if (out[i] == '/')
			out[i] = '_';
	}
	(void)snprintf(out + len, 256 - len, "%u", made);
}

static void special(int dir, const char *name, unsigned kind)
{
	char target[4001];
	size_t len = roll(10) ? 1 + roll(200) : 4000;

	if (kind == 0) {
		for (size_t i = 0; i < len; i++)
			target[i] = (char)(roll(30) ? 'a' + (int)roll(26) : 1 + (int)roll(255));
		target[len] = '\0';
		must(symlinkat(target, dir, name), "symlink");
	} else if (kind == 1) {
		must(mknodat(dir, name, S_IFIFO | 0640, 0), "mkfifo");
	} else {
		must(mknodat(dir, name, (kind == 2 ? S_IFCHR : S_IFBLK) | 0604,
			     makedev(roll(2) ? 1 : 4000, roll(2) ? 3 : 1048575)),
			"mknod");
	}
	set_owner(dir, name);
	set_times(dir, name);
}

static void file(int dir, const char *name)
{
	unsigned mode = (unsigned)roll(010000);
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL, 0600);

	must(fd, name);
	fill(fd);
	set_owner(dir, name);
	set_xattrs(fd, 0, mode);
	if (roll(4) == 0 || fgetxattr(fd, "security.capability", NULL, 0) < 0)
		must(fchmod(fd, mode), "chmod");
	set_times(dir, name);
	(void)close(fd);
}

static void folder(int dir, const char *name, unsigned depth);

static void entries(int dir, unsigned depth)
{
	char name[256], last[256] = "", where[64];
	unsigned count = 6 + (unsigned)roll(10);

	for (unsigned i = 0; i < count; i++, made++) {
		unsigned kind = (unsigned)roll(16);

		odd_name(name);
		if (kind < 4)
			special(dir, name, kind);
		else if (kind < 6 && depth < 5)
			folder(dir, name, depth + 1);
		else if (kind < 8 && last[0])
			must(linkat(dir, last, dir, name, 0), "link");
		else
			file(dir, name);
		/* A link to a name in another folder, made through the top. */
		if (kind == 8 && depth == 1) {
			(void)snprintf(where, sizeof(where), "../far%u", made);
			must(linkat(dir, name, dir, where, 0), where);
		}
		if (kind < 4 || kind >= 8)
			(void)snprintf(last, sizeof(last), "%s", name);
	}
}

static void folder(int dir, const char *name, unsigned depth)
{
	must(mkdirat(dir, name, 0700), name);
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY);
	must(fd, name);
	entries(fd, depth);
	unsigned mode = (unsigned)roll(010000);
	set_xattrs(fd, 1, mode);
	must(fchmod(fd, mode), "chmod");
	(void)close(fd);
	set_owner(dir, name);
	set_times(dir, name);
}

/* Other tars lose this one: ids do not fit into their int. */
static void large_acl(int dir)
{
	const uint32_t acl[] = {1, 6, UINT32_MAX, 2, 5, 4000000000u, 4, 4, UINT32_MAX, 16, 7,
		UINT32_MAX, 32, 0, UINT32_MAX};
	unsigned char raw[44];
	int fd = openat(dir, "acl", O_WRONLY | O_CREAT, 0600);

	put_acl(raw, acl, 5);
	must(fsetxattr(fd, "system.posix_acl_access", raw, sizeof(raw), 0), "large acl");
	(void)close(fd);
}

/* A path longer than PATH_MAX. */
static void deep(int top)
{
	char part[201];
	int at = top;

	memset(part, 'p', 200);
	part[200] = '\0';
	for (unsigned i = 0; i < 60; i++) {
		const char *name = i ? part : "deep";

		must(mkdirat(at, name, 0755), "deep");
		int next = openat(at, name, O_RDONLY | O_DIRECTORY);
		must(next, "deep");
		file(next, "leaf");
		if (i == 5)
			large_acl(next);
		if (i == 59)
			must(linkat(next, "leaf", next, "link", 0), "deep link");
		if (at != top)
			(void)close(at);
		at = next;
	}
	(void)close(at);
}

static void wide(int top)
{
	char name[64];

	must(mkdirat(top, "wide", 0755), "wide");
	int fd = openat(top, "wide", O_RDONLY | O_DIRECTORY);
	for (unsigned i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof(name), "file-%u", i);
		if (i % 3)
			must(linkat(fd, "file-0", fd, name, 0), name);
		else
			file(fd, name);
	}
	(void)close(fd);
}

static void large(int top)
{
	int fd = openat(top, "large", O_RDWR | O_CREAT, 0644);

	must(pwrite(fd, "head", 4, 0), "large");
	must(pwrite(fd, "middle", 6, (off_t)17 << 29), "large");
	must(pwrite(fd, "tail", 4, ((off_t)9 << 30) - 4), "large");
	(void)close(fd);
	fd = openat(top, "all-hole", O_RDWR | O_CREAT, 0644);
	must(ftruncate(fd, (off_t)3 << 30), "all-hole");
	(void)close(fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};

	if (argc != 3)
		return 2;
	seed = strtoull(argv[2], NULL, 10) * 2654435761u + 88172645463325252u;
	must(chdir(argv[1]), argv[1]);
	int top = open(".", O_RDONLY | O_DIRECTORY);
	for (unsigned i = 0; i < 6; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "tree%u", i);
		folder(top, name, 1);
	}
	deep(top);
	wide(top);
	large(top);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	must(bind(s, (const struct sockaddr *)&a, sizeof(a)), "socket");
	must(mkdirat(top, "empty", 0), "empty");
	(void)printf("%u entries\n", made + 3000 + 120);
	return 0;
}
