/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's devicemapper storage driver, 1.6 to 24, read from its data root alone: no daemon is
 * asked, so a stopped or broken one serves as well.  Below the data root nothing is reached
 * through a symbolic link: the folder may be a salvaged one that somebody else prepared.
 */
#include "store.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "foreign.h"
#include "docker_record.h"
#include "docker_root.h"
#include "json.h"
#include "scope.h"

static void root_done(struct docker_root *r)
{
	free(r->path);
	if (r->fd >= 0)
		(void)close(r->fd);
	free(r->pool.dm_name);
	free(r->pool.data_path);
	free(r->pool.metadata_path);
}
#define AUTO_ROOT __attribute__((cleanup(root_done))) struct docker_root

struct names {
	struct dirent **items;
	int count;
};

static void names_done(struct names *n)
{
	for (int i = 0; i < n->count; i++)
		free(n->items[i]);
	free(n->items);
}
#define AUTO_NAMES __attribute__((cleanup(names_done))) struct names

int docker_read(const struct docker_root *r, const char *path, size_t max, char name[PATH_MAX],
	char **ret, size_t *ret_len, struct err *e)
{
	AUTO_CLOSE int fd = foreign_open(r->fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);

	(void)snprintf(name, PATH_MAX, "%s/%s", r->path, path);
	if (fd < 0)
		return err_sys(e, ERR_STORE, fd, "%s", name);
	return foreign_read(fd, name, max, ret, ret_len, e);
}

int docker_no_memory(struct err *e)
{
	return err_sys(e, ERR_FATAL, -ENOMEM, "docker");
}

int docker_copy(const char *s, char **ret, struct err *e)
{
	*ret = s ? strdup(s) : NULL;
	return s && !*ret ? docker_no_memory(e) : 0;
}

void docker_note(const struct docker_root *r, const char *name, const char *text)
{
	char safe[4 * NAME_MAX + 1];

	(void)str_escape(name, strlen(name), safe, sizeof(safe));
	strbuf_printf(r->notes, "%s/%s: %s\n", r->path, safe, text);
}

/* Which device record is the container's: hash. */
static int find_hash(
	const struct docker_root *r, const char *id, char hash[DOCKER_HASH_CAP], struct err *e)
{
	char path[160], name[PATH_MAX];
	AUTO_FREE char *text = NULL;
	size_t len;
	int ret;

	(void)snprintf(path, sizeof(path), "image/devicemapper/layerdb/mounts/%s/mount-id", id);
	ret = docker_read(r, path, DOCKER_RECORD_MAX, name, &text, &len, e);
	if (ret == -ENOENT) {
		/* Before 1.10 there was no layer database: the record is called as the container.
		 */
		(void)snprintf(hash, DOCKER_HASH_CAP, "%s", id);
		return 0;
	}
	if (ret < 0)
		return ret;
	if (!docker_parse_mount_id(text, len, hash))
		return err_set(e, ERR_STORE, -EBADMSG, "%s: not a mount id", name);
	return 0;
}

static int fill_device(const struct docker_root *r, struct container *c, struct err *e)
{
	char hash[DOCKER_HASH_CAP], path[128], name[PATH_MAX];
	struct docker_device dev;
	AUTO_FREE char *text = NULL;
	size_t len;
	int ret = find_hash(r, c->id, hash, e);

	if (ret < 0)
		return ret;
	if (asprintf(&c->pool.device_name, "%s-%s", r->prefix, hash) < 0) {
		c->pool.device_name = NULL;
		return docker_no_memory(e);
	}
	(void)snprintf(path, sizeof(path), "devicemapper/metadata/%s", hash);
	ret = docker_read(r, path, DOCKER_RECORD_MAX, name, &text, &len, e);
	if (ret < 0)
		return ret;
	ret = docker_parse_device(text, len, name, &dev, e);
	if (ret < 0)
		return ret;
	if (dev.deleted)
		return err_set(e, ERR_STORE, -ESTALE, "%s: device is marked deleted", name);
	c->thin_id = dev.device_id;
	c->size_bytes = dev.size_bytes;
	return 0;
}

static int fill_config(
	const struct docker_root *r, struct container *c, char **ret_driver, struct err *e)
{
	char path[128], name[PATH_MAX];
	AUTO_FREE char *text = NULL;
	struct err old;
	size_t len;
	int ret;

	(void)snprintf(path, sizeof(path), "containers/%s/config.v2.json", c->id);
	ret = docker_read(r, path, JSON_FILE_MAX, name, &text, &len, e);
	if (ret == -ENOENT) {
		/* The message keeps naming the newer file unless the older one is there. */
		(void)snprintf(path, sizeof(path), "containers/%s/config.json", c->id);
		ret = docker_read(r, path, JSON_FILE_MAX, name, &text, &len, &old);
		if (ret < 0 && ret != -ENOENT)
			*e = old;
	}
	if (ret < 0)
		return ret;
	return docker_parse_config(text, len, name, c, ret_driver, e);
}

