/* SPDX-License-Identifier: Apache-2.0 */
/* Strings: growing buffers, and escaping of names that came from a container. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* A growing, always NUL-terminated text.  Zero-initialised is empty and valid. */
struct strbuf {
	char *data; /* NULL while empty */
	size_t len, cap;
	bool failed; /* an allocation failed; the content is then cut */
};

void strbuf_add(struct strbuf *b, const char *data, size_t len);
void strbuf_puts(struct strbuf *b, const char *s);
void strbuf_printf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends s as a JSON string with quotes; bytes that are no UTF-8 become U+FFFD. */
void strbuf_json(struct strbuf *b, const char *s);
void strbuf_base64(struct strbuf *b, const void *data, size_t len);
void strbuf_free(struct strbuf *b);
#define AUTO_STRBUF __attribute__((cleanup(strbuf_free))) struct strbuf

/*
 * Writes in[len] to out so that it is safe on a terminal and in a log: control characters and
 * bytes that are no valid UTF-8 become \xNN, also C1 controls and bidirectional overrides.
 * Returns the length it would have had (as snprintf); out is always terminated if cap > 0.
 */
size_t str_escape(const char *in, size_t len, char *out, size_t cap);
/* Length in bytes of the valid UTF-8 sequence at s (1..4), 0 if there is none. */
size_t str_utf8_len(const unsigned char *s, size_t len);
bool str_is_utf8(const char *s, size_t len);
/* "1.5 GiB" for people; out holds at least 16 bytes. */
const char *str_size(unsigned long long bytes, char out[16]);
/* Edit distance of a and b, at most 99: for suggestions. */
size_t str_distance(const char *a, const char *b);
