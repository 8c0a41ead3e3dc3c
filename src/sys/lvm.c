/* SPDX-License-Identifier: Apache-2.0 */
#include "lvm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "json.h"
#include "program.h"
#include "scope.h"
#include "str.h"
#include "thinmeta.h"

/* It waits for its own locks, and killing it may leave a device suspended. */
#define CHANGE_MS 240000u
#define REPORT_MS 60000u
#define STR(x) STR_(x)
#define STR_(x) #x
/* LVM closes what it inherits, but for the descriptor that this names; reports go there. */
#define REPORT_FD "LVM_REPORT_FD=" STR(PROGRAM_KEPT)

bool lvm_owns(unsigned major, unsigned minor)
{
	char path[96], uuid[160] = "";

	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/dm/uuid", major, minor);
	AUTO_FCLOSE FILE *f = fopen(path, "re");
	if (!f || !fgets(uuid, sizeof(uuid), f))
		return false;
	return strncmp(uuid, "LVM-", 4) == 0 && strstr(uuid, "-tpool") != NULL;
}

bool lvm_is_name(const char *s)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-";
	size_t len = strlen(s);

	return len > 0 && len < LVM_NAME_MAX && s[0] != '-' && strspn(s, letters) == len &&
	       strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

const char *lvm_name(const char *full)
{
	const char *slash = strchr(full, '/');

	return slash ? slash + 1 : full;
}

bool lvm_is_full_name(const char *s)
{
	char vg[LVM_NAME_MAX];
	size_t len = strcspn(s, "/");

	if (s[len] != '/' || len >= sizeof(vg))
		return false;
	(void)snprintf(vg, sizeof(vg), "%.*s", (int)len, s);
	return lvm_is_name(vg) && lvm_is_name(s + len + 1);
}

static bool add_doubled(const char *s, char *out, size_t size, size_t *at)
{
	for (; *s; s++) {
		const size_t need = *s == '-' ? 2 : 1;

		if (*at + need >= size)
			return false;
		out[(*at)++] = *s;
		if (need == 2)
			out[(*at)++] = '-';
	}
	return true;
}

bool lvm_dm_name(const char *vg, const char *lv, const char *suffix, char *out, size_t size)
{
	size_t at = 0;

	if (!add_doubled(vg, out, size, &at) || at + 1 >= size)
		return false;
	out[at++] = '-';
	if (!add_doubled(lv, out, size, &at) || at + strlen(suffix) >= size)
		return false;
	(void)strcpy(out + at, suffix);
	return true;
}

/* Every value is text, numbers as well. */
static bool take_number(const json_t *j, const char *key, uint64_t max, uint64_t *ret)
{
	const char *s = json_str(j, key);
	char *end = NULL;

	if (!s || *s < '0' || *s > '9')
		return false;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	return errno == 0 && *end == '\0' && *ret <= max;
}

static int take_lv(
	const json_t *j, const char *name, size_t number, struct lvm_lv *v, struct err *e)
{
	const char *type = json_str(j, "segtype"), *attr = json_str(j, "lv_attr");
	const char *tags = json_str(j, "lv_tags"), *health = json_str(j, "lv_health_status");
	uint64_t id = 0;

	if (!json_take(j, "vg_name", v->vg, sizeof(v->vg)) || !lvm_is_name(v->vg) ||
		!json_take(j, "lv_name", v->name, sizeof(v->name)) || !lvm_is_name(v->name) ||
		!json_take(j, "lv_uuid", v->uuid, sizeof(v->uuid)) || !type || !attr || !tags)
		return err_set(
			e, ERR_STORE, -EBADMSG, "%s: volume %zu is not understood", name, number);
	v->tags = strdup(tags);
	if (!v->tags)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
	v->is_thin = strcmp(type, "thin") == 0;
	v->is_open = strlen(attr) > 5 && attr[5] == 'o';
	if (!v->is_thin)
		return 0;
	if (!json_take(j, "origin", v->origin, sizeof(v->origin)))
		v->problem = "its origin is not known";
	else if (!json_take(j, "pool_lv", v->pool, sizeof(v->pool)) || !lvm_is_name(v->pool))
		v->problem = "its pool is not known";
	else if (!take_number(j, "thin_id", THINMETA_ID_MAX, &id))
		v->problem = "its thin id is out of range";
	else if (!take_number(j, "lv_size", (uint64_t)1 << 60, &v->size_bytes) ||
		 v->size_bytes == 0 || v->size_bytes % 512)
		v->problem = "its size is out of range";
	else if (health && *health)
		v->problem = "LVM reports that it is damaged (lv_health_status)";
	v->thin_id = (uint32_t)id;
	return 0;
}

