/* SPDX-License-Identifier: Apache-2.0 */
#include "buffers.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SMALLEST 1024u
#define LARGEST ((size_t)SMALLEST << (BUFFERS_ORDERS - 1))
#define IS_FREE 0x80u

/* A free one. */
struct buffer {
	struct buffer *next, *prev;
};

static unsigned order_of(size_t bytes)
{
	unsigned i = 0;

	while (((size_t)SMALLEST << i) < bytes && i + 1 < BUFFERS_ORDERS)
		i++;
	return i;
}

size_t buffers_size(size_t bytes)
{
	return (size_t)SMALLEST << order_of(bytes);
}

static struct buffer *at(const struct buffers *b, size_t block)
{
	return (struct buffer *)(void *)(b->base + block * SMALLEST);
}

static void put(struct buffers *b, size_t block, unsigned order)
{
	struct buffer *x = at(b, block);

	*x = (struct buffer){.next = b->free[order]};
	if (x->next)
		x->next->prev = x;
	b->free[order] = x;
	b->state[block] = (uint8_t)(IS_FREE | order);
}

static size_t unlink_block(struct buffers *b, struct buffer *x, unsigned order)
{
	const size_t block = (size_t)((char *)x - b->base) / SMALLEST;

	if (x->prev)
		x->prev->next = x->next;
	else
		b->free[order] = x->next;
	if (x->next)
		x->next->prev = x->prev;
	b->state[block] = 0;
	return block;
}

int buffers_new(struct buffers *b, size_t limit)
{
	*b = (struct buffers){.limit = limit < LARGEST ? LARGEST : limit / LARGEST * LARGEST};
	b->base = mmap(NULL, b->limit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b->base == MAP_FAILED) {
		b->base = NULL;
		return -ENOMEM;
	}
	b->state = calloc(b->limit / SMALLEST, 1);
	if (!b->state)
		return -ENOMEM;
	for (size_t i = b->limit / LARGEST; i-- > 0;)
		put(b, i * (LARGEST / SMALLEST), BUFFERS_ORDERS - 1);
	return 0;
}

void *buffers_take(struct buffers *b, size_t bytes)
{
	const unsigned want = order_of(bytes);
	unsigned order = want;

	b->used += buffers_size(bytes);
	while (order < BUFFERS_ORDERS && !b->free[order])
		order++;
	if (order == BUFFERS_ORDERS) {
		void *x = malloc(buffers_size(bytes));

		b->used -= x ? 0 : buffers_size(bytes);
		return x;
	}
	const size_t block = unlink_block(b, b->free[order], order);
	while (order > want) {
		order--;
		put(b, block + ((size_t)1 << order), order);
	}
	return at(b, block);
}

void buffers_give(struct buffers *b, void *buffer, size_t bytes)
{
	const uintptr_t base = (uintptr_t)b->base, x = (uintptr_t)buffer;
	unsigned order = order_of(bytes);

	b->used -= buffers_size(bytes);
	if (x < base || x >= base + b->limit) {
		free(buffer);
		return;
	}
	size_t block = (x - base) / SMALLEST;
	for (; order + 1 < BUFFERS_ORDERS; order++) {
		const size_t other = block ^ (size_t)1 << order;

		if (b->state[other] != (IS_FREE | order))
			break;
		(void)unlink_block(b, at(b, other), order);
		block &= ~((size_t)1 << order);
	}
	put(b, block, order);
}

void buffers_done(struct buffers *b)
{
	if (b->base)
		(void)munmap(b->base, b->limit);
	free(b->state);
	*b = (struct buffers){0};
}
