/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's devmapper snapshotter, 1.3 to 2.x, read from its root alone: no daemon is asked, so
 * a stopped or broken one serves as well.  Below the root nothing is reached through a symbolic
 * link: the folder may be a salvaged one that somebody else prepared.
 */
#include "store.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "foreign.h"
#include "clock.h"
#include "containerd_record.h"
#include "scope.h"

#define CONFIG_FILE "/etc/containerd/config.toml"
#define CONFIG_MAX (1u << 20)
#define DEFAULT_ROOT "/var/lib/containerd"
#define META_DB "io.containerd.metadata.v1.bolt/meta.db"
#define SNAPSHOTTER "io.containerd.snapshotter.v1.devmapper"
#define READ_TRIES 3

struct root {
	const struct cfg_store *cfg;
	struct strbuf *notes;
	int fd;         /* of the root */
	int devices;    /* of the snapshotter's folder */
	char *path;     /* of the snapshotter's folder, for messages */
	char pool[128]; /* dm name */
};

static void root_done(struct root *r)
{
	free(r->path);
	if (r->fd >= 0)
		(void)close(r->fd);
	if (r->devices >= 0)
		(void)close(r->devices);
}
#define AUTO_ROOT __attribute__((cleanup(root_done))) struct root

static void db_done(struct containerd_db *db)
{
	bolt_done(&db->meta);
	bolt_done(&db->snapshots);
	bolt_done(&db->devices);
}

static bool is_same_folder(const char *a, const char *b)
{
	struct stat one, other;

	return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
	       one.st_ino == other.st_ino;
}