/*
 * What is not mapped comes from another volume, its external origin: of it or of the one that it is
 * a snapshot of.  A device over the thin id alone would show zeros there.
 */
static bool is_external(const struct lvm_list *l, const struct lvm_lv *v)
{
	const struct lvm_lv *at = v;

	for (size_t i = 0; i <= l->count && at->origin[0]; i++) {
		at = lvm_in_list(l, at->vg, at->origin);
		if (!at || !at->is_thin || strcmp(at->pool, v->pool) != 0)
			return true;
	}
	return at->origin[0] != '\0';
}

int lvm_parse(const char *text, size_t len, const char *name, struct lvm_list *ret, struct err *e)
{
	AUTO_JSON *j = NULL;
	int r = json_parse_object(text, len, name, &j, e);

	if (r < 0)
		return r;
	const json_t *list = json_object_get(json_array_get(json_object_get(j, "report"), 0), "lv");
	if (!json_is_array(list))
		return err_set(e, ERR_STORE, -EBADMSG, "%s: no list of volumes", name);
	*ret = (struct lvm_list){.items = calloc(json_array_size(list) + 1, sizeof(struct lvm_lv))};
	if (!ret->items)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++)
		r = take_lv(json_array_get(list, i), name, i, &ret->items[ret->count++], e);
	for (size_t i = 0; r == 0 && i < ret->count; i++)
		if (ret->items[i].is_thin && !ret->items[i].problem &&
			is_external(ret, &ret->items[i]))
			ret->items[i].problem = "it has an external origin";
	if (r < 0)
		lvm_list_done(ret);
	return r;
}

void lvm_list_done(struct lvm_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->items[i].tags);
	free(l->items);
	*l = (struct lvm_list){0};
}

const struct lvm_lv *lvm_in_list(const struct lvm_list *l, const char *vg, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->items[i].vg, vg) == 0 && strcmp(l->items[i].name, name) == 0)
			return &l->items[i];
	return NULL;
}

bool lvm_has_tag(const struct lvm_lv *v, const char *tag)
{
	const size_t want = strlen(tag);

	for (const char *t = v->tags; *t;) {
		const size_t len = strcspn(t, ",");

		if (len == want && strncmp(t, tag, len) == 0)
			return true;
		t += len + (t[len] == ',');
	}
	return false;
}

bool lvm_is_ours(const struct lvm_lv *v)
{
	return strncmp(v->name, LVM_PREFIX, strlen(LVM_PREFIX)) == 0 && lvm_has_tag(v, LVM_TAG);
}

/* The last line is the reason; those before are warnings. */
static void keep_line(void *arg, const char *text, size_t len)
{
	char *last = arg;

	while (len && *text == ' ') {
		text++;
		len--;
	}
	(void)str_escape(text, len, last, PROGRAM_LINE_MAX);
}

/* keep: a descriptor for the report, or with a lock. */
static int call(char *const *argv, int keep, unsigned limit_ms, bool *ret_killed, struct err *e)
{
	char *const env[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LC_ALL=C",
		(char *)"LVM_SUPPRESS_FD_WARNINGS=1", keep > 0 ? (char *)REPORT_FD : NULL, NULL};
	char last[PROGRAM_LINE_MAX] = "";
	struct program_result result = {0};
	/* Asked to stop, we wait for it: ended half-way it might leave a device suspended. */
	const struct program p = {.argv = argv,
		.env = env,
		.keep = keep,
		.timeout_ms = limit_ms,
		.stop_ms = limit_ms,
		.line = keep_line,
		.arg = last};
	int r = program_run(&p, &result, e);

	if (ret_killed)
		*ret_killed = r < 0 || result.end != PROGRAM_EXITED;
	if (r < 0)
		return r;
	if (result.end != PROGRAM_EXITED)
		return err_set(e, ERR_SOURCE, -ETIMEDOUT, "'lvm %s' was killed", argv[1]);
	if (result.code)
		return err_set(e, ERR_SOURCE, -EIO, "'lvm %s': exit code %d: %s", argv[1],
			result.code, last);
	return 0;
}

