/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dm-thin metadata on disk, read in user space.  Format: Linux drivers/md/dm-thin-metadata.c and
 * drivers/md/persistent-data; little-endian, 4096-byte blocks, each with a CRC-32C xor a salt.
 *
 * The metadata may be damaged or hostile: whatever a node says is checked before it is used, and
 * a damaged node costs no more than the keys below it.  These are delivered as damage, in order
 * with the rest, so that "not mapped" and "nobody knows" never look the same.  One walk reads a
 * block at most once for each sound reference to it, and needs 64 KiB.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define THINMETA_BLOCK 4096u
#define THINMETA_ID_MAX 0xFFFFFFu /* thin ids have 24 bits */

struct thinmeta_superblock {
	uint32_t checksum; /* of the rest of the block, as it stands in it */
	uint32_t flags;    /* bit 0: needs_check */
	uint32_t version, time, block_sectors;
	uint64_t transaction, data_blocks, metadata_blocks, held_root;
	uint64_t mapping_root, details_root; /* metadata blocks */
};

/* Checks magic, checksum, place, version, flags and ranges; kind ERR_POOL. */
int thinmeta_superblock_parse(
	const uint8_t block[THINMETA_BLOCK], struct thinmeta_superblock *ret, struct err *e);
/* Reads block 0 of path; O_DIRECT on devices, since the kernel writes past the page cache. */
int thinmeta_superblock_read(const char *path, struct thinmeta_superblock *ret, struct err *e);
/* CRC-32C with inversion at both ends (the usual one). */
uint32_t thinmeta_crc32c(const uint8_t *data, size_t len);

/* Metadata opened for reading.  Needs one byte for each metadata block. */
struct thinmeta;

#define THINMETA_MAIN 0ull /* what a pool that is not active has committed */
/*
 * The same, of a superblock that is damaged but looks like one: its roots may be old or wrong,
 * which nothing in the trees tells.  For those who say so of all that they read.
 */
#define THINMETA_DOUBTFUL (~0ull - 1)
#define THINMETA_HELD ~0ull /* the metadata snapshot that the superblock names */

/*
 * Opens a file or device.  root is THINMETA_MAIN, THINMETA_HELD or the block of a metadata
 * snapshot (reserve_metadata_snap; the pool's status line tells).  A device's main root is
 * opened exclusively: -EBUSY while a pool uses it, whose tree changes under the reader's hands.
 * Devices are read with O_DIRECT.  Close with thinmeta_close.  Kind ERR_POOL; -ENODATA if there
 * is no metadata snapshot.
 */
int thinmeta_open(const char *path, uint64_t root, struct thinmeta **ret, struct err *e);
/* As thinmeta_open, of image[len], which is borrowed; name is for messages. */
int thinmeta_open_image(const uint8_t *image, size_t len, const char *name, uint64_t root,
	struct thinmeta **ret, struct err *e);
void thinmeta_close(struct thinmeta *m); /* NULL does nothing */
/* That of the root it was opened with; sizes are the pool's.  Borrowed. */
const struct thinmeta_superblock *thinmeta_superblock(const struct thinmeta *m);
/* Bytes of a data block. */
uint64_t thinmeta_block_bytes(const struct thinmeta *m);

enum thinmeta_reason {
	THINMETA_SOUND,
	THINMETA_UNREADABLE, /* I/O error, or behind the end of the file */
	THINMETA_CHECKSUM,
	THINMETA_PLACE, /* it says it is another block: stale or misdirected */
	THINMETA_SHAPE, /* flags, counts or value size are impossible */
	THINMETA_ORDER, /* keys do not ascend */
	THINMETA_RANGE, /* keys leave the range that the parent gives */
	THINMETA_CHILD, /* a pointer leaves the metadata */
	THINMETA_CYCLE,
	THINMETA_DEPTH, /* deeper than 16 */
	THINMETA_EMPTY, /* a node without keys that is no root */
	THINMETA_VALUE, /* an entry's value is impossible: data block or root out of range */
};

/* Keys begin <= key < end are unknown. */
struct thinmeta_damage {
	enum thinmeta_reason reason;
	uint64_t block;  /* the damaged one */
	uint64_t parent; /* the one that refers to it; 0: the superblock */
	uint64_t begin, end;
};

/* "'PATH': block 7 (byte 28672), named by block 3: checksum ...: keys 0 to 251"; as snprintf. */
int thinmeta_damage_text(
	const struct thinmeta *m, const struct thinmeta_damage *d, char *out, size_t cap);

/* Whether one of the two trees has a device. */
enum thinmeta_part { THINMETA_MISSING, THINMETA_PRESENT, THINMETA_LOST };

