/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "clock.h"
#include "json.h"
#include "scope.h"
#include "str.h"
#include "thinmeta.h"

#define LEDGER_DIR LEDGER_STATE_DIR "/ledger"

static int open_dir(struct err *e)
{
	if (mkdir(LEDGER_STATE_DIR, 0700) < 0 && errno != EEXIST)
		return err_sys(e, ERR_FATAL, -errno, LEDGER_STATE_DIR);
	if (mkdir(LEDGER_DIR, 0700) < 0 && errno != EEXIST)
		return err_sys(e, ERR_FATAL, -errno, LEDGER_DIR);
	int fd = open(LEDGER_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, ERR_FATAL, -errno, LEDGER_DIR);
	return fd;
}

static void boot_id(char out[40])
{
	AUTO_FCLOSE FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	out[0] = '\0';
	if (f && fgets(out, 40, f))
		out[strcspn(out, "\n")] = '\0';
}

static int store(int dir, const char *name, const char *text, size_t len)
{
	char part[340];

	(void)snprintf(part, sizeof(part), ".%s.part", name);
	AUTO_CLOSE int fd =
		openat(dir, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, text, len);
	int r = n < 0 ? -errno : n != (ssize_t)len ? -ENOSPC : 0;
	if (r == 0 && (fsync(fd) < 0 || renameat(dir, part, dir, name) < 0))
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, part, 0);
	else if (fsync(dir) < 0)
		r = -errno;
	return r;
}

static void name_entry(struct ledger_entry *x)
{
	if (x->is_pool)
		(void)snprintf(x->file, sizeof(x->file), "%s.pool.json", x->pool);
	else
		(void)snprintf(
			x->file, sizeof(x->file), "%s_%" PRIx32 ".json", x->pool, x->thin_id);
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

int ledger_write(struct ledger_entry *x, struct err *e)
{
	AUTO_CLOSE int dir = open_dir(e);
	AUTO_STRBUF b = {0};
	char boot[40], when[24];

	if (dir < 0)
		return dir;
	name_entry(x);
	boot_id(boot);
	strbuf_printf(
		&b, "{\"version\":1,\"kind\":\"%s\",\"pool\":", x->is_pool ? "pool" : "snapshot");
	strbuf_json(&b, x->pool);
	strbuf_printf(&b,
		",\"thin_id\":%" PRIu32 ",\"origin_id\":%" PRIu32 ",\"device\":", x->thin_id,
		x->origin_id);
	strbuf_json(&b, x->device);
	strbuf_puts(&b, ",\"origins\":[");
	for (int i = 0; i < x->origin_count; i++) {
		strbuf_puts(&b, i ? "," : "");
		strbuf_json(&b, x->origins[i]);
	}
	strbuf_puts(&b, "]");
	if (x->pause_id[0]) {
		strbuf_puts(&b, ",\"pause_socket\":");
		strbuf_json(&b, x->pause_socket);
		strbuf_puts(&b, ",\"pause_id\":");
		strbuf_json(&b, x->pause_id);
	}
	strbuf_printf(&b, ",\"boot_id\":\"%s\",\"pid\":%d,\"time\":\"%s\"}\n", boot, (int)getpid(),
		clock_rfc3339(time(NULL), when));
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

static bool take_name(const json_t *j, const char *key, char out[DM_NAME_MAX])
{
	const char *s = json_str(j, key);

	if (!s || strlen(s) >= DM_NAME_MAX || strchr(s, '/'))
		return false;
	(void)snprintf(out, DM_NAME_MAX, "%s", s);
	return true;
}

static int fill(const json_t *j, const char *name, struct ledger_entry *x, struct err *e)
{
	char boot[40];
	const char *kind = json_str(j, "kind");
	json_int_t thin = json_integer_value(json_object_get(j, "thin_id"));
	json_int_t origin = json_integer_value(json_object_get(j, "origin_id"));
	const json_t *origins = json_object_get(j, "origins");
	const char *written = json_str(j, "boot_id");
	*x = (struct ledger_entry){0};
	if (!kind || !take_name(j, "pool", x->pool) || !take_name(j, "device", x->device) ||
		thin < 0 || thin > THINMETA_ID_MAX || origin < 0 || origin > THINMETA_ID_MAX ||
		json_array_size(origins) > SNAPPER_ORIGINS)
		return err_set(e, ERR_LEFTOVER, -EBADMSG, "ledger: %s: not a valid entry", name);
	(void)snprintf(x->file, sizeof(x->file), "%s", name);
	x->is_pool = strcmp(kind, "pool") == 0;
	x->thin_id = (uint32_t)thin;
	x->origin_id = (uint32_t)origin;
	for (size_t i = 0; i < json_array_size(origins); i++) {
		const char *o = json_string_value(json_array_get(origins, i));

		if (o && strlen(o) < DM_NAME_MAX)
			(void)snprintf(x->origins[x->origin_count++], DM_NAME_MAX, "%s", o);
	}
	const char *socket = json_str(j, "pause_socket"), *id = json_str(j, "pause_id");
	if (socket && id && strlen(socket) < sizeof(x->pause_socket) &&
		strlen(id) < sizeof(x->pause_id)) {
		(void)snprintf(x->pause_socket, sizeof(x->pause_socket), "%s", socket);
		(void)snprintf(x->pause_id, sizeof(x->pause_id), "%s", id);
	}
	boot_id(boot);
	x->is_this_boot = written && strcmp(written, boot) == 0;
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

	return r < 0 ? err_add(e, "ledger") : fill(j, name, x, e);
}

static int each_of(bool is_pool, ledger_fn *fn, void *arg, struct err *e)
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
			return err_sys(e, ERR_LEFTOVER, -errno, LEDGER_DIR);
		if (!item)
			return first;
		size_t len = strlen(item->d_name);
		if (item->d_name[0] == '.' || len < 6 || len > 300 ||
			strcmp(item->d_name + len - 5, ".json") != 0)
			continue;
		int r = load(dirfd(d), item->d_name, &x, &mine);
		if (r == 0 && x.is_pool == is_pool)
			r = fn(arg, &x, &mine);
		/* One entry that is no good keeps nobody from the others. */
		if (r < 0 && first == 0) {
			first = r;
			if (e)
				*e = mine;
		}
	}
}

int ledger_each(ledger_fn *fn, void *arg, struct err *e)
{
	struct err mine = {0};
	int r = each_of(false, fn, arg, e);
	int p = each_of(true, fn, arg, r < 0 ? &mine : e);

	return r < 0 ? r : p;
}
