/* SPDX-License-Identifier: Apache-2.0 */
#include "containerd_record.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "json.h"
#include "scope.h"

#define THIN_ID_MAX 0xFFFFFF
#define SIZE_MAX_BYTES (1ll << 60) /* keeps sums of sizes far from overflowing */
#define LABELS_MAX 1024
#define SHOWN_MAX 80 /* bytes of a name that is none */

struct lister {
	struct containerd_db *db;
	struct container_list *list;
	struct strbuf *notes;
	const char *ns;            /* namespace being read */
	struct bolt_bytes ns_key;  /* its name as it is */
	struct bolt_bucket bucket; /* of it */
	struct created {
		size_t index; /* in the list */
		uint64_t seconds;
		uint32_t ns;
	} * created; /* one for each container added */
	size_t count, others;
	bool torn;
};

/* The fields of one container, as bytes in meta.db. */
struct record {
	struct bolt_bytes image, snapshotter, key, spec, created;
	struct bolt_bucket labels;
	bool has_labels, failed;
	struct bolt *meta;
};

static int no_memory(struct err *e)
{
	return err_sys(e, ERR_FATAL, -ENOMEM, "containerd");
}

static int copy(const char *s, char **ret, struct err *e)
{
	*ret = strdup(s);
	return *ret ? 0 : no_memory(e);
}

/* Any bytes as text; a NUL would cut it. */
static int text(struct bolt_bytes b, const char *what, char **ret, struct err *e)
{
	if (b.len && memchr(b.data, '\0', b.len))
		return err_set(e, ERR_STORE, -EBADMSG, "%s has a NUL", what);
	*ret = strndup(b.len ? (const char *)b.data : "", b.len);
	return *ret ? 0 : no_memory(e);
}

/* What the user reads even where the bytes are hostile: those no id has are shown as '_'. */
static int safe_text(struct bolt_bytes b, char **ret, struct err *e)
{
	const size_t len = b.len < SHOWN_MAX ? b.len : SHOWN_MAX;
	char *s = *ret = calloc(1, len + 1);

	for (size_t i = 0; s && i < len; i++)
		s[i] = isalnum(b.data[i]) || (i && strchr("._-", b.data[i]) && b.data[i])
			       ? (char)b.data[i]
			       : '_';
	return s ? 0 : no_memory(e);
}

/* The bytes at a key: 1, 0 or a negative errno. */
static int find_value(const struct bolt *b, const struct bolt_bucket *in, const char *key,
	struct bolt_bytes *ret, struct err *e)
{
	struct bolt_item item;
	int r = bolt_find(b, in, bolt_text(key), &item, e);

	if (r <= 0 || item.is_bucket)
		return r < 0 ? r : 0;
	*ret = item.value;
	return 1;
}

static bool unsigned_varint(struct bolt_bytes b, size_t *at, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; *at < b.len && shift < 64; shift += 7) {
		uint8_t byte = b.data[(*at)++];

		*ret |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return shift < 63 || byte < 2;
	}
	return false;
}

/* A protobuf Any: field 2 is the value. */
static bool any_value(struct bolt_bytes b, struct bolt_bytes *ret)
{
	for (size_t at = 0; at < b.len;) {
		uint64_t tag, len;

		if (!unsigned_varint(b, &at, &tag) || (tag & 7) != 2 ||
			!unsigned_varint(b, &at, &len) || len > b.len - at)
			return false;
		if (tag >> 3 == 2) {
			*ret = (struct bolt_bytes){b.data + at, (size_t)len};
			return true;
		}
		at += (size_t)len;
	}
	return false;
}

/* Go's binary form of a time: version, seconds since the year 1, nanoseconds, zone. */
static struct created created_of(struct bolt_bytes b, size_t index)
{
	struct created c = {.index = index};

	for (size_t i = 1; b.len >= 13 && i < 13; i++)
		if (i < 9)
			c.seconds = c.seconds << 8 | b.data[i];
		else
			c.ns = c.ns << 8 | b.data[i];
	return c;
}

