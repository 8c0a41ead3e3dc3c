/* SPDX-License-Identifier: Apache-2.0 */
#include "contents.h"

#include <errno.h>
#include <stdlib.h>

static struct piece *new_piece(struct contents *c, struct content *file, size_t at)
{
	if (c->count == c->cap) {
		const size_t cap = c->cap ? c->cap * 2 : 64;
		struct piece *grown = reallocarray(c->items, cap, sizeof(*grown));

		if (!grown)
			return NULL;
		c->items = grown;
		c->cap = cap;
	}
	struct piece *p = &c->items[c->count++];
	*p = (struct piece){.at = at, .is_first = !file->is_begun};
	file->is_begun = true;
	return p;
}

/* The last one, if it is of the same file. */
static struct piece *last_piece(const struct contents *c, const struct content *file)
{
	struct piece *p = c->count ? &c->items[c->count - 1] : NULL;

	return p && file->is_begun && !p->out ? p : NULL;
}

int contents_add(struct contents *c, struct content *file, size_t at, size_t len)
{
	struct piece *p = last_piece(c, file);

	if (!p || p->at + p->len != at)
		p = new_piece(c, file, at);
	if (!p)
		return -ENOMEM;
	p->len += len;
	return 0;
}

int contents_note(struct contents *c, struct content *file, size_t at, const uint64_t note[2])
{
	struct piece *p = new_piece(c, file, at);

	if (!p)
		return -ENOMEM;
	p->has_note = true;
	p->note[0] = note[0];
	p->note[1] = note[1];
	return 0;
}

int contents_end(struct contents *c, struct content *file, size_t at, unsigned char *out)
{
	struct piece *p = last_piece(c, file);

	if (!p)
		p = new_piece(c, file, at);
	if (!p)
		return -ENOMEM;
	p->out = out;
	file->is_begun = false;
	return 0;
}

size_t contents_jobs(const struct contents *c)
{
	return 2 * c->count;
}

static bool is_whole(const struct piece *p)
{
	return p->is_first && p->out && !p->has_note;
}

size_t contents_whole(const struct contents *c, const unsigned char *frame, struct digest_job *jobs)
{
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++) {
		const struct piece *p = &c->items[i];

		if (is_whole(p))
			jobs[n++] = (struct digest_job){
				.data = frame + p->at, .len = p->len, .out = p->out};
	}
	return n;
}

size_t contents_parts(const struct contents *c, const unsigned char *frame, struct digest *d,
	struct digest_job *jobs)
{
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++) {
		const struct piece *p = &c->items[i];

		if (is_whole(p))
			continue;
		if (p->has_note)
			jobs[n++] = (struct digest_job){
				.to = d, .data = p->note, .len = sizeof(p->note)};
		jobs[n++] = (struct digest_job){
			.to = d, .data = frame + p->at, .len = p->len, .out = p->out};
	}
	return n;
}

void contents_done(struct contents *c)
{
	free(c->items);
	*c = (struct contents){0};
}
