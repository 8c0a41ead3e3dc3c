/* SPDX-License-Identifier: Apache-2.0 */
/* The devmapper snapshotter's records of thin devices: POOL.db, bucket "devices", JSON by name. */
#include <inttypes.h>
#include <stdio.h>

#include "containerd_record.h"
#include "json.h"
#include "scope.h"

#define THIN_ID_MAX 0xFFFFFF

enum { STATE_REMOVING = 11, STATE_REMOVED = 12 }; /* snapshots/devmapper/device_info.go */

struct visit {
	const struct containerd_db *db;
	containerd_device_fn *fn;
	void *arg;
};

static int parse(
	const struct bolt_item *i, const char *name, struct containerd_device *ret, struct err *e)
{
	AUTO_JSON *root = NULL;
	int r = i->is_bucket ? err_set(e, ERR_STORE, -EBADMSG, "%s: is a bucket", name)
			     : json_parse_object(
				       (const char *)i->value.data, i->value.len, name, &root, e);

	if (r < 0)
		return r;
	const json_t *id = json_object_get(root, "device_id"),
		     *size = json_object_get(root, "size");
	const json_t *state = json_object_get(root, "state");
	if (!json_is_integer(id) || json_integer_value(id) < 0 ||
		json_integer_value(id) > THIN_ID_MAX)
		return err_set(e, ERR_STORE, -EBADMSG, "%s: device_id: is none", name);
	ret->thin_id = (uint32_t)json_integer_value(id);
	if (json_is_integer(size) && json_integer_value(size) > 0)
		ret->size_bytes = (uint64_t)json_integer_value(size);
	ret->is_deleted =
		json_is_integer(state) && (json_integer_value(state) == STATE_REMOVING ||
						  json_integer_value(state) == STATE_REMOVED);
	return 0;
}

static int take_device(void *arg, const struct bolt_item *i, struct err *e)
{
	const struct visit *v = arg;
	struct containerd_device d = {0};
	char key[256], name[512];
	struct err why = {0};

	(void)str_escape((const char *)i->key.data, i->key.len, key, sizeof(key));
	(void)snprintf(name, sizeof(name), "%s: device '%s'", v->db->devices.name, key);
	int r = parse(i, name, &d, &why);
	if (r < 0 && why.kind == ERR_FATAL) {
		*e = why;
		return r;
	}
	d.name = key;
	d.problem = r < 0 ? why.text : NULL;
	return v->fn(v->arg, &d, e);
}

int containerd_each_device(
	struct containerd_db *db, containerd_device_fn *fn, void *arg, struct err *e)
{
	static const char *const path[] = {"devices"};
	const struct bolt_bucket top = bolt_top(&db->devices);
	struct visit v = {db, fn, arg};
	struct err ignored, *why = e ? e : &ignored;
	struct bolt_bucket in;
	int r = bolt_descend(&db->devices, &top, path, 1, &in, why);

	return r > 0 ? bolt_each(&db->devices, &in, take_device, &v, why) : r;
}