/* Only passed through to the archive: a broken one is no reason to go without an archive. */
static int fill_hostconfig(const struct docker_root *r, struct container *c, struct err *e)
{
	char path[128], name[PATH_MAX];
	AUTO_FREE char *text = NULL;
	size_t len;
	int ret;

	(void)snprintf(path, sizeof(path), "containers/%s/hostconfig.json", c->id);
	ret = docker_read(r, path, JSON_FILE_MAX, name, &text, &len, e);
	if (ret == -ENOENT)
		return 0;
	if (ret == 0)
		ret = docker_parse_hostconfig(text, len, name, e);
	if (ret < 0 && e->kind == ERR_FATAL)
		return ret;
	if (ret < 0)
		strbuf_printf(r->notes, "%s; archived without it\n", e->text);
	else
		c->hostconfig_json = TAKE_PTR(text);
	return 0;
}

static int fill_names(const struct docker_root *r, struct container *c, struct err *e)
{
	int ret = docker_copy(r->cfg->name, &c->store, e);

	if (ret == 0 && !c->name && !(c->name = strndup(c->id, 12)))
		ret = docker_no_memory(e);
	if (ret == 0)
		ret = docker_copy("rootfs", &c->subdir, e);
	if (ret == 0)
		ret = docker_copy(r->pool.dm_name, &c->pool.dm_name, e);
	if (ret == 0)
		ret = docker_copy(r->pool.data_path, &c->pool.data_path, e);
	if (ret == 0)
		ret = docker_copy(r->pool.metadata_path, &c->pool.metadata_path, e);
	c->pool.is_loop = r->pool.is_loop;
	return ret;
}

/* A failure of the container becomes its problem; only running out of memory is passed on. */
static int problem(struct container *c, int ret, struct err *e)
{
	if (ret == 0 || e->kind == ERR_FATAL)
		return ret;
	return c->problem ? 0 : docker_copy(e->text, &c->problem, e);
}