static int take_field(void *arg, const struct bolt_item *i, struct err *e)
{
	struct record *r = arg;
	const struct {
		const char *key;
		struct bolt_bytes *to;
	} fields[] = {{"image", &r->image}, {"snapshotter", &r->snapshotter},
		{"snapshotKey", &r->key}, {"spec", &r->spec}, {"createdat", &r->created}};

	for (size_t k = 0; k < ARRAY_LEN(fields); k++)
		if (!i->is_bucket && bolt_is(i->key, fields[k].key))
			*fields[k].to = i->value;
	if (!i->is_bucket || !bolt_is(i->key, "labels"))
		return 0;
	r->has_labels = true;
	return bolt_enter(r->meta, i, &r->labels, e);
}

static int take_label(void *arg, const struct bolt_item *i, struct err *e)
{
	struct container *c = arg;
	struct label *l;

	if (i->is_bucket)
		return err_set(e, ERR_STORE, -EBADMSG, "a label is a bucket");
	if (c->label_count == LABELS_MAX)
		return err_set(e, ERR_STORE, -E2BIG, "more than %d labels", LABELS_MAX);
	if (!c->labels && !(c->labels = calloc(LABELS_MAX, sizeof(*c->labels))))
		return no_memory(e);
	/* A label is whole or absent: container_label compares every key. */
	l = &c->labels[c->label_count];
	int r = text(i->key, "a label", &l->key, e);
	if (r == 0)
		r = text(i->value, "a label", &l->value, e);
	if (r == 0)
		c->label_count++;
	else
		free(TAKE_PTR(l->key));
	return r;
}

/* Only passed through to the archive: a broken one is no reason to go without an archive. */
static int fill_spec(struct lister *l, const struct record *r, struct container *c, struct err *e)
{
	AUTO_JSON *root = NULL;
	struct bolt_bytes spec;

	if (!r->spec.len)
		return 0;
	if (!any_value(r->spec, &spec) || spec.len > JSON_FILE_MAX ||
		json_parse_object((const char *)spec.data, spec.len, "spec", &root, NULL) < 0) {
		strbuf_printf(l->notes,
			"%s: container '%s': its spec is no JSON object; archived without it\n",
			l->db->meta.name, c->id);
		return 0;
	}
	c->config_json = strndup((const char *)spec.data, spec.len);
	return c->config_json ? 0 : no_memory(e);
}

static int fill_image_id(
	struct lister *l, const struct record *r, struct container *c, struct err *e)
{
	static const char *const images[] = {"images"}, *const target[] = {"target"};
	const struct bolt *b = &l->db->meta;
	struct bolt_bucket in;
	struct bolt_item item;
	struct bolt_bytes digest;
	int ret = bolt_descend(b, &l->bucket, images, 1, &in, e);

	if (ret > 0)
		ret = bolt_find(b, &in, r->image, &item, e);
	if (ret > 0)
		ret = bolt_enter(b, &item, &in, e) < 0 ? e->code : 1;
	if (ret > 0)
		ret = bolt_descend(b, &in, target, 1, &in, e);
	if (ret > 0)
		ret = find_value(b, &in, "digest", &digest, e);
	return ret > 0 ? text(digest, "the digest of its image", &c->image_id, e) : ret;
}

/* The name that the snapshotter knows the snapshot by. */
static int find_backend_key(
	struct lister *l, const struct record *r, struct bolt_bytes *ret, struct err *e)
{
	static const char *const path[] = {"snapshots", CONTAINERD_SNAPSHOTTER};
	const struct bolt *b = &l->db->meta;
	struct bolt_bucket in;
	struct bolt_item item;
	int found = bolt_descend(b, &l->bucket, path, 2, &in, e);

