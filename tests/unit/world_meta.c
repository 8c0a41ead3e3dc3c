/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata of the model's pool: a superblock, two upper trees, and what its devices map. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "thinmeta.h"
#include "world.h"

#define BLOCKS 16u
#define DETAILS 1u
#define MAPPINGS 2u
#define HELD 3u
#define FIRST_DEVICE 4u /* one block for each id */
#define MAX(size) (4064u / (8 + (size)) / 3 * 3)

int __real_open64(const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *data, size_t len);
int __real_close(int fd);

static _Alignas(THINMETA_BLOCK) uint8_t b[BLOCKS][THINMETA_BLOCK];

static void put_number(uint8_t *p, unsigned bytes, uint64_t v)
{
	for (unsigned i = 0; i < bytes; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

static void put_sum(uint8_t *block, uint32_t salt)
{
	put_number(block, 4, ~thinmeta_crc32c(block + 4, THINMETA_BLOCK - 4) ^ salt);
}

static void put_leaf(uint64_t block, uint32_t count, uint32_t size)
{
	put_number(b[block] + 4, 4, 2);
	put_number(b[block] + 8, 8, block);
	put_number(b[block] + 16, 4, count);
	put_number(b[block] + 20, 4, MAX(size));
	put_number(b[block] + 24, 4, size);
	put_sum(b[block], 121107);
}

/* The place of a value; its key is put. */
static uint8_t *put_key(uint64_t block, uint32_t i, uint64_t key, uint32_t size)
{
	put_number(b[block] + 32 + 8 * (size_t)i, 8, key);
	return b[block] + 32 + 8 * (size_t)MAX(size) + size * (size_t)i;
}

/* One block of its own; the others all devices have. */
static void put_device(uint32_t i, const struct model_id *x)
{
	uint8_t *details = put_key(DETAILS, i, x->id, 24);

	put_number(details, 8, MODEL_MAPPED);
	put_number(details + 8, 8, 7);
	put_number(details + 16, 4, x->created);
	put_number(put_key(MAPPINGS, i, x->id, 8), 8, FIRST_DEVICE + i);
	for (uint32_t k = 0; k < MODEL_MAPPED; k++)
		put_number(put_key(FIRST_DEVICE + i, k, k, 8), 8,
			(uint64_t)(k ? k : MODEL_MAPPED + i) << 24);
	put_leaf(FIRST_DEVICE + i, MODEL_MAPPED, 8);
}

static uint32_t put_devices(void)
{
	uint32_t count = 0, id = 0;

	for (;; id++) {
		const struct model_id *next = NULL;

		for (size_t i = 0; i < WORLD_IDS; i++) {
			const struct model_id *x = &world->m.ids[i];

			if (x->exists && x->id >= id && (!next || x->id < next->id))
				next = x;
		}
		if (!next)
			return count;
		id = next->id;
		put_device(count++, next);
	}
}

static void put_superblock(uint64_t block, uint32_t time, uint32_t commits)
{
	put_number(b[block] + 8, 8, block);
	put_number(b[block] + 32, 8, 27022010);
	put_number(b[block] + 40, 4, 2);
	put_number(b[block] + 44, 4, time);
	put_number(b[block] + 48, 8, 7 + (uint64_t)commits);
	put_number(b[block] + 56, 8, block ? 0 : world->m.held);
	put_number(b[block] + 64, 8, 4096);
	put_number(b[block] + 192, 8, BLOCKS);
	put_number(b[block] + 320, 8, MAPPINGS);
	put_number(b[block] + 328, 8, DETAILS);
	put_number(b[block] + 336, 4, 128);
	put_sum(b[block], 160774);
}

void model_commit(void)
{
	memset(b, 0, sizeof(b));
	world->m.commits += world->m.is_busy;
	const uint32_t count = put_devices();
	put_leaf(DETAILS, count, 24);
	put_leaf(MAPPINGS, count, 8);
	put_superblock(0, world->m.time, world->m.commits);
	if (world->m.held)
		put_superblock(HELD, world->m.held_time, world->m.held_commits);
	int fd = __real_open64(WORLD_DIR "/image-0", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || __real_write(fd, b, sizeof(b)) != (ssize_t)sizeof(b))
		abort();
	(void)__real_close(fd);
}

int model_hold(const char *message)
{
	if (strcmp(message, "reserve_metadata_snap") == 0) {
		if (world->m.held)
			return -EBUSY;
		world->m.held = HELD;
		world->m.held_time = world->m.time;
		world->m.held_commits = world->m.commits;
	} else if (strcmp(message, "release_metadata_snap") == 0) {
		if (!world->m.held)
			return -EINVAL;
		if (world->m.is_held_by_others)
			violation("somebody else's metadata snapshot is released");
		world->m.held = 0;
	} else {
		return -ENOSYS;
	}
	model_commit();
	return 0;
}
