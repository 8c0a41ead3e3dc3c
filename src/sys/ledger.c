/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "clock.h"
#include "json.h"
#include "lvm.h"
#include "scope.h"
#include "str.h"
#include "thinmeta.h"

static const char *const kinds[LEDGER_KINDS] = {
	[LEDGER_SNAPSHOT] = "snapshot",
	[LEDGER_LVM] = "lvm",
	[LEDGER_MOUNT] = "mount",
	[LEDGER_METADATA] = "metadata",
	[LEDGER_POOL] = "pool",
	[LEDGER_LOOP] = "loop",
	[LEDGER_ARCHIVE] = "archive",
};

/* A folder made here must survive a power cut, or the first entry would be lost with it. */
static int make_dir(const char *path)
{
	char parent[520];

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(path, '/') - path), path);
	AUTO_CLOSE int fd = open(*parent ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* NULL: this user has none. */
static const char *state_dir(void)
{
	const char *set = secure_getenv("THINARK_STATE_DIR");

	return set && *set ? set : geteuid() == 0 ? LEDGER_STATE_DIR : NULL;
}

bool ledger_is_kept(void)
{
	return state_dir() != NULL;
}

/* The ledger's folder, made with all its parents if need be. */
static int make_dirs(char *path)
{
	for (char *p = path + 1;; p++) {
		const char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		int r = make_dir(path);
		*p = c;
		if (r < 0 || c == '\0')
			return r;
	}
}

static int open_dir(struct err *e)
{
	const char *state = state_dir();
	char path[512];

	if (!state)
		return err_sys(e, ERR_FATAL, -EPERM, "ledger");
	if ((size_t)snprintf(path, sizeof(path), "%s/ledger", state) >= sizeof(path))
		return err_sys(e, ERR_FATAL, -ENAMETOOLONG, "%s", state);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		int r = make_dirs(path);

		if (r < 0)
			return err_sys(e, ERR_FATAL, r, "%s", path);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	}
	return fd < 0 ? err_sys(e, ERR_FATAL, -errno, "%s", path) : fd;
}

static void boot_id(char out[40])
{
	AUTO_FCLOSE FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	out[0] = '\0';
	if (f && fgets(out, 40, f))
		out[strcspn(out, "\n")] = '\0';
}

static int store_once(int dir, const char *name, const char *text, size_t len)
{
	char part[340];

	(void)snprintf(part, sizeof(part), ".%s.part", name);
	AUTO_CLOSE int fd =
		openat(dir, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int r = flock(fd, LOCK_EX) < 0 ? -errno : 0;
	ssize_t n = r < 0 ? 0 : write(fd, text, len);
	if (r == 0 && n != (ssize_t)len)
		r = n < 0 ? -errno : -ENOSPC;
	if (r == 0 && (fsync(fd) < 0 || renameat(dir, part, dir, name) < 0))
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, part, 0);
	else if (fsync(dir) < 0)
		r = -errno;
	return r;
}

/* A sweep may take the file between its creation and its lock. */
static int store(int dir, const char *name, const char *text, size_t len)
{
	int r = -ENOENT;

	for (int tries = 0; r == -ENOENT && tries < 3; tries++)
		r = store_once(dir, name, text, len);
	return r;
}

static void name_entry(struct ledger_entry *x)
{
	switch (x->kind) {
	case LEDGER_LVM:
		(void)snprintf(x->file, sizeof(x->file), "%s.lvm.json", lvm_name(x->name));
		break;
	case LEDGER_MOUNT:
		(void)snprintf(
			x->file, sizeof(x->file), "%s_%" PRIx32 ".mount.json", x->pool, x->thin_id);
		break;
	case LEDGER_METADATA:
		(void)snprintf(x->file, sizeof(x->file), "%s.metadata.json", x->pool);
		break;
	case LEDGER_POOL:
		(void)snprintf(x->file, sizeof(x->file), "%s.pool.json", x->pool);
		break;
	case LEDGER_LOOP:
		(void)snprintf(x->file, sizeof(x->file), "loop%" PRIu32 ".loop.json", x->loop);
		break;
	case LEDGER_ARCHIVE:
		(void)snprintf(x->file, sizeof(x->file), "%s.archive.json", x->tag);
		break;
	default:
		(void)snprintf(
			x->file, sizeof(x->file), "%s_%" PRIx32 ".json", x->pool, x->thin_id);
	}
}

