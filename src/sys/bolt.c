/* SPDX-License-Identifier: Apache-2.0 */
#include "bolt.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "foreign.h"
#include "clock.h"
#include "scope.h"

#define MAGIC 0xED0CDAEDu
#define VERSION 2u
#define HEADER 16u     /* of a page, of an element and of a bucket's value */
#define META_BYTES 64u /* behind the page's header, checksum included */
#define PAGE_MIN 1024u
#define PAGE_SHIFTS 15 /* sizes from 1 KiB to 16 MiB */
#define DEPTH_MAX 16
#define KEY_MAX 32768u
#define BUDGET_FACTOR 64u
#define READ_TRIES 20
#define NEW_TRIES 3

enum { FLAG_BRANCH = 1, FLAG_LEAF = 2, ELEMENT_BUCKET = 1 };

static uint64_t get(const struct bolt *b, const uint8_t *p, size_t size)
{
	uint64_t v = 0;

	for (size_t i = 0; i < size; i++)
		v = v << 8 | p[b->is_big_endian ? i : size - 1 - i];
	return v;
}

uint64_t bolt_checksum(const uint8_t *data, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ data[i]) * 0x100000001b3u;
	return h;
}

struct bolt_bytes bolt_text(const char *s)
{
	return (struct bolt_bytes){(const uint8_t *)s, strlen(s)};
}

static int compare(struct bolt_bytes a, struct bolt_bytes b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int r = len ? memcmp(a.data, b.data, len) : 0;

	return r ? r : (a.len > b.len) - (a.len < b.len);
}

bool bolt_is(struct bolt_bytes b, const char *s)
{
	return compare(b, bolt_text(s)) == 0;
}

static int bad(const struct bolt *b, const uint8_t *at, struct err *e, const char *why)
{
	return err_set(e, ERR_STORE, -EBADMSG, "%s: byte %td: %s", b->name, at - b->data, why);
}

/* Takes what the meta page at `at` says into *ret when it is valid. */
static bool parse_meta(const struct bolt *b, uint64_t at, struct bolt *ret)
{
	struct bolt m = *b;
	const uint8_t *p = b->data + at + HEADER;

	if (at > b->len || b->len - at < HEADER + META_BYTES)
		return false;
	m.is_big_endian = false;
	if (get(&m, p, 4) != MAGIC)
		m.is_big_endian = true;
	if (get(&m, p, 4) != MAGIC || get(&m, p + 4, 4) != VERSION ||
		get(&m, p + 56, 8) != bolt_checksum(p, 56))
		return false;
	m.page_size = (uint32_t)get(&m, p + 8, 4);
	m.root = get(&m, p + 16, 8);
	m.page_count = get(&m, p + 40, 8);
	m.transaction = get(&m, p + 48, 8);
	if (m.page_size < PAGE_MIN || (m.page_size & (m.page_size - 1)) ||
		m.page_size > PAGE_MIN << (PAGE_SHIFTS - 1) || (at && at != m.page_size))
		return false;
	*ret = m;
	return true;
}

/* The newer one of the two; without the first the page size is a guess. */
static bool find_meta(struct bolt *b)
{
	struct bolt first, second;
	bool has_first = parse_meta(b, 0, &first), has_second = false;

	if (has_first)
		has_second = parse_meta(b, first.page_size, &second);
	for (unsigned i = 0; !has_first && !has_second && i < PAGE_SHIFTS; i++)
		has_second = parse_meta(b, PAGE_MIN << i, &second);
	if (!has_first && !has_second)
		return false;
	if (has_first && has_second)
		*b = second.transaction > first.transaction ? second : first;
	else
		*b = has_first ? first : second;
	return true;
}

int bolt_parse(uint8_t *data, size_t len, const char *name, struct bolt *ret, struct err *e)
{
	AUTO_BOLT b = {.name = strdup(name), .data = data, .len = len};

	if (!b.name)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
	if (!find_meta(&b))
		return err_set(e, ERR_STORE, -EBADMSG,
			"%s: byte 0: no valid meta page: not a bolt database, or damaged", name);
	b.budget = BUDGET_FACTOR * (uint64_t)len;
	*ret = b;
	b = (struct bolt){0};
	return 0;
}

void bolt_done(struct bolt *b)
{
	free(b->name);
	free(b->data);
	*b = (struct bolt){0};
}

/* Has the newest transaction of the file become another one since the copy was begun? */
static bool has_moved(int fd, const struct bolt *b)
{
	const size_t len = b->page_size + HEADER + META_BYTES;
	AUTO_FREE uint8_t *head = malloc(len);
	ssize_t n = head ? pread(fd, head, len, 0) : -1;
	struct bolt now = {.data = head, .len = n > 0 ? (size_t)n : 0};

	return !find_meta(&now) || now.transaction != b->transaction;
}

