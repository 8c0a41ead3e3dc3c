/* SPDX-License-Identifier: Apache-2.0 */
/* Every bucket of a database, each key looked up again; the meta pages' checksums are made right.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bolt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

struct walk {
	struct bolt *b;
	const struct bolt_bucket *in;
	int depth;
};

static int see(void *arg, const struct bolt_item *i, struct err *e)
{
	const struct walk *w = arg;
	const uint8_t *end = w->b->data + w->b->len;
	struct bolt_item found;
	struct bolt_bucket below;

	check(i->key.len > 0 && i->key.data + i->key.len <= end);
	check(i->value.data >= w->b->data && i->value.data + i->value.len <= end);
	/* In a damaged tree a search may end elsewhere. */
	if (bolt_find(w->b, w->in, i->key, &found, e) < 0)
		check(e->kind == ERR_STORE);
	if (!i->is_bucket || w->depth == 6)
		return 0;
	int r = bolt_enter(w->b, i, &below, e);
	struct walk next = {w->b, &below, w->depth + 1};
	return r < 0 ? r : bolt_each(w->b, &below, see, &next, e);
}

static void run(const uint8_t *data, size_t size, bool seal)
{
	uint8_t *copy = malloc(size ? size : 1);
	struct bolt b = {0};
	struct err e = {0};

	check(copy != NULL);
	if (size)
		memcpy(copy, data, size);
	/* As the pages of 1 KiB that the corpus has. */
	for (size_t at = 0; seal && at <= 1024 && at + 80 <= size; at += 1024) {
		uint64_t sum = bolt_checksum(copy + at + 16, 56);

		for (size_t i = 0; i < 8; i++)
			copy[at + 72 + i] = (uint8_t)(sum >> (8 * i));
	}
	int r = bolt_parse(copy, size, "f", &b, &e);
	if (r == 0) {
		const struct bolt_bucket top = bolt_top(&b);
		struct walk w = {&b, &top, 0};

		r = bolt_each(&b, &top, see, &w, &e);
	}
	check(r == 0 || (e.kind == ERR_STORE && strncmp(e.text, "f: byte ", 8) == 0));
	bolt_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	run(data, size, false);
	run(data, size, true);
	return 0;
}