int ledger_has(struct ledger_entry *x, struct err *e)
{
	AUTO_CLOSE int dir = open_dir(e);
	struct stat st;

	if (dir < 0)
		return dir;
	name_entry(x);
	if (fstatat(dir, x->file, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : err_sys(e, ERR_FATAL, -errno, "ledger entry '%s'", x->file);
}

static void put(struct strbuf *b, const char *key, const char *value)
{
	strbuf_printf(b, ",\"%s\":", key);
	strbuf_json(b, value);
}

static void put_device(struct strbuf *b, const struct ledger_entry *x)
{
	if (x->kind == LEDGER_LVM)
		put(b, "name", x->name);
	put(b, "pool", x->pool);
	strbuf_printf(
		b, ",\"thin_id\":%" PRIu32 ",\"origin_id\":%" PRIu32, x->thin_id, x->origin_id);
	put(b, "device", x->device);
	strbuf_puts(b, ",\"origins\":[");
	for (int i = 0; !x->is_window_over && i < x->origin_count; i++) {
		strbuf_puts(b, i ? "," : "");
		strbuf_json(b, x->origins[i]);
	}
	strbuf_puts(b, "]");
	if (x->path[0])
		put(b, "mounted_on", x->path);
	if (x->mark.has_before)
		strbuf_printf(b, ",\"pool_time\":%" PRIu32 ",\"block_sectors\":%" PRIu32,
			x->mark.before, x->mark.block_sectors);
	if (x->mark.is_whole)
		strbuf_printf(b,
			",\"creation_time\":%" PRIu32 ",\"transaction\":%" PRIu64
			",\"mapped\":%" PRIu64,
			x->mark.created, x->mark.transaction, x->mark.mapped);
	if (x->keeps[0]) {
		put(b, "keeps", x->keeps);
		put(b, "keeps_name", x->keeps_name);
		strbuf_printf(b, ",\"rollback\":%s", x->is_rollback ? "true" : "false");
	}
	if (x->pause_id[0]) {
		put(b, "pause_socket", x->pause_socket);
		put(b, "pause_id", x->pause_id);
	}
}

static void put_metadata(struct strbuf *b, const struct ledger_entry *x)
{
	put(b, "pool", x->pool);
	strbuf_printf(b,
		",\"pool_time\":%" PRIu32 ",\"block_sectors\":%" PRIu32 ",\"transaction\":%" PRIu64
		",\"root\":%" PRIu64 ",\"checksum\":%" PRIu32,
		x->mark.before, x->mark.block_sectors, x->mark.transaction, x->held_root,
		x->held_checksum);
}

static void put_path(struct strbuf *b, const struct ledger_entry *x)
{
	put(b, "path", x->path);
	if (x->kind == LEDGER_LOOP) {
		put(b, "pool", x->pool);
		strbuf_printf(b,
			",\"loop\":%" PRIu32 ",\"backing_dev\":%" PRIu64
			",\"backing_ino\":%" PRIu64,
			x->loop, x->backing_dev, x->backing_ino);
		return;
	}
	put(b, "type", x->type);
	put(b, "name", x->name);
	put(b, "tag", x->tag);
	strbuf_printf(b, ",\"kept\":%" PRIu32, x->kept);
}

int ledger_write(struct ledger_entry *x, struct err *e)
{
	AUTO_CLOSE int dir = open_dir(e);
	AUTO_STRBUF b = {0};
	char boot[40], when[24];

	if (dir < 0)
		return dir;
	name_entry(x);
	boot_id(boot);
	strbuf_printf(&b, "{\"version\":1,\"kind\":\"%s\"", kinds[x->kind]);
	if (x->kind == LEDGER_METADATA)
		put_metadata(&b, x);
	else if (x->kind <= LEDGER_POOL)
		put_device(&b, x);
	else
		put_path(&b, x);
	strbuf_printf(&b, ",\"boot_id\":\"%s\",\"pid\":%d,\"time\":\"%s\"}\n", boot, (int)getpid(),
		x->time[0] ? x->time : clock_rfc3339(time(NULL), when));
	if (b.failed)
		return err_sys(e, ERR_FATAL, -ENOMEM, "ledger");
	int r = store(dir, x->file, b.data, b.len);
	if (r < 0)
		return err_sys(e, ERR_FATAL, r, "ledger entry '%s'", x->file);
	return 0;
}

int ledger_remove(const struct ledger_entry *x, struct err *e)
{
	AUTO_CLOSE int dir = open_dir(e);

	if (dir < 0)
		return dir;
	if ((unlinkat(dir, x->file, 0) < 0 && errno != ENOENT) || fsync(dir) < 0)
		return err_sys(e, ERR_LEFTOVER, -errno, "ledger entry '%s'", x->file);
	return 0;
}

static bool take_number(const json_t *j, const char *key, json_int_t max, uint32_t *ret)
{
	const json_t *v = json_object_get(j, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
		return false;
	*ret = (uint32_t)json_integer_value(v);
	return true;
}

static bool take_large(const json_t *j, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(j, key);

	*ret = (uint64_t)json_integer_value(v);
	return json_is_integer(v) && json_integer_value(v) >= 0;
}

static bool take_mark(const json_t *j, struct thin_mark *m)
{
	m->has_before = json_object_get(j, "pool_time");
	m->is_whole = json_object_get(j, "creation_time");
	if (m->has_before &&
		(!take_number(j, "pool_time", UINT32_MAX, &m->before) ||
			!take_number(j, "block_sectors", UINT32_MAX, &m->block_sectors)))
		return false;
	if (!m->is_whole)
		return true;
	return m->has_before && take_number(j, "creation_time", UINT32_MAX, &m->created) &&
	       take_large(j, "transaction", &m->transaction) && take_large(j, "mapped", &m->mapped);
}

static bool take_keeps(const json_t *j, struct ledger_entry *x)
{
	const json_t *rollback = json_object_get(j, "rollback");

	x->is_rollback = json_is_true(rollback);
	return x->kind == LEDGER_SNAPSHOT && json_is_boolean(rollback) &&
	       json_take(j, "keeps", x->keeps, sizeof(x->keeps)) && x->keeps[0] &&
	       json_take(j, "keeps_name", x->keeps_name, sizeof(x->keeps_name));
}

static bool take_device(const json_t *j, struct ledger_entry *x)
{
	const json_t *origins = json_object_get(j, "origins");

	if (x->kind == LEDGER_LVM &&
		(!json_take(j, "name", x->name, sizeof(x->name)) || !lvm_is_full_name(x->name)))
		return false;
	if (!json_take(j, "pool", x->pool, sizeof(x->pool)) || strchr(x->pool, '/') ||
		!json_take(j, "device", x->device, sizeof(x->device)) || strchr(x->device, '/') ||
		!take_number(j, "thin_id", THINMETA_ID_MAX, &x->thin_id) ||
		!take_number(j, "origin_id", THINMETA_ID_MAX, &x->origin_id) ||
		json_array_size(origins) > SNAPPER_ORIGINS || !take_mark(j, &x->mark))
		return false;
	for (size_t i = 0; i < json_array_size(origins); i++) {
		const char *o = json_string_value(json_array_get(origins, i));

		/* A name that is not understood may be the one that is suspended. */
		if (!o || strlen(o) >= DM_NAME_MAX)
			return false;
		(void)snprintf(x->origins[x->origin_count++], DM_NAME_MAX, "%s", o);
	}
	if (json_object_get(j, "mounted_on") &&
		(!json_take(j, "mounted_on", x->path, sizeof(x->path)) || x->path[0] != '/'))
		return false;
	if (json_object_get(j, "keeps") && !take_keeps(j, x))
		return false;
	if (!json_object_get(j, "pause_id"))
		return true;
	return json_take(j, "pause_socket", x->pause_socket, sizeof(x->pause_socket)) &&
	       json_take(j, "pause_id", x->pause_id, sizeof(x->pause_id));
}

static bool take_metadata(const json_t *j, struct ledger_entry *x)
{
	x->mark.has_before = true;
	return json_take(j, "pool", x->pool, sizeof(x->pool)) && !strchr(x->pool, '/') &&
	       take_number(j, "pool_time", UINT32_MAX, &x->mark.before) &&
	       take_number(j, "block_sectors", UINT32_MAX, &x->mark.block_sectors) &&
	       take_large(j, "transaction", &x->mark.transaction) &&
	       take_large(j, "root", &x->held_root) &&
	       take_number(j, "checksum", UINT32_MAX, &x->held_checksum);
}

static bool take_archive(const json_t *j, struct ledger_entry *x)
{
	return json_take(j, "path", x->path, sizeof(x->path)) && x->path[0] == '/' &&
	       json_take(j, "type", x->type, sizeof(x->type)) &&
	       json_take(j, "name", x->name, sizeof(x->name)) &&
	       json_take(j, "tag", x->tag, sizeof(x->tag)) &&
	       strspn(x->tag, "0123456789abcdef") == sizeof(x->tag) - 1 &&
	       take_number(j, "kept", sizeof(x->name), &x->kept);
}

static bool take_loop(const json_t *j, struct ledger_entry *x)
{
	return take_large(j, "backing_dev", &x->backing_dev) &&
	       take_large(j, "backing_ino", &x->backing_ino) &&
	       json_take(j, "path", x->path, sizeof(x->path)) &&
	       json_take(j, "pool", x->pool, sizeof(x->pool)) &&
	       take_number(j, "loop", 1 << 20, &x->loop);
}

static bool take_kind(const json_t *j, struct ledger_entry *x)
{
	const char *kind = json_str(j, "kind");

	for (int k = 0; kind && k < LEDGER_KINDS; k++) {
		if (strcmp(kind, kinds[k]) != 0)
			continue;
		x->kind = (enum ledger_kind)k;
		return x->kind == LEDGER_ARCHIVE    ? take_archive(j, x)
		       : x->kind == LEDGER_LOOP     ? take_loop(j, x)
		       : x->kind == LEDGER_METADATA ? take_metadata(j, x)
						    : take_device(j, x);
	}
	return false;
}

static int fill(const json_t *j, const char *name, struct ledger_entry *x, struct err *e)
{
	const char *written = json_str(j, "boot_id");
	char boot[40];

	*x = (struct ledger_entry){0};
	if (!take_kind(j, x))
		return err_set(e, ERR_LEFTOVER, -EBADMSG, "ledger: %s: not a valid entry", name);
	(void)snprintf(x->file, sizeof(x->file), "%s", name);
	if (!json_take(j, "time", x->time, sizeof(x->time)))
		x->time[0] = '\0';
	boot_id(boot);
	x->is_this_boot = written && *boot && strcmp(written, boot) == 0;
	return 0;
}

int ledger_parse(
	const char *text, size_t len, const char *name, struct ledger_entry *ret, struct err *e)
{
	AUTO_JSON *j = NULL;
	int r = json_parse_object(text, len, name, &j, e);

	return r < 0 ? r : fill(j, name, ret, e);
}

static int load(int dir, const char *name, struct ledger_entry *x, struct err *e)
{
	AUTO_JSON *j = NULL;
	int r = json_read_at(dir, name, 1 << 16, &j, e);

	if (r == 0)
		return fill(j, name, x, e);
	if (e)
		e->kind = ERR_LEFTOVER;
	return err_add(e, "ledger");
}

/* What a killed store left; one that is being written is locked. */
static void sweep_part(int dir, const char *name)
{
	AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)unlinkat(dir, name, 0);
}

static bool ends(const char *name, const char *end)
{
	size_t len = strlen(name), tail = strlen(end);

	return len > tail && strcmp(name + len - tail, end) == 0;
}

static bool is_entry(const char *name)
{
	return name[0] != '.' && ends(name, ".json") && strlen(name) <= 300;
}

static int each_of(enum ledger_kind kind, ledger_fn *fn, void *arg, struct err *e)
{
	AUTO_CLOSE int fd = open_dir(e);

	if (fd < 0)
		return fd;
	AUTO_DIR DIR *d = fdopendir(fd);
	if (d)
		(void)TAKE_FD(fd);
	struct err mine = {0};
	int first = 0;
	for (errno = d ? 0 : errno;; errno = 0) {
		const struct dirent *item = d ? readdir(d) : NULL;
		struct ledger_entry x;

		/* What cannot be listed must not pass for an empty ledger. */
		if (!item && errno)
			return err_sys(e, ERR_LEFTOVER, -errno, "ledger");
		if (!item)
			return first;
		if (item->d_name[0] == '.' && ends(item->d_name, ".part"))
			sweep_part(dirfd(d), item->d_name);
		if (!is_entry(item->d_name))
			continue;
		int r = load(dirfd(d), item->d_name, &x, &mine);
		if (r == 0 && x.kind == kind)
			r = fn(arg, &x, &mine);
		/*
		 * One entry that is no good keeps nobody from the others; one that is gone
		 * was removed by a run that ended.
		 */
		if (r < 0 && r != -ENOENT && first == 0) {
			first = r;
			if (e)
				*e = mine;
		}
	}
}

int ledger_each(ledger_fn *fn, void *arg, struct err *e)
{
	int first = 0;

	for (int kind = 0; kind < LEDGER_KINDS; kind++) {
		struct err mine = {0};
		int r = each_of((enum ledger_kind)kind, fn, arg, &mine);

		if (r < 0 && first == 0) {
			first = r;
			if (e)
				*e = mine;
		}
	}
	return first;
}