	if (found > 0)
		found = bolt_find(b, &in, r->key, &item, e);
	if (found > 0 && bolt_enter(b, &item, &in, e) < 0)
		return e->code;
	if (found > 0)
		found = find_value(b, &in, "name", ret, e);
	if (found == 0) {
		l->torn = true;
		return err_set(e, ERR_STORE, -ENOENT, "%s: there is no snapshot '%.*s'", b->name,
			(int)(r->key.len < 200 ? r->key.len : 200), (const char *)r->key.data);
	}
	return found < 0 ? found : 0;
}

static int find_number(struct lister *l, struct bolt_bytes key, uint64_t *ret, struct err *e)
{
	static const char *const path[] = {"v1", "snapshots"};
	const struct bolt *b = &l->db->snapshots;
	const struct bolt_bucket top = bolt_top(b);
	struct bolt_bucket in;
	struct bolt_item item;
	struct bolt_bytes id = {0}, kind = {0};
	size_t at = 0;
	int found = bolt_descend(b, &top, path, 2, &in, e);

	if (found > 0)
		found = bolt_find(b, &in, key, &item, e);
	if (found > 0 && bolt_enter(b, &item, &in, e) < 0)
		return e->code;
	if (found == 0) {
		l->torn = true;
		return err_set(e, ERR_STORE, -ENOENT, "%s: there is no snapshot '%.*s'", b->name,
			(int)(key.len < 200 ? key.len : 200), (const char *)key.data);
	}
	if (found > 0)
		found = find_value(b, &in, "id", &id, e);
	if (found >= 0)
		found = find_value(b, &in, "kind", &kind, e);
	if (found < 0)
		return found;
	/* 1 is a view, 2 an active one; a committed one (3) is no container's. */
	if (kind.len != 1 || kind.data[0] < 1 || kind.data[0] > 2)
		return err_set(e, ERR_STORE, -EBADMSG,
			"%s: byte %td: the snapshot is neither active nor a view", b->name,
			item.key.data - b->data);
	if (!id.len || !unsigned_varint(id, &at, ret) || at != id.len)
		return err_set(e, ERR_STORE, -EBADMSG, "%s: byte %td: a snapshot without a number",
			b->name, item.key.data - b->data);
	return 0;
}

static int number(const json_t *root, const char *key, const char *name, long long least,
	long long most, long long *ret, struct err *e)
{
	const json_t *v = json_object_get(root, key);

	if (!json_is_integer(v))
		return err_set(
			e, ERR_STORE, -EBADMSG, "%s: %s: missing, or no whole number", name, key);
	*ret = json_integer_value(v);
	if (*ret < least || *ret > most)
		return err_set(e, ERR_STORE, -ERANGE, "%s: %s: %lld is not within %lld..%lld", name,
			key, *ret, least, most);
	return 0;
}

/* What containerd last tried, so only what surely is no good is refused. */
static const char *state_problem(long long state)
{
	static const char *const why[] = {[0] = "was never made",
		[1] = "is being made",
		[11] = "is being removed",
		[12] = "is removed",
		[13] = "is marked faulty"};

	return state >= 0 && (size_t)state < ARRAY_LEN(why) ? why[state] : NULL;
}

static int parse_device(struct bolt_bytes v, const char *name, struct container *c, struct err *e)
{
	AUTO_JSON *root = NULL;
	long long id = 0, size = 0, state = 0;
	int r = json_parse_object((const char *)v.data, v.len, name, &root, e);

	if (r == 0)
		r = number(root, "device_id", name, 0, THIN_ID_MAX, &id, e);
	if (r == 0)
		r = number(root, "size", name, 1, SIZE_MAX_BYTES, &size, e);
	if (r == 0)
		r = number(root, "state", name, 0, 255, &state, e);
	if (r < 0)
		return r;
	const char *known = json_str(root, "name"), *why = state_problem(state);
	if (!known || strcmp(known, c->pool.device_name) != 0)
		return err_set(e, ERR_STORE, -EBADMSG, "%s: name: is another device's", name);
	if (size % 512)
		return err_set(e, ERR_STORE, -EBADMSG, "%s: size: is not a multiple of 512", name);
	if (why)
		return err_set(e, ERR_STORE, -ESTALE, "%s: the device %s", name, why);
	c->thin_id = (uint32_t)id;
	c->size_bytes = (uint64_t)size;
	return 0;
}

