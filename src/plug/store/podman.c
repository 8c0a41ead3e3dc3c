/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Podman, Buildah and CRI-O on the devicemapper driver of containers/storage, read from its folder
 * alone.  Its devices are recorded as Docker's are.  Below the folder nothing is reached through a
 * symbolic link: it may be a salvaged one that somebody else prepared.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "bolt.h"
#include "docker_record.h"
#include "foreign.h"
#include "json.h"
#include "podman_record.h"
#include "scope.h"

#define CONTAINERS "devicemapper-containers"
#define LIBPOD_DB "libpod/bolt_state.db"
#define DIRECT_LVM "storage-thinpool" /* the pool that the driver makes */
#define RECORD_MAX (1u << 20)

struct root {
	const struct cfg_store *cfg;
	struct strbuf *notes;
	int fd;
	char prefix[96]; /* of device names */
	char pool[128];
};

static int no_memory(struct err *e)
{
	return err_sys(e, ERR_FATAL, -ENOMEM, "podman");
}

static int read_file(const struct root *r, const char *path, size_t max, char name[PATH_MAX],
	char **ret, size_t *ret_len, struct err *e)
{
	AUTO_CLOSE int fd = foreign_open(r->fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);

	(void)snprintf(name, PATH_MAX, "%s/%s", r->cfg->graphroot, path);
	if (fd < 0)
		return err_sys(e, ERR_STORE, fd, "%s", name);
	return foreign_read(fd, name, max, ret, ret_len, e);
}

/* A pool over loop files is called after the folder, as the devices are. */
static int find_pool(struct root *r, struct err *e)
{
	AUTO_CLOSE int dir = foreign_open(r->fd, "devicemapper", O_RDONLY | O_DIRECTORY);
	struct stat st;
	int n;

	if (dir == -ENOENT)
		return err_set(e, ERR_STORE, -ENOENT,
			"%s: not the root of containers/storage with the devicemapper driver",
			r->cfg->graphroot);
	if (dir < 0 || fstat(dir, &st) < 0)
		return err_sys(
			e, ERR_STORE, dir < 0 ? dir : -errno, "%s/devicemapper", r->cfg->graphroot);
	/* The driver's formula, not the C library's. */
	(void)snprintf(r->prefix, sizeof(r->prefix), "container-%llu:%llu-%llu",
		((unsigned long long)st.st_dev >> 8) & 0xfff,
		((unsigned long long)st.st_dev & 0xff) |
			(((unsigned long long)st.st_dev >> 12) & 0xfff00),
		(unsigned long long)st.st_ino);
	AUTO_CLOSE int loop = foreign_open(dir, "devicemapper/data", O_PATH);
	if (r->cfg->pool && *r->cfg->pool)
		n = snprintf(r->pool, sizeof(r->pool), "%s", r->cfg->pool);
	else
		n = snprintf(
			r->pool, sizeof(r->pool), loop >= 0 ? "%s-pool" : DIRECT_LVM, r->prefix);
	return n < (int)sizeof(r->pool)
		       ? 0
		       : err_set(e, ERR_STORE, -EINVAL, "pool '%s': the name is too long", r->pool);
}

static int fill_device(const struct root *r, struct container *c, struct err *e)
{
	const char *layer = strrchr(c->pool.device_name, '-') + 1;
	char path[128], name[PATH_MAX];
	AUTO_FREE char *text = NULL;
	struct docker_device dev;
	size_t len;

	(void)snprintf(path, sizeof(path), "devicemapper/metadata/%s", layer);
	int ret = read_file(r, path, RECORD_MAX, name, &text, &len, e);
	if (ret == 0)
		ret = docker_parse_device(text, len, name, &dev, e);
	if (ret == 0 && dev.deleted)
		ret = err_set(e, ERR_STORE, -ESTALE, "%s: device is marked deleted", name);
	if (ret < 0)
		return ret;
	c->thin_id = dev.device_id;
	c->size_bytes = dev.size_bytes;
	return 0;
}

/* The runtime's own configuration, if it was ever started; only passed through. */
static int fill_spec(const struct root *r, struct container *c, struct err *e)
{
	char path[160], name[PATH_MAX];
	struct err mine = {0};
	size_t len;

	(void)snprintf(path, sizeof(path), CONTAINERS "/%s/userdata/config.json", c->id);
	int ret = read_file(r, path, JSON_FILE_MAX, name, &c->hostconfig_json, &len, &mine);
	if (ret < 0 && mine.kind == ERR_FATAL) {
		*e = mine;
		return ret;
	}
	if (ret < 0 && ret != -ENOENT)
		strbuf_printf(r->notes, "%s; archived without it\n", mine.text);
	return 0;
}

static int fill(const struct root *r, struct container *c, struct err *e)
{
	struct err mine = {0};
	int ret = c->problem ? 0 : fill_device(r, c, &mine);

	if (ret < 0 && mine.kind == ERR_FATAL) {
		*e = mine;
		return ret;
	}
	c->pool.dm_name = strdup(r->pool);
	if (ret < 0)
		c->problem = strdup(mine.text);
	if (!c->pool.dm_name || (ret < 0 && !c->problem))
		return no_memory(e);
	return c->problem ? 0 : fill_spec(r, c, e);
}

