/* SPDX-License-Identifier: Apache-2.0 */
#include "acl_text.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scope.h"

#define ACL_VERSION 2
#define ACL_MAX 8191 /* entries that fit into an attribute of 64 KiB */
#define NO_ID UINT32_MAX

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
	size_t place; /* in the text */
};

struct span {
	const char *s;
	size_t len;
};

static struct span cut(struct span *rest, char at)
{
	const char *p = memchr(rest->s, at, rest->len);
	struct span head = {rest->s, p ? (size_t)(p - rest->s) : rest->len};
	size_t gone = head.len + (p ? 1 : 0);

	rest->s += gone;
	rest->len -= gone;
	return head;
}

static bool is(struct span a, const char *s)
{
	return a.len == strlen(s) && memcmp(a.s, s, a.len) == 0;
}

static bool number(struct span a, uint32_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < a.len; i++) {
		if (a.s[i] < '0' || a.s[i] > '9' || v >= NO_ID)
			return false;
		v = v * 10 + (uint64_t)(a.s[i] - '0');
	}
	*ret = (uint32_t)v;
	return a.len > 0 && v < NO_ID;
}

static bool permissions(struct span a, uint16_t *ret)
{
	*ret = 0;
	for (size_t i = 0; i < a.len; i++) {
		switch (a.s[i]) {
		case 'r':
			*ret |= 4;
			break;
		case 'w':
			*ret |= 2;
			break;
		case 'x':
			*ret |= 1;
			break;
		case '-':
			break;
		default:
			return false;
		}
	}
	return a.len > 0;
}

static bool entry(struct span text, struct acl_entry *x)
{
	static const struct {
		const char *name, *letter;
		uint16_t own, other; /* without and with a qualifier */
	} tags[] = {{"user", "u", 0x01, 0x02}, {"group", "g", 0x04, 0x08}, {"mask", "m", 0x10, 0},
		{"other", "o", 0x20, 0}};
	struct span tag = cut(&text, ':'), qualifier = cut(&text, ':'), perm = cut(&text, ':');
	size_t i = 0;

	while (i < ARRAY_LEN(tags) && !is(tag, tags[i].name) && !is(tag, tags[i].letter))
		i++;
	if (i == ARRAY_LEN(tags))
		return false;
	/* "other:r--" and "mask:r--" may leave the empty qualifier out. */
	if (!tags[i].other && !perm.s[0] && !perm.len)
		return false;
	if (!tags[i].other && perm.len == 0) {
		perm = qualifier;
		qualifier.len = 0;
	}
	x->tag = qualifier.len ? tags[i].other : tags[i].own;
	x->id = NO_ID;
	if (x->tag == 0 || !permissions(perm, &x->perm))
		return false;
	return !qualifier.len || number(text, &x->id) || number(qualifier, &x->id);
}

/* The kernel wants the tags in order; within one the text's order is that of the file. */
static int by_tag(const void *a, const void *b)
{
	const struct acl_entry *x = a, *y = b;

	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->place < y->place ? -1 : 1;
}

static void encode(const struct acl_entry *list, size_t count, unsigned char *out)
{
	uint32_t version = htole32(ACL_VERSION);

	memcpy(out, &version, 4);
	for (size_t i = 0; i < count; i++) {
		uint16_t tag = htole16(list[i].tag), perm = htole16(list[i].perm);
		uint32_t id = htole32(list[i].id);

		memcpy(out + 4 + i * 8, &tag, 2);
		memcpy(out + 6 + i * 8, &perm, 2);
		memcpy(out + 8 + i * 8, &id, 4);
	}
}

int acl_from_text(const char *text, size_t len, unsigned char **ret, size_t *ret_len)
{
	AUTO_FREE struct acl_entry *list = NULL;
	struct span rest = {text, len};
	size_t count = 0, cap = 0;

	while (rest.len) {
		const char sep = memchr(rest.s, '\n', rest.len) ? '\n' : ',';
		struct span one = cut(&rest, sep);

		while (one.len && (one.s[one.len - 1] == ' ' || one.s[one.len - 1] == '\t'))
			one.len--;
		if (!one.len)
			continue;
		if (count == cap) {
			cap = cap ? cap * 2 : 16;
			void *grown = reallocarray(list, cap, sizeof(*list));

			if (!grown)
				return -ENOMEM;
			list = grown;
		}
		if (count == ACL_MAX || !entry(one, &list[count]))
			return -EINVAL;
		list[count].place = count;
		count++;
	}
	if (count == 0)
		return -EINVAL;
	qsort(list, count, sizeof(*list), by_tag);
	*ret_len = 4 + count * 8;
	*ret = malloc(*ret_len);
	if (!*ret)
		return -ENOMEM;
	encode(list, count, *ret);
	return 0;
}
