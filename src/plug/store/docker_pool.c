/* SPDX-License-Identifier: Apache-2.0 */
/* Which pool is Docker's: the options of its daemon, and what lies in its folder. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "foreign.h"
#include "docker_record.h"
#include "docker_root.h"
#include "json.h"
#include "proc.h"
#include "scope.h"

#define DAEMON_JSON "/etc/docker/daemon.json"
#define STORAGE_SYSCONFIG "/etc/sysconfig/docker-storage" /* RHEL and CentOS 7 */

/* daemon.json speaks for this store only when both mean the same folder. */
static bool is_root_of(const struct cfg_store *cfg, const struct docker_daemon *d)
{
	struct stat ours, theirs;

	return stat(cfg->root, &ours) == 0 &&
	       stat(d->root ? d->root : DOCKER_DEFAULT_ROOT, &theirs) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

static int read_daemon(const struct docker_root *r, struct docker_daemon *d, struct err *e)
{
	AUTO_CLOSE int fd = open(DAEMON_JSON, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	AUTO_FREE char *text = NULL;
	size_t len;
	int ret;

	if (fd < 0 && errno == ENOENT)
		return 0;
	ret = fd < 0 ? err_sys(e, ERR_STORE, -errno, "%s", DAEMON_JSON)
		     : foreign_read(fd, DAEMON_JSON, JSON_FILE_MAX, &text, &len, e);
	if (ret == 0)
		ret = docker_parse_daemon(text, len, DAEMON_JSON, d, e);
	if (ret < 0 && e->kind == ERR_FATAL)
		return ret;
	/* The pool is only guessed from it; the caller checks against the active devices. */
	if (ret < 0)
		strbuf_printf(r->notes, "%s\n", e->text);
	if (ret < 0 || !is_root_of(r->cfg, d))
		docker_daemon_done(d);
	return 0;
}

/* 1 or 0; what cannot be told is an error, since the pool is looked for elsewhere without it. */
static int is_file(const struct docker_root *r, const char *path, struct err *e)
{
	AUTO_CLOSE int fd = foreign_open(r->fd, path, O_PATH);
	struct stat st;

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, ERR_STORE, fd < 0 ? fd : -errno, "%s/%s", r->path, path);
	return S_ISREG(st.st_mode);
}

/* Docker wrote down that it made the LVM pool itself. */
static int has_setup(const struct docker_root *r, bool *ret_made, struct err *e)
{
	char name[PATH_MAX];
	AUTO_FREE char *text = NULL;
	size_t len;
	int ret = docker_read(
		r, "devicemapper/setup-config.json", DOCKER_RECORD_MAX, name, &text, &len, e);

	*ret_made = false;
	if (ret == 0)
		ret = docker_parse_setup(text, len, name, ret_made, e);
	if (ret == 0 || ret == -ENOENT)
		return 0;
	if (e->kind == ERR_FATAL)
		return ret;
	strbuf_printf(r->notes, "%s\n", e->text);
	return 0;
}

static int fill_loop(struct docker_root *r, struct err *e)
{
	static const char data[] = "devicemapper/devicemapper/data";
	static const char metadata[] = "devicemapper/devicemapper/metadata";

	int ret = is_file(r, data, e);
	if (ret > 0)
		ret = is_file(r, metadata, e);
	if (ret <= 0)
		return ret;
	if (asprintf(&r->pool.data_path, "%s/%s", r->path, data) < 0) {
		r->pool.data_path = NULL;
		return docker_no_memory(e);
	}
	if (asprintf(&r->pool.metadata_path, "%s/%s", r->path, metadata) < 0) {
		r->pool.metadata_path = NULL;
		return docker_no_memory(e);
	}
	r->pool.is_loop = true;
	return 0;
}

/* The pool as an option of the daemon that runs, or of the file its unit takes options from. */
static bool find_option(const struct docker_root *r, char out[128])
{
	static const char key[] = "dm.thinpooldev=";
	char text[8192];
	size_t len = 0;

	if (strcmp(r->cfg->root, DOCKER_DEFAULT_ROOT) != 0)
		return false;
	if (proc_find_docker(text, sizeof(text), &len) &&
		docker_find_option(text, len, key, out, 128))
		return true;
	AUTO_FCLOSE FILE *f = fopen(STORAGE_SYSCONFIG, "re");
	len = f ? fread(text, 1, sizeof(text), f) : 0;
	return docker_find_option(text, len, key, out, 128);
}

static int fill_pool(struct docker_root *r, const struct docker_daemon *d, struct err *e)
{
	char name[128];
	bool made;
	int ret;

	if (r->cfg->pool && *r->cfg->pool)
		return docker_copy(r->cfg->pool, &r->pool.dm_name, e);
	if (find_option(r, name))
		return docker_copy(strncmp(name, "/dev/mapper/", 12) == 0 ? name + 12 : name,
			&r->pool.dm_name, e);
	if (d->thinpool)
		return docker_copy(d->thinpool, &r->pool.dm_name, e);
	ret = has_setup(r, &made, e);
	if (ret < 0)
		return ret;
	if (made)
		return docker_copy("docker-thinpool", &r->pool.dm_name, e);
	(void)snprintf(name, sizeof(name), "%s-pool", r->prefix);
	ret = docker_copy(name, &r->pool.dm_name, e);
	if (ret < 0)
		return ret;
	if (!d->datadev && !d->metadatadev)
		return fill_loop(r, e);
	if (!d->datadev || !d->metadatadev)
		return 0;
	ret = docker_copy(d->datadev, &r->pool.data_path, e);
	return ret < 0 ? ret : docker_copy(d->metadatadev, &r->pool.metadata_path, e);
}

int docker_find_pool(struct docker_root *r, struct err *e)
{
	__attribute__((cleanup(docker_daemon_done))) struct docker_daemon d = {0};
	int ret = read_daemon(r, &d, e);

	return ret < 0 ? ret : fill_pool(r, &d, e);
}
