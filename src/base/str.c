/* SPDX-License-Identifier: Apache-2.0 */
#include "str.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void strbuf_add(struct strbuf *b, const char *data, size_t len)
{
	if (b->failed)
		return;
	if (b->cap - b->len < len + 1) {
		size_t cap = (b->cap + len + 1) * 2;
		char *grown = realloc(b->data, cap);

		if (!grown) {
			b->failed = true;
			return;
		}
		b->data = grown;
		b->cap = cap;
	}
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void strbuf_puts(struct strbuf *b, const char *s)
{
	strbuf_add(b, s, strlen(s));
}

void strbuf_printf(struct strbuf *b, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	strbuf_add(b, text, (size_t)n);
	free(text);
}

void strbuf_json(struct strbuf *b, const char *s)
{
	size_t len = strlen(s);

	strbuf_add(b, "\"", 1);
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)s[i];
		size_t n = str_utf8_len((const unsigned char *)s + i, len - i);

		if (n == 0) {
			strbuf_puts(b, "\\ufffd");
			n = 1;
		} else if (c == '"' || c == '\\') {
			strbuf_printf(b, "\\%c", c);
		} else if (c < 0x20 || c == 0x7f) {
			strbuf_printf(b, "\\u%04x", c);
		} else {
			strbuf_add(b, s + i, n);
		}
		i += n;
	}
	strbuf_add(b, "\"", 1);
}

void strbuf_base64(struct strbuf *b, const void *data, size_t len)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *s = data;

	for (size_t i = 0; i < len; i += 3) {
		unsigned v = 0;
		char four[4] = {'=', '=', '=', '='};

		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (i + k < len ? s[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			if (i + k <= len)
				four[k] = digit[v >> (18 - 6 * k) & 63];
		strbuf_add(b, four, 4);
	}
}

void strbuf_free(struct strbuf *b)
{
	free(b->data);
	*b = (struct strbuf){0};
}

size_t str_utf8_len(const unsigned char *s, size_t len)
{
	size_t n;
	uint32_t cp, low;

	if (len == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2, cp = s[0] & 0x1fu, low = 0x80;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3, cp = s[0] & 0x0fu, low = 0x800;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4, cp = s[0] & 0x07u, low = 0x10000;
	else
		return 0;
	if (len < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (s[i] & 0x3fu);
	}
	if (cp < low || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0;
	return n;
}

bool str_is_utf8(const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = str_utf8_len((const unsigned char *)s + i, len - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

/* C1 controls (U+0080-9F) and the bidirectional marks that let a name show as another. */
static bool is_hostile_sequence(const unsigned char *s, size_t n)
{
	if (n == 2)
		return s[0] == 0xc2 && s[1] < 0xa0;
	if (n == 3 && s[0] == 0xe2)
		return (s[1] == 0x80 &&
			       ((s[2] >= 0xa8 && s[2] <= 0xae) || s[2] == 0x8e || s[2] == 0x8f)) ||
		       (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9);
	return false;
}

size_t str_escape(const char *in, size_t len, char *out, size_t cap)
{
	const unsigned char *s = (const unsigned char *)in;
	size_t total = 0, end = 0;

	for (size_t i = 0; i < len;) {
		size_t n = str_utf8_len(s + i, len - i);
		char hex[20];
		const char *piece = in + i;
		size_t plen = n ? n : 1;
		size_t step = plen;

		if (n == 0 || s[i] < 0x20 || s[i] == 0x7f || is_hostile_sequence(s + i, n)) {
			plen = 0;
			for (size_t k = 0; k < step; k++)
				plen += (size_t)snprintf(
					hex + plen, sizeof(hex) - plen, "\\x%02x", s[i + k]);
			piece = hex;
		}
		if (total == end && total + plen < cap) {
			memcpy(out + total, piece, plen);
			end = total + plen;
		}
		total += plen;
		i += step;
	}
	if (cap)
		out[end] = '\0';
	return total;
}

const char *str_size(unsigned long long bytes, char out[16])
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 1024 && u + 1 < sizeof(unit) / sizeof(unit[0])) {
		v /= 1024;
		u++;
	}
	(void)snprintf(out, 16, u == 0 ? "%.0f %s" : "%.1f %s", v, unit[u]);
	return out;
}

size_t str_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	size_t row[64];

	if (la >= 64 || lb >= 64)
		return 99;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diag = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diag + (a[i - 1] != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diag = row[j];
			row[j] = best;
		}
	}
	return row[lb];
}