/*
 * A transaction writes its pages only where the newest committed one has none, and its meta page
 * last.  So a copy during which the newest stayed the same has all pages of that one.
 */
int bolt_read(int fd, const char *name, struct bolt *ret, struct err *e)
{
	for (int i = 0; i < READ_TRIES; i++) {
		AUTO_BOLT b = {0};
		char *data = NULL;
		size_t len = 0;

		if (i)
			clock_sleep_ms(20);
		if (lseek(fd, 0, SEEK_SET) < 0)
			return err_sys(e, ERR_STORE, -errno, "%s", name);
		int r = foreign_read(fd, name, BOLT_FILE_MAX, &data, &len, e);
		if (r == 0)
			r = bolt_parse((uint8_t *)data, len, name, &b, e);
		if (r == 0 && has_moved(fd, &b))
			r = err_set(e, ERR_STORE, -EAGAIN,
				"%s: byte 0: was written to whenever it was read", name);
		if (r == 0) {
			*ret = b;
			b = (struct bolt){0};
		}
		/* Both meta pages are wrong only while a new file is being made. */
		if (r != -EAGAIN && (r != -EBADMSG || i == NEW_TRIES))
			return r;
	}
	return e ? e->code : -EAGAIN;
}

/* A branch or leaf page whose elements are inside `extent`. */
struct page {
	struct bolt_bytes extent; /* header, elements, keys and values */
	unsigned flags, count;
};

static int check_page(const struct bolt *b, struct page *p, struct err *e)
{
	const uint8_t *at = p->extent.data;

	p->flags = (unsigned)get(b, at + 8, 2);
	p->count = (unsigned)get(b, at + 10, 2);
	if (p->flags != FLAG_BRANCH && p->flags != FLAG_LEAF)
		return bad(b, at, e, "a page that is neither branch nor leaf");
	if (HEADER + (size_t)p->count * HEADER > p->extent.len)
		return bad(b, at, e, "a page with more elements than it has room for");
	return 0;
}

static int open_page(const struct bolt *b, uint64_t id, struct page *ret, struct err *e)
{
	uint64_t room;

	if (id < 2 || id >= b->page_count || id > b->len / b->page_size)
		return err_set(e, ERR_STORE, -EBADMSG,
			"%s: byte %zu: page %" PRIu64 " is not within 2..%" PRIu64, b->name, b->len,
			id, b->page_count);
	const uint8_t *at = b->data + id * b->page_size;
	room = b->len - id * b->page_size;
	if (room < HEADER)
		return bad(b, at, e, "the file ends before this page");
	if (get(b, at, 8) != id)
		return bad(b, at, e, "a page with the number of another one");
	const uint64_t len = (get(b, at + 12, 4) + 1) * b->page_size;
	if (len > room)
		return bad(b, at, e, "a page that is longer than the file");
	ret->extent = (struct bolt_bytes){at, (size_t)len};
	return check_page(b, ret, e);
}

static int open_inline(
	const struct bolt *b, struct bolt_bytes value, struct page *ret, struct err *e)
{
	if (value.len < HEADER)
		return bad(b, value.data, e, "a bucket without its page");
	ret->extent = value;
	int r = check_page(b, ret, e);
	if (r == 0 && ret->flags != FLAG_LEAF)
		return bad(b, value.data, e, "a bucket inside its parent that is no leaf");
	return r;
}

/* Element i, which is a child's number in a branch and a key with its value in a leaf. */
static int element(const struct bolt *b, const struct page *p, unsigned i, struct bolt_item *ret,
	uint64_t *ret_child, struct err *e)
{
	const bool is_leaf = p->flags == FLAG_LEAF;
	const size_t at = HEADER + (size_t)i * HEADER;
	const uint8_t *x = p->extent.data + at;
	const size_t field = is_leaf ? 4 : 0;
	const uint64_t pos = get(b, x + field, 4), key = get(b, x + field + 4, 4);
	const uint64_t value = is_leaf ? get(b, x + 12, 4) : 0;

	if (at + pos + key + value > p->extent.len)
		return bad(b, x, e, "an element that leaves its page");
	/* A branch may begin with an empty key, nothing else has one. */
	if (key > KEY_MAX || (key == 0 && (is_leaf || i > 0)))
		return bad(b, x, e, "an element with an impossible key");
	ret->key = (struct bolt_bytes){x + pos, (size_t)key};
	ret->value = (struct bolt_bytes){x + pos + key, (size_t)value};
	ret->is_bucket = is_leaf && (get(b, x, 4) & ELEMENT_BUCKET);
	*ret_child = is_leaf ? 0 : get(b, x + 8, 8);
	return 0;
}

struct bolt_bucket bolt_top(const struct bolt *b)
{
	return (struct bolt_bucket){.root = b->root};
}

