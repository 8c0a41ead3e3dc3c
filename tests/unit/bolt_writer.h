/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes small bolt databases for tests: buckets in the order in which they are begun and ended,
 * each on one leaf page, as long as it has to be.  Keys have to come in order, unless disorder is
 * what a test wants.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WRITER_PAGE 1024u /* bytes */

struct bolt_writer {
	uint8_t *data; /* the file so far; its two meta pages are written last */
	size_t len;
	struct writer_bucket {
		struct writer_item {
			char key[256];
			uint8_t *value; /* owned */
			size_t key_len, len;
			bool is_bucket;
		} * items;
		size_t count;
		char key[256]; /* in its parent */
	} open[8];             /* from the top one downwards */
	size_t depth;
};

void writer_begin(struct bolt_writer *w);
void writer_put(struct bolt_writer *w, const char *key, const void *value, size_t len);
void writer_text(struct bolt_writer *w, const char *key, const char *value);
void writer_enter(struct bolt_writer *w, const char *key);
/* is_inline: its page is inside its parent's value. */
void writer_leave(struct bolt_writer *w, bool is_inline);
/* The file, owned by the caller; what is still open is left. */
uint8_t *writer_end(struct bolt_writer *w, size_t *ret_len);
/* Makes the checksum of the meta page at data (a page's start) right again. */
void writer_seal(uint8_t *data);
