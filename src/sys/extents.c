/* SPDX-License-Identifier: Apache-2.0 */
#include "extents.h"

#include <endian.h>
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FILE_EXTENTS_MAX 65536 /* kept of one file; what is behind is stored as data */
#define MAP_EXTENTS 16         /* asked for at a time; nearly all files have fewer */
/* Flags that say where a block will be is not settled yet. */
#define UNSETTLED (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC)

static int add(struct pack_extent **map, size_t *count, off_t at, off_t end)
{
	if ((*count & (*count - 1)) == 0) {
		struct pack_extent *grown =
			reallocarray(*map, *count ? *count * 2 : 1, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		*map = grown;
	}
	(*map)[(*count)++] = (struct pack_extent){at, end};
	return 0;
}

int extents_find(int fd, off_t size, struct pack_extent **ret, size_t *ret_count)
{
	struct pack_extent *map = NULL;
	size_t count = 0;
	off_t at = 0;
	int rc = 0;

	while (at < size && rc == 0) {
		off_t data = lseek(fd, at, SEEK_DATA);

		if (data < 0 && errno == ENXIO)
			break; /* a hole up to the end */
		off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (data < at || hole <= data) {
			data = at;
			hole = size;
		}
		if (data >= size)
			break;
		if (hole > size || count == FILE_EXTENTS_MAX - 1)
			hole = size;
		if (data == 0 && hole == size)
			return 0;
		rc = add(&map, &count, data, hole);
		at = hole;
	}
	/* All of it a hole: a list of nothing, which is not the same as no list. */
	if (rc == 0 && !map && !(map = malloc(sizeof(*map))))
		rc = -ENOMEM;
	if (rc < 0) {
		free(map);
		return rc;
	}
	*ret = map;
	*ret_count = count;
	return 0;
}

bool extents_fingerprint(int fd, struct digest *d, unsigned char out[EXTENTS_SUM])
{
	_Alignas(struct fiemap) char
		room[sizeof(struct fiemap) + MAP_EXTENTS * sizeof(struct fiemap_extent)];
	struct fiemap *map = (void *)room;
	unsigned char sum[DIGEST_LEN];
	uint64_t at = 0;
	bool settled = true, last = false;
	int rc = 0;

	while (!last && settled) {
		*map = (struct fiemap){.fm_start = at,
			.fm_length = FIEMAP_MAX_OFFSET - at,
			.fm_extent_count = MAP_EXTENTS};
		settled = ioctl(fd, FS_IOC_FIEMAP, map) == 0;
		const uint32_t n = settled ? map->fm_mapped_extents : 0;

		last = n == 0;
		for (uint32_t i = 0; i < n && i < MAP_EXTENTS; i++) {
			const struct fiemap_extent *x = &map->fm_extents[i];
			const uint64_t v[] = {htole64(x->fe_logical), htole64(x->fe_physical),
				htole64(x->fe_length)};

			rc |= digest_add(d, v, sizeof(v), NULL);
			settled &= !(x->fe_flags & UNSETTLED);
			last |= (x->fe_flags & FIEMAP_EXTENT_LAST) != 0;
			if (x->fe_logical + x->fe_length <= at)
				last = true; /* a map that does not move on */
			at = x->fe_logical + x->fe_length;
		}
	}
	rc |= digest_next(d, sum, NULL);
	memcpy(out, sum, EXTENTS_SUM);
	return settled && rc == 0;
}

bool extents_generation(int fd, uint32_t *ret)
{
	/* The kernel writes an int, whatever the request's number says. */
	int generation = 0;

	if (ioctl(fd, FS_IOC_GETVERSION, &generation) < 0)
		return false;
	*ret = (uint32_t)generation;
	return true;
}
