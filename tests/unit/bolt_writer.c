/* SPDX-License-Identifier: Apache-2.0 */
#include "bolt_writer.h"

#include <stdlib.h>
#include <string.h>

#include "bolt.h"

static void put(uint8_t *at, uint64_t v, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

void writer_begin(struct bolt_writer *w)
{
	*w = (struct bolt_writer){.len = (size_t)2 * WRITER_PAGE, .depth = 1};
	w->data = must(calloc(2, WRITER_PAGE));
}

static void add(struct bolt_writer *w, const char *key, uint8_t *value, size_t len, bool is_bucket)
{
	struct writer_bucket *b = &w->open[w->depth - 1];
	struct writer_item *i;

	b->items = must(reallocarray(b->items, b->count + 1, sizeof(*b->items)));
	i = &b->items[b->count++];
	*i = (struct writer_item){.value = value, .len = len, .is_bucket = is_bucket};
	i->key_len = strlen(key);
	memcpy(i->key, key, i->key_len);
}

void writer_put(struct bolt_writer *w, const char *key, const void *value, size_t len)
{
	uint8_t *copy = must(calloc(1, len + 1));

	if (len)
		memcpy(copy, value, len);
	add(w, key, copy, len, false);
}

void writer_text(struct bolt_writer *w, const char *key, const char *value)
{
	writer_put(w, key, value, strlen(value));
}

void writer_enter(struct bolt_writer *w, const char *key)
{
	if (w->depth == sizeof(w->open) / sizeof(w->open[0]))
		abort();
	struct writer_bucket *b = &w->open[w->depth++];

	*b = (struct writer_bucket){0};
	memcpy(b->key, key, strlen(key) + 1);
}

/* The leaf page of a bucket, which is freed. */
static uint8_t *page(struct writer_bucket *b, uint64_t id, size_t *ret_len)
{
	size_t len = 16 + 16 * b->count, at = len;

	for (size_t i = 0; i < b->count; i++)
		len += b->items[i].key_len + b->items[i].len;
	if (id)
		len = (len + WRITER_PAGE - 1) / WRITER_PAGE * WRITER_PAGE;
	uint8_t *p = must(calloc(1, len));

	put(p, id, 8);
	put(p + 8, 2, 2);
	put(p + 10, b->count, 2);
	put(p + 12, id ? len / WRITER_PAGE - 1 : 0, 4);
	for (size_t i = 0; i < b->count; i++) {
		struct writer_item *item = &b->items[i];
		const size_t element = 16 + 16 * i;

		put(p + element, item->is_bucket, 4);
		put(p + element + 4, at - element, 4);
		put(p + element + 8, item->key_len, 4);
		put(p + element + 12, item->len, 4);
		memcpy(p + at, item->key, item->key_len);
		memcpy(p + at + item->key_len, item->value, item->len);
		at += item->key_len + item->len;
		free(item->value);
	}
	free(b->items);
	*b = (struct writer_bucket){0};
	*ret_len = len;
	return p;
}

/* Appends a bucket's page to the file; its number. */
static uint64_t append(struct bolt_writer *w, struct writer_bucket *b)
{
	const uint64_t id = w->len / WRITER_PAGE;
	size_t len;
	uint8_t *p = page(b, id, &len);

	w->data = must(realloc(w->data, w->len + len));
	memcpy(w->data + w->len, p, len);
	w->len += len;
	free(p);
	return id;
}

void writer_leave(struct bolt_writer *w, bool is_inline)
{
	struct writer_bucket *b = &w->open[--w->depth];
	char key[256];
	size_t len = 0;
	uint8_t *p = NULL, *value;

	memcpy(key, b->key, sizeof(key));
	if (is_inline)
		p = page(b, 0, &len);
	value = must(calloc(1, 16 + len));
	if (is_inline)
		memcpy(value + 16, p, len);
	else
		put(value, append(w, b), 8);
	free(p);
	add(w, key, value, 16 + len, true);
}

void writer_seal(uint8_t *data)
{
	put(data + 16 + 56, bolt_checksum(data + 16, 56), 8);
}

uint8_t *writer_end(struct bolt_writer *w, size_t *ret_len)
{
	while (w->depth > 1)
		writer_leave(w, false);
	const uint64_t root = append(w, &w->open[0]);

	for (unsigned i = 0; i < 2; i++) {
		uint8_t *meta = w->data + (size_t)i * WRITER_PAGE;

		put(meta, i, 8);
		put(meta + 8, 4, 2);
		put(meta + 16, 0xED0CDAED, 4);
		put(meta + 20, 2, 4);
		put(meta + 24, WRITER_PAGE, 4);
		put(meta + 32, root, 8);
		put(meta + 48, ~0ull, 8);
		put(meta + 56, w->len / WRITER_PAGE, 8);
		put(meta + 64, 8 + i, 8);
		writer_seal(meta);
	}
	*ret_len = w->len;
	return w->data;
}
