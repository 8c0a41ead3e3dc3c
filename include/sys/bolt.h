/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bbolt databases, read only: containerd keeps its state in them.  What is read is a copy in
 * memory, every number in it checked before use, since pages of data carry no checksum.  Format:
 * go.etcd.io/bbolt page.go, bucket.go (boltdb/bolt's is the same); version 2, either byte order.
 * Errors (kind ERR_STORE) name the file and the byte.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define BOLT_FILE_MAX (512u << 20) /* bytes; such files are some MiB */

struct bolt {
	char *name; /* for messages */
	uint8_t *data;
	size_t len;
	bool is_big_endian;
	uint32_t page_size;
	uint64_t page_count;  /* all page ids are below it */
	uint64_t root;        /* page of the top bucket */
	uint64_t transaction; /* of the newest valid meta page */
	uint64_t budget;      /* bytes that bolt_each may still visit: pages may share children */
};

struct bolt_bytes {
	const uint8_t *data; /* borrowed from the copy; not aligned */
	size_t len;
};

/* A bucket: a tree of pages, or (root 0) one page inside the value. */
struct bolt_bucket {
	uint64_t root;
	struct bolt_bytes page;
};

struct bolt_item {
	struct bolt_bytes key, value;
	bool is_bucket; /* bolt_enter takes the value then */
};

/*
 * A consistent copy of the regular file behind fd, also while its owner writes: it is read again
 * until no transaction was committed meanwhile.  -EAGAIN when that never happens, -EBADMSG when
 * it is no database.
 */
int bolt_read(int fd, const char *name, struct bolt *ret, struct err *e);
/* The same from memory; data, from malloc, is taken over, also after a failure. */
int bolt_parse(uint8_t *data, size_t len, const char *name, struct bolt *ret, struct err *e);
void bolt_done(struct bolt *b);
#define AUTO_BOLT __attribute__((cleanup(bolt_done))) struct bolt

/* The bucket of buckets. */
struct bolt_bucket bolt_top(const struct bolt *b);
/* Every item in the order of the keys; a negative value of fn ends it and is returned. */
typedef int bolt_fn(void *arg, const struct bolt_item *item, struct err *e);
int bolt_each(struct bolt *b, const struct bolt_bucket *in, bolt_fn *fn, void *arg, struct err *e);
/* 1 with the item, 0 if there is none, or a negative errno. */
int bolt_find(const struct bolt *b, const struct bolt_bucket *in, struct bolt_bytes key,
	struct bolt_item *ret, struct err *e);
/* The bucket that an item is. */
int bolt_enter(
	const struct bolt *b, const struct bolt_item *item, struct bolt_bucket *ret, struct err *e);
/* The bucket at the keys path[n], below `from`: 1, 0 if there is none, or a negative errno. */
int bolt_descend(const struct bolt *b, const struct bolt_bucket *from, const char *const *path,
	size_t n, struct bolt_bucket *ret, struct err *e);

struct bolt_bytes bolt_text(const char *s);
bool bolt_is(struct bolt_bytes b, const char *s);
/* FNV-1a of 64 bits, which guards a meta page. */
uint64_t bolt_checksum(const uint8_t *data, size_t len);
