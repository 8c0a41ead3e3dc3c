/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a tar.  Checksums are made right on the way, so that what is behind them is reached.
 * The first byte: 'a' an ACL's text, else blocks of a tar.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl_text.h"
#include "untar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	const uint8_t *data;
	size_t size;
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

static ssize_t read_bytes(void *state, uint64_t at, void *to, size_t len, struct err *e)
{
	const struct bytes *b = state;
	size_t n = at >= b->size ? 0 : b->size - (size_t)at < len ? b->size - (size_t)at : len;

	(void)e;
	if (n)
		memcpy(to, b->data + at, n);
	return (ssize_t)n;
}

static void seal(uint8_t *block)
{
	unsigned sum = 0;

	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += block[i];
	(void)snprintf((char *)block + 148, 8, "%06o", sum & 0777777);
}

static void member(const struct tar_member *m, size_t size)
{
	uint64_t sum = 0, at = 0;

	check(m->path && m->path[0] && m->header <= m->body && m->body <= m->data);
	check(m->end % 512 == 0 && m->end > m->header && m->end <= INT64_MAX);
	for (size_t i = 0; i < m->extent_count; i++) {
		check(m->extents[i].len && m->extents[i].at >= at);
		at = m->extents[i].at + m->extents[i].len;
		sum += m->extents[i].len;
	}
	check(at <= m->size && sum <= m->end - m->data);
	for (size_t i = 0; i < m->xattr_count; i++)
		check(m->xattrs[i].name[0] && m->xattrs[i].len <= size * 2 + 65536);
	char *path = strdup(m->path);
	bool is_good = path && tar_path_clean(path);
	if (is_good)
		check(path[0] && path[0] != '/' && !strstr(path, "//") && strncmp(path, "../", 3) &&
			!strstr(path, "/../"));
	free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *acl = NULL;
	struct tar_member m;
	struct err e = {0};
	size_t len = 0;

	if (size && data[0] == 'a') {
		if (acl_from_text((const char *)data + 1, size - 1, &acl, &len) == 0)
			check(len >= 12 && (len - 4) % 8 == 0);
		free(acl);
		return 0;
	}
	uint8_t *copy = malloc(size + 1);
	check(copy != NULL);
	if (size)
		memcpy(copy, data, size);
	for (size_t at = 0; at + 512 <= size; at += 512)
		if (memcmp(copy + at + 257, "ustar", 5) == 0)
			seal(copy + at);
	struct bytes b = {copy, size};
	struct tar t = {.from = {read_bytes, &b}};
	while (tar_next(&t, &m, &e) == 1) {
		member(&m, size);
		check(t.at > m.header);
		tar_member_done(&m);
	}
	free(copy);
	return 0;
}