static int find_device(struct lister *l, struct container *c, struct err *e)
{
	static const char *const path[] = {"devices"};
	const struct bolt *b = &l->db->devices;
	const struct bolt_bucket top = bolt_top(b);
	struct bolt_bucket in;
	struct bolt_bytes value;
	char name[512];
	int found = bolt_descend(b, &top, path, 1, &in, e);

	if (found > 0)
		found = find_value(b, &in, c->pool.device_name, &value, e);
	if (found < 0)
		return found;
	(void)snprintf(name, sizeof(name), "%s: device '%s'", b->name, c->pool.device_name);
	if (found == 0) {
		l->torn = true;
		return err_set(e, ERR_STORE, -ENOENT, "%s: missing", name);
	}
	return parse_device(value, name, c, e);
}

static int fill_device(struct lister *l, const struct record *r, struct container *c, struct err *e)
{
	struct bolt_bytes key = {0};
	uint64_t n = 0;
	int ret = find_backend_key(l, r, &key, e);

	if (ret == 0)
		ret = find_number(l, key, &n, e);
	if (ret < 0)
		return ret;
	if (asprintf(&c->pool.device_name, "%s-snap-%" PRIu64, l->db->pool, n) < 0) {
		c->pool.device_name = NULL;
		return no_memory(e);
	}
	return find_device(l, c, e);
}

/* A failure of the container becomes its problem; only running out of memory is passed on. */
static int problem(struct container *c, int ret, struct err *e)
{
	if (ret >= 0 || e->kind == ERR_FATAL)
		return ret;
	return c->problem ? 0 : copy(e->text, &c->problem, e);
}

static int check_id(struct lister *l, struct bolt_bytes key, const char *what, struct err *e)
{
	AUTO_FREE char *id = NULL;
	int r = text(key, what, &id, e);

	if (r == 0 && !containerd_is_id(id))
		r = err_set(e, ERR_STORE, -EBADMSG,
			"%s: byte %td: %s is none that containerd allows", l->db->meta.name,
			key.data - l->db->meta.data, what);
	return r;
}

static int fill_id(struct lister *l, struct bolt_bytes key, struct container *c, struct err *e)
{
	int r = problem(c, check_id(l, l->ns_key, "the namespace's name", e), e);

	if (r == 0)
		r = problem(c, check_id(l, key, "the container's id", e), e);
	return r < 0 ? r : safe_text(key, &c->id, e);
}

static int fill(struct lister *l, struct record *r, struct container *c, struct err *e)
{
	int ret = copy(l->db->store, &c->store, e);

	if (ret == 0)
		ret = copy(l->ns, &c->namespace, e);
	if (ret == 0)
		ret = copy("", &c->subdir, e);
	if (ret == 0)
		ret = copy(l->db->pool, &c->pool.dm_name, e);
	if (ret == 0 && r->has_labels)
		ret = problem(c, bolt_each(r->meta, &r->labels, take_label, c, e), e);
	if (ret == 0 && r->image.len)
		ret = problem(c, text(r->image, "the name of its image", &c->image, e), e);
	if (ret == 0 && r->image.len)
		ret = problem(c, fill_image_id(l, r, c, e), e);
	if (ret == 0)
		ret = fill_spec(l, r, c, e);
	if (ret == 0)
		ret = problem(c, fill_device(l, r, c, e), e);
	return ret < 0 ? ret : containerd_name(c, e);
}

static bool is_sandbox(const struct container *c)
{
	const char *kind = container_label(c, "io.cri-containerd.kind");

	return kind && strcmp(kind, "sandbox") == 0;
}

static int note_created(struct lister *l, const struct record *r, struct err *e)
{
	struct created *more = reallocarray(l->created, l->count + 1, sizeof(*more));

	if (!more)
		return no_memory(e);
	l->created = more;
	l->created[l->count++] = created_of(r->created, l->list->count - 1);
	return 0;
}