static char *program(void)
{
	static char path[] = "/usr/sbin/lvm", old[] = "/sbin/lvm";

	return access(path, X_OK) == 0 ? path : old;
}

static int read_report(int fd, struct lvm_list *ret, struct err *e)
{
	const off_t len = lseek(fd, 0, SEEK_END);

	if (len < 0 || len > (off_t)LVM_REPORT_MAX)
		return err_set(e, ERR_STORE, -EFBIG, "lvs: a report of %jd bytes", (intmax_t)len);
	AUTO_FREE char *text = malloc((size_t)len + 1);
	if (!text)
		return err_sys(e, ERR_FATAL, -ENOMEM, "lvs");
	if (pread(fd, text, (size_t)len, 0) != len)
		return err_sys(e, ERR_STORE, -EIO, "lvs");
	return lvm_parse(text, (size_t)len, "lvs", ret, e);
}

int lvm_list(struct lvm_list *ret, struct err *e)
{
	char *const argv[] = {program(), (char *)"lvs", (char *)"--reportformat", (char *)"json",
		(char *)"--units", (char *)"b", (char *)"--nosuffix", (char *)"-o",
		(char *)"vg_name,lv_name,lv_uuid,lv_attr,segtype,pool_lv,origin,thin_id,lv_size,lv_"
			"tags,"
			"lv_health_status",
		NULL};
	AUTO_CLOSE int fd = memfd_create("lvs", MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, ERR_STORE, -errno, "lvs");
	int r = call(argv, fd, REPORT_MS, NULL, e);
	if (r < 0 && e)
		e->kind = ERR_STORE;
	return r < 0 ? r : read_report(fd, ret, e);
}

int lvm_snapshot(const char *origin, const char *full, int lock, bool *ret_killed, struct err *e)
{
	char name[LVM_NAME_MAX], from[2 * LVM_NAME_MAX];
	/* Never activated but by name with -K; nothing of it waits for a udevd that is stopped. */
	char *const argv[] = {program(), (char *)"lvcreate", (char *)"--snapshot", (char *)"--name",
		name, (char *)"--activate", (char *)"n", (char *)"--setactivationskip", (char *)"y",
		(char *)"--permission", (char *)"r", (char *)"--addtag", (char *)LVM_TAG,
		(char *)"--noudevsync", (char *)"--yes", from, NULL};

	*ret_killed = false;
	if (!lvm_is_full_name(origin) || !lvm_is_full_name(full))
		return err_set(e, ERR_SOURCE, -EINVAL, "'%s' is no name of a volume", origin);
	(void)snprintf(name, sizeof(name), "%s", lvm_name(full));
	(void)snprintf(from, sizeof(from), "%s", origin);
	return call(argv, lock, CHANGE_MS, ret_killed, e);
}

static bool has_group(const struct lvm_list *l, const char *vg)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->items[i].vg, vg) == 0)
			return true;
	return false;
}

int lvm_remove(const char *full, int lock, struct err *e)
{
	char name[2 * LVM_NAME_MAX], vg[LVM_NAME_MAX];
	char *const argv[] = {
		program(), (char *)"lvremove", (char *)"--yes", (char *)"--noudevsync", name, NULL};
	__attribute__((cleanup(lvm_list_done))) struct lvm_list all = {0};
	struct err mine = {0};

	if (!lvm_is_full_name(full))
		return err_set(e, ERR_LEFTOVER, -EINVAL, "'%s' is no name of a volume", full);
	(void)snprintf(name, sizeof(name), "%s", full);
	(void)snprintf(vg, sizeof(vg), "%.*s", (int)strcspn(full, "/"), full);
	int r = lvm_list(&all, &mine);
	const struct lvm_lv *v = r == 0 ? lvm_in_list(&all, vg, lvm_name(full)) : NULL;
	/* A group without the pool is one whose disks are not there: it can wait. */
	if (r == 0 && !has_group(&all, vg))
		r = err_set(&mine, ERR_LEFTOVER, -ENOENT,
			"volume group '%s' is not there: '%s' is removed when it is", vg, full);
	else if (v && !lvm_is_ours(v))
		r = err_set(&mine, ERR_LEFTOVER, -EPERM,
			"'%s' has not our prefix and tag and is not touched", full);
	else if (v)
		r = call(argv, lock, CHANGE_MS, NULL, &mine);
	if (r == 0)
		return 0;
	mine.kind = ERR_LEFTOVER;
	if (e)
		*e = mine;
	return r;
}