/* CRI-O has no such database, nor has a Podman on SQLite: then states are not known. */
static int fill_states(const struct root *r, struct container *items, size_t count, struct err *e)
{
	AUTO_CLOSE int fd = foreign_open(r->fd, LIBPOD_DB, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	AUTO_BOLT db = {0};
	struct err mine = {0};
	char name[PATH_MAX];

	if (fd == -ENOENT)
		return 0;
	(void)snprintf(name, sizeof(name), "%s/" LIBPOD_DB, r->cfg->graphroot);
	int ret = fd < 0 ? err_sys(&mine, ERR_STORE, fd, "%s", name)
			 : bolt_read(fd, name, &db, &mine);
	for (size_t i = 0; ret == 0 && i < count; i++) {
		ret = items[i].problem ? 0 : podman_parse_state(&db, &items[i], &mine);
		ret = ret > 0 ? 0 : ret;
	}
	if (ret < 0 && mine.kind == ERR_FATAL) {
		*e = mine;
		return ret;
	}
	if (ret < 0)
		strbuf_printf(r->notes, "%s; states are not known\n", mine.text);
	return 0;
}

static int list_root(struct root *r, struct container_list *list, struct err *e)
{
	const size_t first = list->count;
	char name[PATH_MAX];
	AUTO_FREE char *text = NULL;
	size_t len;
	int ret = find_pool(r, e);

	if (ret == 0)
		ret = read_file(
			r, CONTAINERS "/containers.json", JSON_FILE_MAX, name, &text, &len, e);
	if (ret == 0)
		ret = podman_parse(text, len, name, r->cfg->name, r->prefix, list, e);
	for (size_t i = first; ret == 0 && i < list->count; i++)
		ret = fill(r, &list->items[i], e);
	if (ret == 0)
		ret = fill_states(r, &list->items[first], list->count - first, e);
	return ret == 0 && r->notes->failed ? no_memory(e) : ret;
}

static int podman_list(const struct cfg_store *cfg, struct container_list *list,
	struct strbuf *notes, struct err *e)
{
	AUTO_CLOSE int fd = open(cfg->graphroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct root r = {.cfg = cfg, .notes = notes, .fd = fd};
	struct err ignored;

	if (fd < 0)
		return err_sys(e, ERR_STORE, -errno, "%s", cfg->graphroot);
	return list_root(&r, list, e ? e : &ignored);
}

/* HASH or base; other files there are temporary or about the pool as a whole. */
static int is_record(const struct dirent *d)
{
	return docker_is_id(d->d_name) || strcmp(d->d_name, "base") == 0;
}

static int visit_record(const struct root *r, const struct pool_ref *pool, const char *file,
	store_record_fn *fn, void *arg, struct err *e)
{
	char path[NAME_MAX + 32], name[PATH_MAX];
	AUTO_FREE char *text = NULL;
	struct docker_device dev = {0};
	struct err why = {0};
	size_t len;

	(void)snprintf(path, sizeof(path), "devicemapper/metadata/%s", file);
	int ret = read_file(r, path, RECORD_MAX, name, &text, &len, &why);
	if (ret == 0)
		ret = docker_parse_device(text, len, name, &dev, &why);
	if (ret < 0 && why.kind == ERR_FATAL) {
		*e = why;
		return ret;
	}
	const struct store_record record = {.pool = pool,
		.name = file,
		.thin_id = dev.device_id,
		.size_bytes = dev.size_bytes,
		.is_deleted = dev.deleted,
		.problem = ret < 0 ? why.text : NULL};
	return fn(arg, &record, e);
}

static int visit_records(const struct root *r, const struct pool_ref *pool, store_record_fn *fn,
	void *arg, struct err *e)
{
	AUTO_CLOSE int dir = foreign_open(r->fd, "devicemapper/metadata", O_RDONLY | O_DIRECTORY);
	const struct store_record alone = {.pool = pool};
	struct dirent **names = NULL;
	int ret = fn(arg, &alone, e);
	int count = dir < 0 || ret < 0 ? 0 : scandirat(dir, ".", &names, is_record, alphasort);

	for (int i = 0; i < count; i++) {
		if (ret == 0)
			ret = visit_record(r, pool, names[i]->d_name, fn, arg, e);
		free(names[i]);
	}
	free(names);
	return ret;
}

static int podman_records(const struct cfg_store *cfg, store_record_fn *fn, void *arg,
	struct strbuf *notes, struct err *e)
{
	AUTO_CLOSE int fd = open(cfg->graphroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct root r = {.cfg = cfg, .notes = notes, .fd = fd};
	char data[PATH_MAX], metadata[PATH_MAX];
	struct pool_ref pool = {.dm_name = r.pool, .is_loop = true};

	if (fd < 0)
		return err_sys(e, ERR_STORE, -errno, "%s", cfg->graphroot);
	int ret = find_pool(&r, e);
	if (ret < 0)
		return ret;
	AUTO_CLOSE int loop = foreign_open(fd, "devicemapper/devicemapper/metadata", O_PATH);
	(void)snprintf(data, sizeof(data), "%s/devicemapper/devicemapper/data", cfg->graphroot);
	(void)snprintf(metadata, sizeof(metadata), "%s/devicemapper/devicemapper/metadata",
		cfg->graphroot);
	pool.data_path = loop < 0 ? NULL : data;
	pool.metadata_path = loop < 0 ? NULL : metadata;
	return visit_records(&r, &pool, fn, arg, e);
}

const struct store_ops store_podman = {
	.type = "podman",
	.help = "Podman to 5.0 and CRI-O with the devicemapper driver; graphroot: its root",
	.list = podman_list,
	.records = podman_records,
};