/* The engine's configuration, when it is the one of this root. */
static int read_config(const struct root *r, struct containerd_config *ret, struct err *e)
{
	AUTO_CLOSE int fd = open(CONFIG_FILE, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	AUTO_FREE char *text = NULL;
	size_t len;
	int err;

	if (fd < 0 && errno == ENOENT)
		return 0;
	err = fd < 0 ? err_sys(e, ERR_STORE, -errno, CONFIG_FILE)
		     : foreign_read(fd, CONFIG_FILE, CONFIG_MAX, &text, &len, e);
	if (err == 0)
		err = containerd_parse_config(text, len, CONFIG_FILE, ret, e);
	if (err < 0 && e->kind == ERR_FATAL)
		return err;
	if (err < 0)
		strbuf_printf(r->notes, "%s; read without it\n", e->text);
	if (err < 0 || !is_same_folder(ret->root ? ret->root : DEFAULT_ROOT, r->cfg->root))
		containerd_config_done(ret);
	return 0;
}

static int open_folder(struct root *r, const char *root_path, struct err *e)
{
	r->path = root_path ? strdup(root_path) : NULL;
	if (!root_path && asprintf(&r->path, "%s/" SNAPSHOTTER, r->cfg->root) < 0)
		r->path = NULL;
	if (!r->path)
		return err_sys(e, ERR_FATAL, -ENOMEM, "containerd");
	r->devices = root_path ? open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			       : foreign_open(r->fd, SNAPSHOTTER, O_RDONLY | O_DIRECTORY);
	if (r->devices >= 0)
		return 0;
	int code = root_path ? -errno : r->devices;
	if (code == -ENOENT)
		return err_set(e, ERR_STORE, code,
			"%s: not the root of a containerd with the devmapper snapshotter",
			r->cfg->root);
	return err_sys(e, ERR_STORE, code, "%s", r->path);
}

/* A pool's database is called after it, so the only one tells. */
static int guess_pool(struct root *r, struct err *e)
{
	AUTO_CLOSE int fd = openat(r->devices, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_DIR DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *d;
	size_t found = 0;

	if (!dir)
		return err_sys(e, ERR_STORE, -errno, "%s", r->path);
	fd = -1; /* the stream's */
	while ((d = readdir(dir))) {
		size_t len = containerd_pool_db(d->d_name);

		if (len)
			found++;
		if (len)
			(void)snprintf(r->pool, sizeof(r->pool), "%.*s", (int)len, d->d_name);
	}
	if (found == 1)
		return 0;
	return err_set(e, ERR_STORE, found ? -ENOTUNIQ : -ENOENT,
		"%s: %s database of a pool there; name the pool with the store's key 'pool'",
		r->path, found ? "more than one" : "no");
}

static int find_pool(struct root *r, struct err *e)
{
	__attribute__((cleanup(containerd_config_done))) struct containerd_config c = {0};
	int ret = read_config(r, &c, e);
	const char *pool = r->cfg->pool && *r->cfg->pool ? r->cfg->pool : c.pool_name;

	if (ret == 0)
		ret = open_folder(r, c.root_path, e);
	if (ret < 0)
		return ret;
	if (!pool)
		return guess_pool(r, e);
	if (strlen(pool) >= sizeof(r->pool) || strchr(pool, '/'))
		return err_set(e, ERR_STORE, -EINVAL, "pool '%s' is no name of a device", pool);
	(void)snprintf(r->pool, sizeof(r->pool), "%s", pool);
	return 0;
}

static int read_db(int dirfd, const char *folder, const char *file, struct bolt *ret, struct err *e)
{
	AUTO_CLOSE int fd = foreign_open(dirfd, file, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	char name[PATH_MAX];

	(void)snprintf(name, sizeof(name), "%s/%s", folder, file);
	if (fd < 0)
		return err_sys(e, ERR_STORE, fd, "%s", name);
	return bolt_read(fd, name, ret, e);
}

/*
 * In the order in which containerd takes things out of them: what an earlier one names was in the
 * later ones too, unless it was removed in between.
 */
static int read_all(const struct root *r, struct containerd_db *db, struct err *e)
{
	char file[sizeof(r->pool) + 4];
	int ret = read_db(r->fd, r->cfg->root, META_DB, &db->meta, e);

	(void)snprintf(file, sizeof(file), "%s.db", r->pool);
	if (ret == 0)
		ret = read_db(r->devices, r->path, "metadata.db", &db->snapshots, e);
	return ret < 0 ? ret : read_db(r->devices, r->path, file, &db->devices, e);
}

/* A task has a folder of its own as long as it exists. */
static int fill_state(const struct root *r, struct container *c, struct err *e)
{
	static const char *const runtimes[] = {
		"io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux"};
	bool is_running = false;

	for (size_t i = 0; !c->problem && i < ARRAY_LEN(runtimes); i++) {
		char path[256];

		(void)snprintf(path, sizeof(path), "%s/%s/%s", runtimes[i], c->namespace, c->id);
		AUTO_CLOSE int fd = foreign_open(r->fd, path, O_PATH | O_DIRECTORY);
		is_running |= fd >= 0;
	}
	c->state = strdup(is_running ? "running" : "stopped");
	return c->state ? 0 : err_sys(e, ERR_FATAL, -ENOMEM, "containerd");
}

static void drop_from(struct container_list *list, size_t count)
{
	while (list->count > count)
		container_done(&list->items[--list->count]);
}

static int list_once(const struct root *r, struct container_list *list, struct strbuf *notes,
	bool *ret_torn, struct err *e)
{
	__attribute__((cleanup(db_done))) struct containerd_db db = {
		.pool = r->pool, .store = r->cfg->name};
	int ret = read_all(r, &db, e);

	return ret < 0 ? ret : containerd_parse(&db, list, notes, ret_torn, e);
}

static int containerd_list(const struct cfg_store *cfg, struct container_list *list,
	struct strbuf *notes, struct err *e)
{
	AUTO_ROOT r = {.cfg = cfg, .notes = notes, .fd = -1, .devices = -1};
	struct err ignored, *why = e ? e : &ignored;
	const size_t first = list->count;
	bool is_torn = true;

	/* The root itself may be a link. */
	r.fd = cfg->root ? open(cfg->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (r.fd < 0)
		return err_sys(e, ERR_STORE, cfg->root ? -errno : -EINVAL, "%s",
			cfg->root ? cfg->root : "containerd: root");
	int ret = find_pool(&r, why);
	for (int i = 0; ret == 0 && is_torn && i < READ_TRIES; i++) {
		AUTO_STRBUF mine = {0};

		if (i)
			clock_sleep_ms(100);
		drop_from(list, first);
		ret = list_once(&r, list, &mine, &is_torn, why);
		if (ret == 0 && mine.len && (!is_torn || i + 1 == READ_TRIES))
			strbuf_add(notes, mine.data, mine.len);
	}
	for (size_t i = first; ret == 0 && i < list->count; i++)
		ret = fill_state(&r, &list->items[i], why);
	if (ret == 0 && notes->failed)
		ret = err_sys(why, ERR_FATAL, -ENOMEM, "containerd");
	return ret;
}

struct records {
	store_record_fn *fn;
	void *arg;
	struct pool_ref pool;
};

static int take_record(void *arg, const struct containerd_device *d, struct err *e)
{
	const struct records *v = arg;
	const struct store_record r = {.pool = &v->pool,
		.name = d->name,
		.thin_id = d->thin_id,
		.size_bytes = d->size_bytes,
		.is_deleted = d->is_deleted,
		.problem = d->problem};

	return v->fn(v->arg, &r, e);
}

/* Loop files where containerd's own guide has its readers put them: beside the databases. */
static int find_files(const struct root *r, struct pool_ref *pool, struct err *e)
{
	struct stat data, meta;

	if (fstatat(r->devices, "data", &data, AT_SYMLINK_NOFOLLOW) < 0 ||
		fstatat(r->devices, "meta", &meta, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISREG(data.st_mode) || !S_ISREG(meta.st_mode))
		return 0;
	if (asprintf(&pool->data_path, "%s/data", r->path) < 0)
		pool->data_path = NULL;
	if (asprintf(&pool->metadata_path, "%s/meta", r->path) < 0)
		pool->metadata_path = NULL;
	pool->is_loop = true;
	return pool->data_path && pool->metadata_path
		       ? 0
		       : err_sys(e, ERR_FATAL, -ENOMEM, "containerd");
}

static int containerd_records(const struct cfg_store *cfg, store_record_fn *fn, void *arg,
	struct strbuf *notes, struct err *e)
{
	AUTO_ROOT r = {.cfg = cfg, .notes = notes, .fd = -1, .devices = -1};
	__attribute__((cleanup(db_done))) struct containerd_db db = {.store = cfg->name};
	struct records v = {.fn = fn, .arg = arg};
	const struct store_record alone = {.pool = &v.pool};
	char file[sizeof(r.pool) + 4];

	r.fd = cfg->root ? open(cfg->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (r.fd < 0)
		return err_sys(e, ERR_STORE, cfg->root ? -errno : -EINVAL, "%s",
			cfg->root ? cfg->root : "containerd: root");
	int ret = find_pool(&r, e);
	v.pool.dm_name = r.pool;
	if (ret == 0)
		ret = find_files(&r, &v.pool, e);
	if (ret == 0)
		ret = fn(arg, &alone, e);
	(void)snprintf(file, sizeof(file), "%s.db", r.pool);
	if (ret == 0)
		ret = read_db(r.devices, r.path, file, &db.devices, e);
	if (ret == 0)
		ret = containerd_each_device(&db, take_record, &v, e);
	free(v.pool.data_path);
	free(v.pool.metadata_path);
	return ret;
}

const struct store_ops store_containerd = {
	.type = "containerd",
	.help = "containerd 1.3 to 2.x with the devmapper snapshotter; root: its root",
	.list = containerd_list,
	.records = containerd_records,
};
