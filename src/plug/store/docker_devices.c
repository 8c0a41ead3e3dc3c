/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's records of thin devices: those of containers, of image layers and of the base device. */
#include <fcntl.h>
#include <string.h>

#include "docker_record.h"
#include "docker_root.h"
#include "foreign.h"
#include "scope.h"

#define RECORDS "devicemapper/metadata"

struct visit {
	store_record_fn *fn;
	void *arg;
};

/* HASH, HASH-init or base; other files there are temporary or about the pool as a whole. */
static bool is_record(const char *name)
{
	size_t hex = strspn(name, "0123456789abcdef");

	return strcmp(name, "base") == 0 ||
	       (hex == 64 && (!name[hex] || strcmp(name + hex, "-init") == 0));
}

static int read_record(
	const struct docker_root *r, const char *file, struct docker_device *ret, struct err *e)
{
	char path[sizeof(RECORDS) + DOCKER_HASH_CAP], name[PATH_MAX];
	AUTO_FREE char *text = NULL;
	size_t len;

	(void)snprintf(path, sizeof(path), RECORDS "/%s", file);
	int ret_read = docker_read(r, path, DOCKER_RECORD_MAX, name, &text, &len, e);
	return ret_read < 0 ? ret_read : docker_parse_device(text, len, name, ret, e);
}

static int visit_record(
	const struct docker_root *r, const struct visit *v, const char *file, struct err *e)
{
	struct docker_device device = {0};
	struct err why = {0};
	int ret = read_record(r, file, &device, &why);

	if (ret < 0 && why.kind == ERR_FATAL) {
		*e = why;
		return ret;
	}
	const struct store_record record = {.pool = &r->pool,
		.name = file,
		.thin_id = device.device_id,
		.size_bytes = device.size_bytes,
		.is_deleted = device.deleted,
		.problem = ret < 0 ? why.text : NULL};
	return v->fn(v->arg, &record, e);
}

static int is_wanted(const struct dirent *d)
{
	return is_record(d->d_name);
}

static int visit_root(const struct docker_root *r, void *arg, struct err *e)
{
	const struct visit *v = arg;
	const struct store_record pool = {.pool = &r->pool};
	AUTO_CLOSE int dir = foreign_open(r->fd, RECORDS, O_RDONLY | O_DIRECTORY);
	struct dirent **names = NULL;
	int ret = v->fn(v->arg, &pool, e);

	if (ret < 0)
		return ret;
	int count = dir < 0 ? dir : scandirat(dir, ".", &names, is_wanted, alphasort);
	if (count < 0) {
		docker_note(r, RECORDS, strerror(dir < 0 ? -dir : errno));
		return 0;
	}
	for (int i = 0; i < count; i++) {
		if (ret == 0)
			ret = visit_record(r, v, names[i]->d_name, e);
		free(names[i]);
	}
	free(names);
	return ret;
}

int docker_records(const struct cfg_store *cfg, store_record_fn *fn, void *arg,
	struct strbuf *notes, struct err *e)
{
	struct visit v = {fn, arg};

	return docker_each_root(cfg, visit_root, &v, notes, e);
}