static int take_container(void *arg, const struct bolt_item *i, struct err *e)
{
	struct lister *l = arg;
	struct record r = {.meta = &l->db->meta};
	struct bolt_bucket in;
	struct container *c;
	int ret = bolt_enter(r.meta, i, &in, e);

	if (ret == 0)
		ret = bolt_each(r.meta, &in, take_field, &r, e);
	if (ret < 0 && e->kind == ERR_FATAL)
		return ret;
	if (ret == 0 && !bolt_is(r.snapshotter, CONTAINERD_SNAPSHOTTER)) {
		l->others++;
		return 0;
	}
	c = container_list_add(l->list);
	if (!c)
		return no_memory(e);
	ret = problem(c, ret, e);
	if (ret == 0)
		ret = fill_id(l, i->key, c, e);
	if (ret == 0)
		ret = fill(l, &r, c, e);
	if (ret == 0 && is_sandbox(c)) {
		container_done(c);
		l->list->count--;
		return 0;
	}
	return ret < 0 ? ret : note_created(l, &r, e);
}

static int take_namespace(void *arg, const struct bolt_item *i, struct err *e)
{
	static const char *const path[] = {"containers"};
	struct lister *l = arg;
	struct bolt_bucket in;
	AUTO_FREE char *ns = NULL;

	if (!i->is_bucket) /* the version of the schema */
		return 0;
	int r = safe_text(i->key, &ns, e);
	l->ns = ns;
	l->ns_key = i->key;
	if (r == 0)
		r = bolt_enter(&l->db->meta, i, &l->bucket, e);
	if (r == 0)
		r = bolt_descend(&l->db->meta, &l->bucket, path, 1, &in, e);
	if (r > 0)
		r = bolt_each(&l->db->meta, &in, take_container, l, e);
	return r < 0 ? r : 0;
}

/* A name's newest container comes first. */
static int by_name(const void *pa, const void *pb, void *arg)
{
	const struct container *items = arg;
	const struct created *a = pa, *b = pb;
	int r = strcmp(items[a->index].name, items[b->index].name);

	if (r)
		return r;
	if (a->seconds != b->seconds)
		return a->seconds < b->seconds ? 1 : -1;
	if (a->ns != b->ns)
		return a->ns < b->ns ? 1 : -1;
	return a->index < b->index ? -1 : 1;
}

/* Earlier attempts of a pod's container have its name too; archives need different ones. */
static int separate_names(struct lister *l, struct err *e)
{
	struct container *items = l->list->items;
	size_t first = 0;

	if (l->count)
		qsort_r(l->created, l->count, sizeof(*l->created), by_name, items);
	for (size_t i = 1; i < l->count; i++) {
		struct container *c = &items[l->created[i].index];
		char *longer = NULL;

		if (strcmp(c->name, items[l->created[first].index].name) != 0) {
			first = i;
			continue;
		}
		if (asprintf(&longer, "%s_%s_%.12s", c->name, c->namespace, c->id) < 0)
			return no_memory(e);
		free(c->name);
		c->name = longer;
	}
	return 0;
}

int containerd_parse(struct containerd_db *db, struct container_list *list, struct strbuf *notes,
	bool *ret_torn, struct err *e)
{
	static const char *const path[] = {"v1"};
	struct lister l = {.db = db, .list = list, .notes = notes};
	const struct bolt_bucket top = bolt_top(&db->meta);
	struct err ignored, *why = e ? e : &ignored;
	struct bolt_bucket in;
	int r = bolt_descend(&db->meta, &top, path, 1, &in, why);

	if (r > 0)
		r = bolt_each(&db->meta, &in, take_namespace, &l, why);
	if (r == 0)
		r = separate_names(&l, why);
	if (l.others)
		strbuf_printf(notes, "%s: %zu containers of other snapshotters are left out\n",
			db->meta.name, l.others);
	free(l.created);
	*ret_torn = l.torn;
	return r < 0 ? r : 0;
}
