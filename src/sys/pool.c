/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "scope.h"
#include "thinmeta.h"

#define PROBE "thinark-probe-" /* PID-ID behind */

static bool pair(const char *s, uint64_t *a, uint64_t *b)
{
	char tail;

	return sscanf(s, "%" SCNu64 "/%" SCNu64 "%c", a, b, &tail) == 2;
}

int pool_status_parse(const char *line, struct pool_status *ret, struct err *e)
{
	char copy[512], *save = NULL, *field[10] = {0};
	size_t n = 0;
	struct pool_status s = {0};

	(void)snprintf(copy, sizeof(copy), "%s", line);
	for (char *f = strtok_r(copy, " ", &save); f && n < ARRAY_LEN(field);
		f = strtok_r(NULL, " ", &save))
		field[n++] = f;
	if (n >= 1 && (strcmp(field[0], "Fail") == 0 || strcmp(field[0], "Error") == 0)) {
		*ret = (struct pool_status){.mode = POOL_FAIL};
		return 0;
	}
	/* More used than there is would pass every limit. */
	if (n < 5 || !pair(field[1], &s.meta_used, &s.meta_total) ||
		!pair(field[2], &s.data_used, &s.data_total) || s.meta_used > s.meta_total ||
		s.data_used > s.data_total)
		return err_set(e, ERR_POOL, -EBADMSG, "unknown pool status '%s'", line);
	s.transaction = strtoull(field[0], NULL, 10);
	if (strcmp(field[4], "rw") == 0)
		s.mode = POOL_RW;
	else if (strcmp(field[4], "out_of_data_space") == 0)
		s.mode = POOL_OUT_OF_DATA;
	else
		s.mode = POOL_RO;
	s.error_if_no_space = n > 6 && strcmp(field[6], "error_if_no_space") == 0;
	s.needs_check = n > 7 && strcmp(field[7], "needs_check") == 0;
	s.meta_low_water = n > 8 ? strtoull(field[8], NULL, 10) : 0;
	*ret = s;
	return 0;
}

int pool_status(const struct pool *p, struct pool_status *ret, struct err *e)
{
	char line[512];
	int r = dmdev_status(p->name, line, sizeof(line), e);

	return r < 0 ? r : pool_status_parse(line, ret, e);
}

int pool_guard(const struct pool *p, struct err *e)
{
	struct pool_status s;
	int r = pool_status(p, &s, e);

	if (r < 0)
		return r;
	if (s.needs_check)
		return err_set(
			e, ERR_POOL, -EROFS, "pool '%s' needs a check (needs_check)", p->name);
	if (s.mode != POOL_RW)
		return err_set(e, ERR_POOL, -EROFS, "pool '%s' is %s", p->name,
			s.mode == POOL_RO            ? "read-only"
			: s.mode == POOL_OUT_OF_DATA ? "out of data space"
						     : "failed");
	uint64_t free_data = s.data_total - s.data_used, free_meta = s.meta_total - s.meta_used;
	if (free_data * 100 < s.data_total * p->limits.min_free_data)
		return err_set(e, ERR_POOL, -ENOSPC,
			"pool '%s' has only %" PRIu64 " of %" PRIu64
			" data blocks free, %u %% are wanted (pool_min_free_data)",
			p->name, free_data, s.data_total, p->limits.min_free_data);
	if (free_meta * 100 < s.meta_total * p->limits.min_free_metadata)
		return err_set(e, ERR_POOL, -ENOSPC,
			"pool '%s' has only %" PRIu64 " of %" PRIu64
			" metadata blocks free, %u %% are wanted (pool_min_free_metadata)",
			p->name, free_meta, s.meta_total, p->limits.min_free_metadata);
	return 0;
}

bool pool_parse_table(
	const char *name, const struct dmdev_info *i, const char *params, struct pool *ret)
{
	unsigned dmaj, dmin;

	*ret = (struct pool){.major = i->major, .minor = i->minor};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	return sscanf(params, "%u:%u %u:%u %" SCNu32 " %" SCNu64, &ret->meta_major,
		       &ret->meta_minor, &dmaj, &dmin, &ret->block_sectors,
		       &ret->low_water_blocks) == 6;
}

struct find {
	const struct pool_ref *ref;
	struct pool *ret;
	unsigned major, minor; /* of the pool a thin device of the engine names; 0: none seen */
};