int bolt_enter(
	const struct bolt *b, const struct bolt_item *item, struct bolt_bucket *ret, struct err *e)
{
	const struct bolt_bytes v = item->value;

	if (!item->is_bucket)
		return bad(b, v.data, e, "a value where a bucket is expected");
	if (v.len < HEADER)
		return bad(b, v.data, e, "a bucket that is cut");
	*ret = (struct bolt_bucket){.root = get(b, v.data, 8)};
	if (ret->root == 0)
		ret->page = (struct bolt_bytes){v.data + HEADER, v.len - HEADER};
	return 0;
}

struct visit {
	struct bolt *b;
	bolt_fn *fn;
	void *arg;
	struct bolt_bytes last; /* key, in any page before */
};

/* Keys that do not ascend end it: so no page is ever visited twice. */
static int visit_leaf(struct visit *v, const struct page *p, struct err *e)
{
	for (unsigned i = 0; i < p->count; i++) {
		struct bolt_item item;
		uint64_t child;
		int r = element(v->b, p, i, &item, &child, e);

		if (r < 0)
			return r;
		if (v->last.data && compare(v->last, item.key) >= 0)
			return bad(v->b, item.key.data, e, "a key that is out of order");
		v->last = item.key;
		r = v->fn(v->arg, &item, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int charge(struct visit *v, const struct page *p, struct err *e)
{
	if (v->b->budget < p->extent.len)
		return bad(v->b, p->extent.data, e, "buckets share their pages: damaged");
	v->b->budget -= p->extent.len;
	return 0;
}

static int visit_page(struct visit *v, uint64_t id, int depth, struct err *e)
{
	struct page p;
	int r = open_page(v->b, id, &p, e);

	if (r == 0)
		r = charge(v, &p, e);
	if (r < 0)
		return r;
	if (depth == DEPTH_MAX || (depth && p.count == 0))
		return bad(v->b, p.extent.data, e,
			p.count ? "the pages are nested too deep" : "an empty page");
	if (p.flags == FLAG_LEAF)
		return visit_leaf(v, &p, e);
	for (unsigned i = 0; r == 0 && i < p.count; i++) {
		struct bolt_item item;
		uint64_t child;

		r = element(v->b, &p, i, &item, &child, e);
		if (r == 0)
			r = visit_page(v, child, depth + 1, e);
	}
	return r;
}

int bolt_each(struct bolt *b, const struct bolt_bucket *in, bolt_fn *fn, void *arg, struct err *e)
{
	struct visit v = {.b = b, .fn = fn, .arg = arg};
	struct page p;

	if (in->root)
		return visit_page(&v, in->root, 0, e);
	int r = open_inline(b, in->page, &p, e);
	if (r == 0)
		r = charge(&v, &p, e);
	return r < 0 ? r : visit_leaf(&v, &p, e);
}

/* The last element whose key is not above `key`: its index, -1 when all are, or *ret < 0. */
static int search(const struct bolt *b, const struct page *p, struct bolt_bytes key,
	struct bolt_item *item, uint64_t *child, int *ret, struct err *e)
{
	int low = -1, high = (int)p->count;

	while (high - low > 1) {
		int middle = low + (high - low) / 2;
		int r = element(b, p, (unsigned)middle, item, child, e);

		if (r < 0)
			return r;
		if (compare(item->key, key) <= 0)
			low = middle;
		else
			high = middle;
	}
	*ret = low;
	return low < 0 ? 0 : element(b, p, (unsigned)low, item, child, e);
}

int bolt_find(const struct bolt *b, const struct bolt_bucket *in, struct bolt_bytes key,
	struct bolt_item *ret, struct err *e)
{
	uint64_t id = in->root, child = 0;
	struct page p;

	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		int at = -1;
		int r = id ? open_page(b, id, &p, e) : open_inline(b, in->page, &p, e);

		if (r == 0)
			r = search(b, &p, key, ret, &child, &at, e);
		if (r < 0)
			return r;
		if (p.flags == FLAG_LEAF)
			return at >= 0 && compare(ret->key, key) == 0;
		if (at < 0 && p.count == 0)
			return bad(b, p.extent.data, e, "an empty page");
		if (at < 0 && (r = element(b, &p, 0, ret, &child, e)) < 0)
			return r;
		id = child;
		if (id == 0)
			return bad(b, p.extent.data, e, "a child without a page");
	}
	return bad(b, p.extent.data, e, "the pages are nested too deep");
}

int bolt_descend(const struct bolt *b, const struct bolt_bucket *from, const char *const *path,
	size_t n, struct bolt_bucket *ret, struct err *e)
{
	struct bolt_bucket at = *from;

	for (size_t i = 0; i < n; i++) {
		struct bolt_item item;
		int r = bolt_find(b, &at, bolt_text(path[i]), &item, e);

		if (r <= 0)
			return r;
		r = bolt_enter(b, &item, &at, e);
		if (r < 0)
			return r;
	}
	*ret = at;
	return 1;
}
