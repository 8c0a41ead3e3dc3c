/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata images for tests: thin_restore makes the frame (superblock, space maps), and trees of
 * any shape are put into its free blocks, since thin_restore makes one shape only.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "thinmeta.h"

#define NODE_SALT 121107u
#define SUPERBLOCK_SALT 160774u
#define NODE_HEADER 32u
#define NODE_MAX(value_size) ((THINMETA_BLOCK - NODE_HEADER) / (8u + (value_size)) / 3 * 3)

struct image {
	uint8_t *data;
	uint64_t blocks, next; /* next: first block that is free */
};

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state;
}

static inline uint64_t random_below(struct random *r, uint64_t n)
{
	return random_next(r) % n;
}

static inline uint64_t get_le(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = bytes; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static inline void put_le(uint8_t *p, unsigned bytes, uint64_t v)
{
	for (unsigned i = 0; i < bytes; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

static inline uint8_t *image_block(const struct image *m, uint64_t block)
{
	return m->data + block * THINMETA_BLOCK;
}

static inline void image_seal(const struct image *m, uint64_t block, uint32_t salt)
{
	uint8_t *b = image_block(m, block);

	put_le(b, 4, ~thinmeta_crc32c(b + 4, THINMETA_BLOCK - 4) ^ salt);
}

static inline void die(const char *what)
{
	perror(what);
	abort();
}

static inline void shell(const char *command)
{
	if (system(command) != 0) {
		(void)fprintf(stderr, "failed: %s\n", command);
		abort();
	}
}

static inline void image_load(struct image *m, const char *path)
{
	FILE *f = fopen(path, "rb");

	if (!f || fseek(f, 0, SEEK_END) != 0)
		die(path);
	m->blocks = (uint64_t)ftell(f) / THINMETA_BLOCK;
	m->data = aligned_alloc(THINMETA_BLOCK, m->blocks * THINMETA_BLOCK);
	rewind(f);
	if (!m->data || fread(m->data, THINMETA_BLOCK, m->blocks, f) != m->blocks)
		die(path);
	(void)fclose(f);
}

static inline void image_save(const struct image *m, const char *path)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(m->data, THINMETA_BLOCK, m->blocks, f) != m->blocks || fclose(f) != 0)
		die(path);
}

/* An empty pool made by thin_restore in dir; our nodes go behind the blocks it uses. */
static inline void image_frame(struct image *m, const char *dir, uint64_t blocks,
	uint64_t data_blocks, unsigned block_sectors)
{
	char command[1024], path[512];

	(void)snprintf(command, sizeof(command),
		"cd %s && rm -f frame && truncate -s %llu frame && echo '<superblock uuid=\"\" "
		"time=\"99\" "
		"transaction=\"9\" data_block_size=\"%u\" nr_data_blocks=\"%llu\"></superblock>' "
		">f.xml && "
		"thin_restore -q -i f.xml -o frame >out 2>&1",
		dir, (unsigned long long)(blocks * THINMETA_BLOCK), block_sectors,
		(unsigned long long)data_blocks);
	shell(command);
	(void)snprintf(path, sizeof(path), "%s/frame", dir);
	image_load(m, path);
	for (m->next = blocks; m->next > 1 && get_le(image_block(m, m->next - 1), 4) == 0;)
		m->next--;
	m->next += 1;
}

static inline uint64_t image_node(struct image *m, uint32_t flags, const uint64_t *keys,
	const uint8_t *values, uint32_t count, uint32_t value_size, uint32_t max)
{
	const uint64_t block = m->next++;
	uint8_t *b = image_block(m, block);

	if (block >= m->blocks)
		die("image is full");
	memset(b, 0, THINMETA_BLOCK);
	put_le(b + 4, 4, flags);
	put_le(b + 8, 8, block);
	put_le(b + 16, 4, count);
	put_le(b + 20, 4, max);
	put_le(b + 24, 4, value_size);
	for (uint32_t i = 0; i < count; i++)
		put_le(b + NODE_HEADER + 8 * (size_t)i, 8, keys[i]);
	if (count)
		memcpy(b + NODE_HEADER + 8 * (size_t)max, values, (size_t)count * value_size);
	image_seal(m, block, NODE_SALT);
	return block;
}

/* A tree of count entries in nodes of at most max; returns its root. */
static inline uint64_t image_tree(struct image *m, const uint64_t *keys, const uint8_t *values,
	size_t count, uint32_t value_size, uint32_t max)
{
	size_t nodes = count ? (count + max - 1) / max : 1;
	uint64_t *first = calloc(nodes, 8), *child = calloc(nodes, 8);
	uint8_t *raw = calloc(nodes, 8);

	if (!first || !child || !raw)
		die("memory");
	for (size_t i = 0; i < nodes; i++) {
		size_t a = count * i / nodes, b = count * (i + 1) / nodes;

		first[i] = count ? keys[a] : 0;
		child[i] = image_node(m, 2, keys + a, values + a * value_size, (uint32_t)(b - a),
			value_size, max);
		put_le(raw + 8 * i, 8, child[i]);
	}
	uint64_t root = child[0];
	if (nodes > 1) {
		/* The nodes above, by the same rule. */
		while (nodes > 1) {
			size_t above = (nodes + max - 1) / max;

			for (size_t i = 0; i < above; i++) {
				size_t a = nodes * i / above, b = nodes * (i + 1) / above;

				child[i] = image_node(
					m, 1, first + a, raw + 8 * a, (uint32_t)(b - a), 8, max);
				first[i] = first[a];
			}
			for (size_t i = 0; i < above; i++)
				put_le(raw + 8 * i, 8, child[i]);
			nodes = above;
		}
		root = child[0];
	}
	free(first);
	free(child);
	free(raw);
	return root;
}

/* A copy of the path to key with another value there, as a write to a snapshot makes it. */
static inline uint64_t image_cow(
	struct image *m, uint64_t root, uint64_t key, const uint8_t *value, uint32_t value_size)
{
	const uint64_t copy = m->next++;
	uint8_t *b = image_block(m, copy);
	uint32_t i = 0;

	memcpy(b, image_block(m, root), THINMETA_BLOCK);
	put_le(b + 8, 8, copy);
	const uint32_t count = (uint32_t)get_le(b + 16, 4), max = (uint32_t)get_le(b + 20, 4);
	while (i + 1 < count && get_le(b + NODE_HEADER + 8 * (size_t)(i + 1), 8) <= key)
		i++;
	uint8_t *v = b + NODE_HEADER + 8 * (size_t)max;
	if (get_le(b + 4, 4) == 2) {
		if (get_le(b + NODE_HEADER + 8 * (size_t)i, 8) != key)
			die("no such key");
		memcpy(v + (size_t)i * value_size, value, value_size);
	} else {
		put_le(v + 8 * (size_t)i, 8,
			image_cow(m, get_le(v + 8 * (size_t)i, 8), key, value, value_size));
	}
	image_seal(m, copy, NODE_SALT);
	return copy;
}

static inline void image_roots(struct image *m, uint64_t mappings, uint64_t details)
{
	put_le(image_block(m, 0) + 320, 8, mappings);
	put_le(image_block(m, 0) + 328, 8, details);
	image_seal(m, 0, SUPERBLOCK_SALT);
}

static inline void put_mapping(uint8_t *p, uint64_t data_block, uint32_t time)
{
	put_le(p, 8, data_block << 24 | time);
}

static inline void put_details(uint8_t p[24], uint64_t mapped, uint64_t transaction,
	uint32_t creation, uint32_t snapshotted)
{
	put_le(p, 8, mapped);
	put_le(p + 8, 8, transaction);
	put_le(p + 16, 4, creation);
	put_le(p + 20, 4, snapshotted);
}

/* What a device maps: keys[count] and values[8 * count]. */
struct mappings {
	uint64_t *keys;
	uint8_t *values;
	size_t count;
};

static inline void mappings_new(struct mappings *m, size_t cap)
{
	*m = (struct mappings){.keys = calloc(cap, 8), .values = calloc(cap, 8)};
	if (!m->keys || !m->values)
		die("memory");
}

static inline void mappings_free(struct mappings *m)
{
	free(m->keys);
	free(m->values);
}

/* Runs of 1 to longest blocks with gaps between some of them; nearly all within data_blocks. */
static inline void mappings_fill(
	struct mappings *m, struct random *r, size_t count, uint64_t longest, uint64_t data_blocks)
{
	uint64_t v = random_below(r, 4);

	for (m->count = 0; m->count < count;) {
		uint64_t run = 1 + random_below(r, longest), data = random_below(r, data_blocks);
		const uint32_t time = (uint32_t)random_below(r, 5);

		for (; run-- && m->count < count && data < data_blocks; data++, v++) {
			m->keys[m->count] = v;
			put_mapping(m->values + 8 * m->count, data, time);
			m->count++;
		}
		v += random_below(r, 3) ? 0 : random_below(r, 1000);
	}
}

/* Puts devices 1 + 3 * i with these trees under the superblock. */
static inline void image_devices(struct image *m, const uint64_t *roots, const uint64_t *mapped,
	size_t count, uint32_t max_details, uint32_t max_roots)
{
	uint64_t *ids = calloc(count + 1, 8);
	uint8_t *details = calloc(count + 1, 24), *values = calloc(count + 1, 8);

	if (!ids || !details || !values)
		die("memory");
	for (size_t i = 0; i < count; i++) {
		ids[i] = 1 + 3 * i;
		put_details(details + 24 * i, mapped[i], i, (uint32_t)(i % 7), (uint32_t)(i % 11));
		put_le(values + 8 * i, 8, roots[i]);
	}
	uint64_t root = image_tree(m, ids, values, count, 8, max_roots);
	image_roots(m, root, image_tree(m, ids, details, count, 24, max_details));
	free(ids);
	free(details);
	free(values);
}

/* Inner nodes take the rest of the image; all their pointers name one block.  Returns the root. */
static inline uint64_t image_fan(struct image *m, uint64_t target, size_t *ret_pointers)
{
	const uint32_t max = NODE_MAX(8);
	static uint64_t keys[252], first[2][4096], nodes[2][4096];
	static uint8_t values[8 * 252];
	size_t count = 0, above = 0;
	uint64_t key = 0;

	for (; m->next + 30 < m->blocks && count < 4096; count++) {
		first[0][count] = key;
		for (uint32_t k = 0; k < max; k++, key += 2) {
			keys[k] = key;
			put_le(values + 8 * (size_t)k, 8, target);
		}
		nodes[0][count] = image_node(m, 1, keys, values, max, 8, max);
	}
	*ret_pointers = count * max;
	for (size_t i = 0; i < count; above++) {
		uint32_t n = 0;

		first[1][above] = first[0][i];
		for (; n < max && i < count; n++, i++)
			put_le(values + 8 * (size_t)n, 8, nodes[0][i]);
		nodes[1][above] = image_node(m, 1, first[0] + i - n, values, n, 8, max);
	}
	for (size_t i = 0; i < above; i++)
		put_le(values + 8 * i, 8, nodes[1][i]);
	return image_node(m, 1, first[1], values, (uint32_t)above, 8, max);
}