struct thinmeta_device {
	struct thinmeta_damage damage; /* unless SOUND: no device, but a range of ids */
	bool is_details;               /* of damage: the tree of details, else of mappings */
	uint32_t id;
	enum thinmeta_part details, mappings;
	/* with details */
	uint64_t mapped_blocks, transaction;
	uint32_t creation_time, snapshotted_time; /* the pool's time counter */
	/* with mappings */
	uint64_t root, parent; /* metadata block of its tree, and the one that names it */
};

struct thinmeta_devices;

/* All devices by ascending id, among them the damage of both upper trees. */
int thinmeta_devices_open(struct thinmeta *m, struct thinmeta_devices **ret, struct err *e);
bool thinmeta_devices_next(struct thinmeta_devices *d, struct thinmeta_device *ret);
void thinmeta_devices_close(struct thinmeta_devices *d); /* NULL does nothing */
/* One device; -ENOENT if it is in neither tree, -EUCLEAN if its mappings are lost or missing. */
int thinmeta_device_find(
	struct thinmeta *m, uint32_t id, struct thinmeta_device *ret, struct err *e);

/* Blocks virtual_begin ... of a device are data_begin ... of the pool, all of one time. */
struct thinmeta_run {
	struct thinmeta_damage damage; /* unless SOUND: nobody knows what these blocks are */
	uint64_t virtual_begin, length;
	uint64_t data_begin;
	uint32_t time; /* the pool's time counter when they were mapped */
};

/* A thin device's details, and the superblock that they belong to. */
struct thinmeta_live {
	struct thinmeta_superblock sb;
	uint64_t mapped_blocks, transaction;      /* of the pool when the device was made */
	uint32_t creation_time, snapshotted_time; /* the pool's time counter */
};

/*
 * What a pool, which may be active, has committed about one thin device.  No lock and no metadata
 * snapshot is needed: a pool never overwrites what its superblock on disk leads to, so a reading
 * counts if the superblock is the same after it; else it is repeated, for about a second.
 * -ENODATA if there is no such device (ret->sb is valid), -EAGAIN if the pool kept changing,
 * -EUCLEAN if the tree is damaged there; kind ERR_POOL.
 */
int thinmeta_live_find(const char *path, uint32_t id, struct thinmeta_live *ret, struct err *e);

struct thinmeta_runs;

/*
 * The mapped blocks of a device in order, as the longest runs of one time; what no run covers is
 * not mapped.  A run's data blocks lie within the pool; its bytes never exceed INT64_MAX.
 */
int thinmeta_runs_open(struct thinmeta *m, const struct thinmeta_device *d,
	struct thinmeta_runs **ret, struct err *e);
/* From now on virtual blocks begin <= block < end only; runs are cut there. */
void thinmeta_runs_seek(struct thinmeta_runs *r, uint64_t begin, uint64_t end);
bool thinmeta_runs_next(struct thinmeta_runs *r, struct thinmeta_run *ret);
void thinmeta_runs_close(struct thinmeta_runs *r); /* NULL does nothing */

/* Of the mappings found; exclusive: no other mapping of the pool refers to the data block. */
struct thinmeta_usage {
	uint32_t id;
	bool is_damaged; /* some of its mappings are unknown: the counts are lower bounds */
	uint64_t mapped, exclusive;
};

/*
 * Calls fn for each device with mappings, by ascending id, until it returns nonzero, which is
 * then returned.  Sets *ret_damaged if mappings of any device are unknown: another device's
 * blocks may then be less exclusive than they look.  Reads shared nodes at most three times.
 * Memory: 2 bits for each data block and 16 bytes for each metadata block; -EFBIG if that
 * exceeds max_bytes.
 */
int thinmeta_usage(struct thinmeta *m, size_t max_bytes,
	int (*fn)(void *arg, const struct thinmeta_usage *u), void *arg, bool *ret_damaged,
	struct err *e);

/* What thinmeta_usage tells of all devices, kept. */
struct thinmeta_usages {
	struct thinmeta_usage *items; /* by ascending id */
	size_t count;
	bool is_damaged;      /* as *ret_damaged above */
	uint64_t block_bytes; /* of a data block */
};

/*
 * thinmeta_usage of a file or device; root as for thinmeta_open.  THINMETA_MAIN: of a pool that may
 * be active, read and compared as by thinmeta_live_find: -EAGAIN if it changed in each of a few
 * readings.  -ECANCELED if it was asked to stop.  Free with thinmeta_usages_done.
 */
int thinmeta_usages_read(const char *path, uint64_t root, size_t max_bytes,
	struct thinmeta_usages *ret, struct err *e);
/* That of a device; NULL if it has no mappings tree. */
const struct thinmeta_usage *thinmeta_usages_find(const struct thinmeta_usages *u, uint32_t id);
void thinmeta_usages_done(struct thinmeta_usages *u);
