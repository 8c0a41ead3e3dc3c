/* SPDX-License-Identifier: Apache-2.0 */
#include "lostfiles.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "scope.h"
#include "stop.h"
#include "str.h"

#define DEPTH_MAX 900 /* each folder on the way holds a descriptor */
#define MAP_EXTENTS 64
/* Their bytes are not, or not yet, those of the place that the map names. */
#define ELSEWHERE                                                                                  \
	(FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_ENCODED |                  \
		FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_DATA_TAIL | FIEMAP_EXTENT_UNWRITTEN)

struct search {
	const struct lost_range *ranges;
	size_t count;
	lostfiles_fn *fn;
	void *arg;
	struct strbuf path;
};

/* How many of the bytes begin <= byte < end are lost. */
static uint64_t overlap(const struct search *s, uint64_t begin, uint64_t end)
{
	size_t low = 0, high = s->count;
	uint64_t sum = 0;

	/* The first range that ends behind begin. */
	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (s->ranges[middle].end <= begin)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < s->count && s->ranges[low].begin < end; low++) {
		const struct lost_range *r = &s->ranges[low];

		sum += (r->end < end ? r->end : end) - (r->begin > begin ? r->begin : begin);
	}
	return sum;
}

static uint64_t lost_of_file(const struct search *s, int fd, uint64_t size)
{
	_Alignas(struct fiemap) char
		room[sizeof(struct fiemap) + MAP_EXTENTS * sizeof(struct fiemap_extent)];
	struct fiemap *map = (void *)room;
	uint64_t at = 0, sum = 0;

	for (bool last = false; !last && at < size;) {
		*map = (struct fiemap){
			.fm_start = at, .fm_length = size - at, .fm_extent_count = MAP_EXTENTS};
		if (ioctl(fd, FS_IOC_FIEMAP, map) < 0)
			break;
		last = map->fm_mapped_extents == 0;
		for (uint32_t i = 0; i < map->fm_mapped_extents && i < MAP_EXTENTS && !last; i++) {
			const struct fiemap_extent *x = &map->fm_extents[i];
			uint64_t len = x->fe_length;

			if (x->fe_logical >= size || x->fe_logical + len <= at)
				break;
			len = len < size - x->fe_logical ? len : size - x->fe_logical;
			if (!(x->fe_flags & ELSEWHERE))
				sum += overlap(s, x->fe_physical, x->fe_physical + len);
			at = x->fe_logical + x->fe_length;
			last = x->fe_flags & FIEMAP_EXTENT_LAST;
		}
		/* A map that does not move on. */
		if (at <= map->fm_start)
			break;
	}
	return sum;
}

static void look_at_file(struct search *s, int dir, const char *name)
{
	AUTO_CLOSE int fd =
		openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOATIME);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return;
	const uint64_t lost = lost_of_file(s, fd, (uint64_t)st.st_size);
	if (lost)
		s->fn(s->arg, s->path.data, lost);
}

static int look_in(struct search *s, int dir, unsigned depth, struct err *e);

static int look_at(struct search *s, int dir, const char *name, unsigned depth, struct err *e)
{
	const size_t len = s->path.len;
	struct stat st;
	int r = 0;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	strbuf_printf(&s->path, "%s%s", len ? "/" : "", name);
	if (s->path.failed)
		return err_sys(e, ERR_FATAL, -ENOMEM, "lost files");
	if (S_ISREG(st.st_mode)) {
		look_at_file(s, dir, name);
	} else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
		AUTO_CLOSE int sub =
			openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		r = sub < 0 ? 0 : look_in(s, TAKE_FD(sub), depth + 1, e);
	}
	s->path.len = len;
	s->path.data[len] = '\0';
	return r;
}

/* Takes dir over. */
static int look_in(struct search *s, int dir, unsigned depth, struct err *e)
{
	AUTO_DIR DIR *d = fdopendir(dir);
	const struct dirent *entry;
	int r = stop_check(e);

	if (!d)
		(void)close(dir);
	while (d && r == 0 && (entry = readdir(d)))
		r = look_at(s, dirfd(d), entry->d_name, depth, e);
	return r;
}

int lostfiles_find(int root, const struct lost_range *ranges, size_t count, lostfiles_fn *fn,
	void *arg, struct err *e)
{
	struct search s = {.ranges = ranges, .count = count, .fn = fn, .arg = arg};
	/* Of its own: the position of the caller's is the caller's. */
	int top = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = top < 0 ? 0 : look_in(&s, top, 0, e);

	strbuf_free(&s.path);
	return r;
}