/* Is the pool's metadata on a loop device over this file? */
static bool is_loop_over(unsigned major, unsigned minor, const char *path)
{
	char sys[96], line[4096];
	struct stat a, b;

	(void)snprintf(sys, sizeof(sys), "/sys/dev/block/%u:%u/loop/backing_file", major, minor);
	AUTO_FCLOSE FILE *f = fopen(sys, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return false;
	line[strcspn(line, "\n")] = '\0';
	return stat(line, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static int find_pool(void *arg, const char *name, const struct dmdev_info *i,
	const struct dmdev_target *t, struct err *e)
{
	struct find *f = arg;
	struct pool p;

	(void)e;
	if (strcmp(t->type, "thin-pool") != 0 || !pool_parse_table(name, i, t->params, &p))
		return 0;
	if (f->major) {
		if (i->major != f->major || i->minor != f->minor)
			return 0;
	} else if (f->ref->is_loop) {
		if (!is_loop_over(p.meta_major, p.meta_minor, f->ref->metadata_path))
			return 0;
	} else if (!f->ref->dm_name || strcmp(name, f->ref->dm_name) != 0) {
		return 0;
	}
	*f->ret = p;
	return 1;
}

/* Any device of the engine will do: its names differ only behind the last hyphen. */
static bool is_engine_device(const char *name, const char *expected)
{
	const char *hyphen = strrchr(expected, '-');
	size_t prefix = hyphen ? (size_t)(hyphen - expected) + 1 : strlen(expected) + 1;

	return strncmp(name, expected, prefix) == 0;
}

static int find_device(void *arg, const char *name, const struct dmdev_info *i,
	const struct dmdev_target *t, struct err *e)
{
	struct find *f = arg;

	(void)i;
	(void)e;
	if (strcmp(t->type, "thin") != 0 || !is_engine_device(name, f->ref->device_name))
		return 0;
	return sscanf(t->params, "%u:%u", &f->major, &f->minor) == 2;
}

int pool_find(const struct pool_ref *ref, struct pool *ret, struct err *e)
{
	struct find f = {.ref = ref, .ret = ret};
	int r = ref->device_name ? dmdev_each(find_device, &f, e) : 0;

	if (r >= 0)
		r = dmdev_each(find_pool, &f, e);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(e, ERR_STORE, -ENOENT, "pool '%s' is not active",
			ref->dm_name ? ref->dm_name : "?");
	return 0;
}

struct thin_search {
	const struct pool *pool;
	uint32_t id;
	char (*names)[DM_NAME_MAX];
	int max, count;
};

static int match_thin(void *arg, const char *name, const struct dmdev_info *i,
	const struct dmdev_target *t, struct err *e)
{
	struct thin_search *s = arg;
	unsigned major, minor;
	uint32_t id;

	(void)i;
	if (strcmp(t->type, "thin") != 0 ||
		sscanf(t->params, "%u:%u %" SCNu32, &major, &minor, &id) != 3 ||
		major != s->pool->major || minor != s->pool->minor || id != s->id)
		return 0;
	if (s->count == s->max)
		return err_set(e, ERR_POOL, -E2BIG, "thin %" PRIu32 " is active under %d names", id,
			s->max + 1);
	(void)snprintf(s->names[s->count++], DM_NAME_MAX, "%s", name);
	return 0;
}

int pool_find_thin(
	const struct pool *p, uint32_t id, char names[][DM_NAME_MAX], int max, struct err *e)
{
	struct thin_search s = {.pool = p, .id = id, .names = names, .max = max};
	int r = dmdev_each(match_thin, &s, e);

	return r < 0 ? r : s.count;
}

int pool_thin_mapped(const char *name, uint64_t *ret_bytes, struct err *e)
{
	char line[128];
	uint64_t sectors;
	int r = dmdev_status(name, line, sizeof(line), e);

	if (r < 0)
		return r;
	if (sscanf(line, "%" SCNu64, &sectors) != 1)
		return err_set(e, ERR_POOL, -EIO, "thin device '%s': status '%s'", name, line);
	*ret_bytes = sectors * 512;
	return 0;
}

static int drop_probe(void *arg, const char *name, struct err *e)
{
	const char *const prefix = arg;
	const size_t len = strlen(prefix);

	if (strncmp(name, prefix, len) != 0)
		return 0;
	const pid_t owner = (pid_t)strtol(name + len, NULL, 10);
	if (owner != getpid() && (kill(owner, 0) == 0 || errno != ESRCH))
		return 0;
	return dmdev_remove(name, e);
}

int pool_drop_probes(struct err *e)
{
	char prefix[] = PROBE;

	return dmdev_each_name(drop_probe, prefix, e);
}

int pool_has_id(const struct pool *p, uint32_t id, struct err *e)
{
	char name[DM_NAME_MAX], params[64];
	struct err mine = {0};
	const struct dmdev_target t = {.length_sectors = 8, .type = "thin", .params = params};

	(void)snprintf(name, sizeof(name), PROBE "%u-%" PRIx32, (unsigned)getpid(), id);
	(void)snprintf(params, sizeof(params), "%u:%u %" PRIu32, p->major, p->minor, id);
	int r = dmdev_probe(name, &t, &mine);
	if (r == -ENODATA)
		return 0;
	if (r < 0)
		*e = mine;
	return r < 0 ? r : 1;
}