/* Fills c, whose id is set.  *ret_skip: it is no container of this driver, or it is gone. */
static int fill(const struct docker_root *r, struct container *c, bool *ret_skip, struct err *e)
{
	AUTO_FREE char *driver = NULL;
	char path[80];
	struct stat st;
	int ret = fill_config(r, c, &driver, e);

	(void)snprintf(path, sizeof(path), "containers/%s", c->id);
	/* "docker rm" may have been at work since the folder was read. */
	if (ret == -ENOENT && fstatat(r->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		errno == ENOENT) {
		docker_note(r, path, "skipped: removed meanwhile");
		*ret_skip = true;
		return 0;
	}
	if (driver && strcmp(driver, "devicemapper") != 0) {
		char text[128], safe[64];

		(void)str_escape(driver, strlen(driver), safe, sizeof(safe));
		(void)snprintf(text, sizeof(text), "skipped: its storage driver is '%s'", safe);
		docker_note(r, path, text);
		*ret_skip = true;
		return 0;
	}
	ret = problem(c, ret, e);
	if (ret == 0)
		ret = problem(c, fill_device(r, c, e), e);
	if (ret == 0 && c->config_json)
		ret = fill_hostconfig(r, c, e);
	return ret < 0 ? ret : fill_names(r, c, e);
}

static int is_entry(const struct dirent *d)
{
	return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

static int list_containers(const struct docker_root *r, void *arg, struct err *e)
{
	struct container_list *list = arg;
	AUTO_CLOSE int dir = foreign_open(r->fd, "containers", O_RDONLY | O_DIRECTORY);
	AUTO_NAMES names = {0};

	if (dir == -ENOENT) {
		docker_note(r, "containers", "missing: no containers");
		return 0;
	}
	if (dir < 0)
		return err_sys(e, ERR_STORE, dir, "%s/containers", r->path);
	names.count = scandirat(dir, ".", &names.items, is_entry, alphasort);
	if (names.count < 0)
		return err_sys(e, ERR_STORE, -errno, "%s/containers", r->path);
	for (int i = 0; i < names.count; i++) {
		struct container *c;
		bool skip = false;
		int ret;

		if (!docker_is_id(names.items[i]->d_name)) {
			char path[NAME_MAX + 16];

			(void)snprintf(path, sizeof(path), "containers/%s", names.items[i]->d_name);
			docker_note(r, path, "ignored: not the id of a container");
			continue;
		}
		c = container_list_add(list);
		ret = c ? docker_copy(names.items[i]->d_name, &c->id, e) : docker_no_memory(e);
		if (ret == 0)
			ret = fill(r, c, &skip, e);
		/* A half-filled one would be archived with the wrong folder. */
		if (c && (ret < 0 || skip)) {
			container_done(c);
			list->count--;
		}
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* One data root.  -ENOENT when the driver was never used there. */
static int visit_root(struct docker_root *r, docker_root_fn *fn, void *arg, struct err *e)
{
	AUTO_CLOSE int dir = foreign_open(r->fd, "devicemapper", O_RDONLY | O_DIRECTORY);
	struct stat st;
	int ret;

	if (dir < 0)
		return err_sys(e, ERR_STORE, dir, "%s/devicemapper", r->path);
	if (fstat(dir, &st) < 0)
		return err_sys(e, ERR_STORE, -errno, "%s/devicemapper", r->path);
	/* Docker's formula, not the C library's. */
	(void)snprintf(r->prefix, sizeof(r->prefix), "docker-%llu:%llu-%llu",
		((unsigned long long)st.st_dev >> 8) & 0xfff,
		((unsigned long long)st.st_dev & 0xff) |
			(((unsigned long long)st.st_dev >> 12) & 0xfff00),
		(unsigned long long)st.st_ino);
	ret = docker_find_pool(r, e);
	return ret < 0 ? ret : fn(r, arg, e);
}

/* "UID.GID" */
static bool is_userns(const char *s)
{
	size_t uid = strspn(s, "0123456789"), gid;

	if (!uid || s[uid] != '.')
		return false;
	gid = strspn(s + uid + 1, "0123456789");
	return gid && !s[uid + 1 + gid];
}

/* The user namespace roots below top; *ret_found counts them. */
static int visit_userns(const struct docker_root *top, docker_root_fn *fn, void *arg,
	size_t *ret_found, struct err *e)
{
	AUTO_NAMES names = {0};

	names.count = scandirat(top->fd, ".", &names.items, is_entry, alphasort);
	if (names.count < 0)
		return err_sys(e, ERR_STORE, -errno, "%s", top->path);
	for (int i = 0; i < names.count; i++) {
		const char *name = names.items[i]->d_name;
		AUTO_ROOT r = {.cfg = top->cfg, .fd = -1, .notes = top->notes};
		int ret;

		if (!is_userns(name))
			continue;
		r.fd = foreign_open(top->fd, name, O_RDONLY | O_DIRECTORY);
		if (asprintf(&r.path, "%s/%s", top->path, name) < 0) {
			r.path = NULL;
			return docker_no_memory(e);
		}
		if (r.fd < 0) {
			docker_note(top, name, "ignored: cannot be opened as a folder");
			continue;
		}
		ret = visit_root(&r, fn, arg, e);
		if (ret == -ENOENT && !r.prefix[0])
			continue;
		if (ret < 0)
			return ret;
		docker_note(top, name, "read as a data root with a user namespace");
		++*ret_found;
	}
	return 0;
}

int docker_each_root(const struct cfg_store *cfg, docker_root_fn *fn, void *arg,
	struct strbuf *notes, struct err *e)
{
	AUTO_ROOT top = {.cfg = cfg, .fd = -1, .notes = notes};
	struct err ignored, *why = e ? e : &ignored;
	size_t userns = 0;
	int ret, first;

	if (!cfg->root)
		return err_set(e, ERR_STORE, -EINVAL, "docker: no root is configured");
	/* The root itself may be a link; canonical, its loop files compare with the kernel's names.
	 */
	top.path = realpath(cfg->root, NULL);
	if (!top.path)
		return err_sys(e, ERR_STORE, -errno, "%s", cfg->root);
	top.fd = open(top.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top.fd < 0)
		return err_sys(e, ERR_STORE, -errno, "%s", cfg->root);
	first = visit_root(&top, fn, arg, why);
	/* With a prefix the driver's folder is there, and something else was missing. */
	if (first < 0 && (first != -ENOENT || top.prefix[0]))
		return first;
	ret = visit_userns(&top, fn, arg, &userns, why);
	if (ret < 0)
		return ret;
	if (first < 0 && !userns)
		return err_set(e, ERR_STORE, -ENOENT,
			"%s: not the data root of a Docker with the devicemapper driver",
			cfg->root);
	return notes->failed ? docker_no_memory(e) : 0;
}

static int docker_list(const struct cfg_store *cfg, struct container_list *list,
	struct strbuf *notes, struct err *e)
{
	return docker_each_root(cfg, list_containers, list, notes, e);
}

const struct store_ops store_docker = {
	.type = "docker",
	.help = "Docker 1.6 to 24 with the devicemapper storage driver; root: its data root",
	.list = docker_list,
	.records = docker_records,
};
