/* SPDX-License-Identifier: Apache-2.0 */
/*
 * damage-fs IMAGE NUMBER: damages a file system image in one way, which the number decides and is
 * the seed of.  Prints one line that says how.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define SECTORS_MAX (1u << 20)

static uint64_t seed;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint32_t used[SECTORS_MAX]; /* sectors that are not all zero */
static size_t used_count;

static void find_used(int fd)
{
	static const uint8_t zeros[SECTOR];
	uint8_t b[64 * SECTOR];

	for (off_t at = 0; (at = lseek(fd, at, SEEK_DATA)) >= 0; at += (off_t)sizeof(b)) {
		at -= at % (off_t)sizeof(b);
		const ssize_t n = pread(fd, b, sizeof(b), at);

		for (ssize_t i = 0; i + (ssize_t)SECTOR <= n; i += SECTOR)
			if (used_count < SECTORS_MAX && memcmp(b + i, zeros, SECTOR) != 0)
				used[used_count++] = (uint32_t)((at + i) / SECTOR);
	}
}

/* Most of what is in use is at the front: superblocks, groups, tables, folders. */
static uint32_t pick(void)
{
	const size_t n = roll(2) ? used_count : used_count / 4 + 1;

	return used[roll(n)];
}

static void rewrite(FILE *f, uint32_t sector, int how)
{
	uint8_t b[SECTOR];

	if (fseek(f, (long)sector * SECTOR, SEEK_SET) != 0 || fread(b, SECTOR, 1, f) != 1)
		die("read");
	switch (how) {
	case 0:
		memset(b, 0, SECTOR);
		break;
	case 1:
		for (size_t i = 0; i < SECTOR; i++)
			b[i] = (uint8_t)roll(256);
		break;
	default:
		for (uint64_t i = 0, n = 1 + roll(4); i < n; i++)
			b[roll(SECTOR)] ^= (uint8_t)(1u << roll(8));
		break;
	}
	if (fseek(f, (long)sector * SECTOR, SEEK_SET) != 0 || fwrite(b, SECTOR, 1, f) != 1)
		die("write");
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"zeros", "garbage", "bit flips"};
	FILE *f = argc == 3 ? fopen(argv[1], "r+b") : NULL;
	struct stat st;

	if (!f || fstat(fileno(f), &st) != 0)
		die("damage-fs IMAGE NUMBER");
	const unsigned long number = strtoul(argv[2], NULL, 10);
	seed = number * 2654435761u + 88172645463325252u;
	for (int i = 0; i < 8; i++)
		(void)roll(2);
	find_used(fileno(f));
	if (used_count == 0)
		die("empty");
	if (number % 16 == 15) {
		const off_t to = (off_t)roll((uint64_t)st.st_size);

		(void)fclose(f);
		if (truncate(argv[1], to) != 0 || truncate(argv[1], st.st_size) != 0)
			die("truncate");
		printf("zeros from byte %lld on\n", (long long)to);
		return 0;
	}
	const int how = (int)roll(3);
	const uint32_t at = number % 16 == 14 ? 2 : pick(); /* 2: ext4's superblock */
	const uint64_t count = how == 2 ? 1 : 1 + roll(8);
	for (uint64_t i = 0; i < count && (at + i + 1) * SECTOR <= (uint64_t)st.st_size; i++)
		rewrite(f, at + (uint32_t)i, how);
	printf("%s, %llu sectors at byte %llu\n", names[how], (unsigned long long)count,
		(unsigned long long)at * SECTOR);
	return fclose(f) == 0 ? 0 : 1;
}
