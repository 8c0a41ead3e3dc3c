/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of the trees in dm-thin metadata, and a walk over one tree; private to thinmeta's files. */
#pragma once

#include <endian.h>
#include <string.h>

#include "thinmeta.h"

#define THINMETA_DETAILS_SIZE 24u /* bytes of a value of the tree of details */
#define THINMETA_LIVE (~0ull - 2) /* root: as THINMETA_MAIN, of a pool that may be active */
#define THINBTREE_DEPTH 16u       /* the kernel's trees stay below 10 */

struct thinmeta {
	char *name;
	int fd;               /* -1 for an image in memory */
	const uint8_t *image; /* borrowed */
	uint64_t blocks;      /* of metadata that can be read */
	uint64_t bytes;       /* of the file */
	uint64_t root_block;  /* the superblock that sb was read from */
	struct thinmeta_superblock sb;
	uint8_t *verdicts; /* of each block: 0 not read, else 1 + enum thinmeta_reason */
};

/* A sound node; keys ascend. */
struct thinbtree_node {
	uint8_t *raw; /* THINMETA_BLOCK bytes, aligned to it */
	uint64_t block;
	uint32_t count, max;
	uint32_t value_size;
	bool is_leaf;
};

static inline uint32_t thinbtree_le32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t thinbtree_le64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* 0, or a negative errno: -ENODATA behind the end of the file. */
int thinmeta_read_block(const struct thinmeta *m, uint64_t block, uint8_t *buf);
/* Reads block into n->raw, checks all that a node must fulfil on its own, and fills the rest. */
enum thinmeta_reason thinbtree_load(struct thinmeta *m, uint64_t block, struct thinbtree_node *n);
/* Does the node suit its place: keys in [begin, end), values of a leaf, empty only as root? */
enum thinmeta_reason thinbtree_suits(const struct thinbtree_node *n, bool is_root, uint64_t begin,
	uint64_t end, uint32_t value_size);
/* i < count, here and below */
uint64_t thinbtree_key(const struct thinbtree_node *n, uint32_t i);
const uint8_t *thinbtree_value(const struct thinbtree_node *n, uint32_t i);
/* Number of keys that are smaller than key. */
uint32_t thinbtree_below(const struct thinbtree_node *n, uint64_t key);

struct thinbtree;

/* An entry, or damage (value NULL). */
struct thinbtree_item {
	struct thinmeta_damage damage;
	uint64_t key;
	const uint8_t *value; /* until the next call */
	uint64_t leaf;        /* its block */
};

/* Walks the tree at root, which parent names; keys must be below limit. */
int thinbtree_open(struct thinmeta *m, uint64_t root, uint64_t parent, uint32_t value_size,
	uint64_t limit, struct thinbtree **ret, struct err *e);
/* The next item is the first one that ends behind key. */
void thinbtree_seek(struct thinbtree *t, uint64_t key);
bool thinbtree_next(struct thinbtree *t, struct thinbtree_item *ret);
void thinbtree_close(struct thinbtree *t);
