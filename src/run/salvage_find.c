/* SPDX-License-Identifier: Apache-2.0 */
/* What is there: the engine's state, its pools, their thin devices, and which belongs to which. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "plan.h"
#include "salvage.h"
#include "scope.h"

static int no_memory(struct err *e)
{
	return err_sys(e, ERR_FATAL, -ENOMEM, "salvage");
}

/* The engine whose folder this is, by what only it makes there. */
static const char *store_type_of(const char *root)
{
	static const struct {
		const char *type, *mark;
	} marks[] = {{"podman", "devicemapper-containers"}, /* it has Docker's folders, too */
		{"docker", "devicemapper/metadata"}, {"docker", "devicemapper/devicemapper"},
		{"containerd", "io.containerd.snapshotter.v1.devmapper"}};
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		AUTO_STRBUF path = {0};

		strbuf_printf(&path, "%s/%s", root, marks[i].mark);
		if (path.data && lstat(path.data, &st) == 0 && S_ISDIR(st.st_mode))
			return marks[i].type;
	}
	return NULL;
}

/* The folder itself, or where an engine keeps its state below a mounted disk. */
static bool find_below(struct salvage *s, const char *given)
{
	static const char *const below[] = {"", "/docker", "/var/lib/docker", "/lib/docker",
		"/containerd", "/var/lib/containerd", "/lib/containerd", "/containers/storage",
		"/var/lib/containers/storage"};
	const char *want = s->options->store;

	for (size_t i = 0; i < ARRAY_LEN(below); i++) {
		AUTO_STRBUF path = {0};

		strbuf_printf(&path, "%s%s", given, below[i]);
		AUTO_FREE char *real = path.data ? realpath(path.data, NULL) : NULL;
		const char *type = real ? store_type_of(real) : NULL;

		if (!type || (want && strcmp(want, type) != 0))
			continue;
		s->root = TAKE_PTR(real);
		s->store.type = (char *)(uintptr_t)type;
		return true;
	}
	return false;
}

int salvage_find_store(struct salvage *s, struct err *e)
{
	const struct salvage_options *o = s->options;
	struct stat st;

	if (!o->root)
		return 0;
	if (stat(o->root, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_sys(
			e, ERR_NOTHING, S_ISDIR(st.st_mode) ? -errno : -ENOTDIR, "'%s'", o->root);
	if (!find_below(s, o->root)) {
		/* Told which engine it is, its store says what is missing. */
		if (!o->store)
			return err_set(e, ERR_NOTHING, -ENOENT,
				"'%s': no state of an engine with thin devices is there, nor below "
				"it in docker, containerd, var/lib/...; --store names the engine",
				o->root);
		s->store.type = (char *)(uintptr_t)o->store;
		s->root = realpath(o->root, NULL);
		if (!s->root)
			return err_sys(e, ERR_NOTHING, -errno, "'%s'", o->root);
	}
	s->store.name = s->store.type;
	s->store.root = s->store.graphroot = s->root;
	return store_find(s->store.type)
		       ? 0
		       : err_set(e, ERR_USAGE, -EINVAL,
				 "'%s' is no type of a store that is known here", s->store.type);
}

static struct salvage_item *add_item(struct salvage *s)
{
	if (s->count == s->cap) {
		const size_t cap = s->cap ? 2 * s->cap : 32;
		struct salvage_item *more = reallocarray(s->items, cap, sizeof(*more));

		if (!more)
			return NULL;
		s->items = more;
		s->cap = cap;
	}
	s->items[s->count] = (struct salvage_item){0};
	return &s->items[s->count++];
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static int set_path(char **path, const char *value, struct err *e)
{
	if (*path || !value)
		return 0;
	*path = strdup(value);
	return *path ? 0 : no_memory(e);
}

/*
 * The pool's number; those given by hand stand for the only one.  A container may know no more than
 * the pool's name, of which a record tells where its files are.
 */
static int add_pool(struct salvage *s, const struct pool_ref *ref, size_t *ret, struct err *e)
{
	const struct salvage_options *o = s->options;
	size_t i = 0;

	while (i < s->pool_count && !o->metadata && !same_text(s->pools[i].name, ref->dm_name))
		i++;
	if (i == s->pool_count) {
		struct salvage_pool *more = reallocarray(s->pools, i + 1, sizeof(*more));

		if (!more)
			return no_memory(e);
		s->pools = more;
		s->pools[s->pool_count++] = (struct salvage_pool){0};
	}
	struct salvage_pool *p = &s->pools[i];
	*ret = i;
	int r = set_path(&p->name, ref->dm_name, e);
	if (r == 0)
		r = set_path(&p->metadata_path, o->metadata ? o->metadata : ref->metadata_path, e);
	return r < 0 ? r : set_path(&p->data_path, o->data ? o->data : ref->data_path, e);
}

struct record {
	char *name, *problem;
	size_t pool;
	uint32_t thin_id;
	bool is_deleted;
};

struct records {
	struct salvage *salvage;
	struct record *items;
	size_t count;
};

static void records_done(struct records *r)
{
	for (size_t i = 0; i < r->count; i++) {
		free(r->items[i].name);
		free(r->items[i].problem);
	}
	free(r->items);
}
#define AUTO_RECORDS __attribute__((cleanup(records_done))) struct records

static int take_record(void *arg, const struct store_record *r, struct err *e)
{
	struct records *all = arg;
	size_t pool;
	int ret = add_pool(all->salvage, r->pool, &pool, e);

	if (ret < 0 || !r->name)
		return ret;
	struct record *more = reallocarray(all->items, all->count + 1, sizeof(*more));
	if (!more)
		return no_memory(e);
	all->items = more;
	struct record *mine = &all->items[all->count++];
	*mine = (struct record){.name = strdup(r->name),
		.problem = r->problem ? strdup(r->problem) : NULL,
		.pool = pool,
		.thin_id = r->thin_id,
		.is_deleted = r->is_deleted};
	return !mine->name || (r->problem && !mine->problem) ? no_memory(e) : 0;
}

static void tell_notes(const struct salvage *s, char *notes)
{
	for (char *line = notes; line && *line;) {
		char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;

		*end = '\0';
		salvage_note(s, line);
		line = next;
	}
}

/* Containers of the store; a store that cannot be listed is a problem, since its pool may live. */
static int list_containers(struct salvage *s, struct err *e)
{
	const struct store_ops *ops = store_find(s->store.type);
	struct container_list list = {0};
	AUTO_STRBUF notes = {0};
	struct err why = {0};
	int r = ops->list(&s->store, &list, &notes, &why);

	tell_notes(s, notes.data);
	if (r < 0 && why.kind != ERR_FATAL) {
		salvage_problem(s, s->root, why.text);
		r = 0;
	} else if (r < 0) {
		*e = why;
	}
	for (size_t i = 0; i < list.count && r == 0; i++) {
		struct container *c = &list.items[i];
		struct salvage_item *item;

		if (c->volume != VOLUME_THIN)
			continue;
		item = add_item(s);
		if (!item) {
			r = no_memory(e);
			break;
		}
		item->container = *c;
		*c = (struct container){0};
		item->container.volume = VOLUME_OFFLINE;
		r = add_pool(s, &item->container.pool, &item->pool, e);
		if (item->container.problem)
			salvage_set(item, SALVAGE_LOST, item->container.problem);
	}
	container_list_done(&list);
	return r;
}

static int list_records(struct salvage *s, struct records *all, struct err *e)
{
	const struct store_ops *ops = store_find(s->store.type);
	AUTO_STRBUF notes = {0};
	struct err why = {0};
	int r = ops->records ? ops->records(&s->store, take_record, all, &notes, &why) : 0;

	if (r < 0 && why.kind == ERR_FATAL) {
		*e = why;
		return r;
	}
	/* What is wrong with the store as a whole was said with its containers. */
	return 0;
}

/* Would the kernel be writing what we read? */
static int check_inactive(const struct salvage_pool *p, struct err *e)
{
	const struct pool_ref ref = {
		.metadata_path = p->metadata_path, .data_path = p->data_path, .is_loop = true};
	struct err ignored;
	struct pool active;

	if (dmdev_init(&ignored) < 0 || pool_find(&ref, &active, &ignored) < 0)
		return 0;
	return err_set(e, ERR_POOL, -EBUSY,
		"pool '%s' is active: its metadata cannot be read beside the kernel", active.name);
}

/* Its trees have checksums of their own; but whether they are the last ones nobody knows. */
static int open_doubtful(struct salvage_pool *p, const struct err *why)
{
	struct err ignored;

	if (thinmeta_open(p->metadata_path, THINMETA_DOUBTFUL, &p->evidence.meta, &ignored) < 0)
		return -EBADMSG;
	if (asprintf(&p->doubt, "read with a damaged superblock, perhaps not its last state: %s",
		    why->text) < 0)
		p->doubt = NULL;
	p->evidence.doubt = p->doubt ? p->doubt : "read with a damaged superblock";
	return 0;
}

static int open_pool(struct salvage *s, struct salvage_pool *p, struct err *e)
{
	struct err why = {0};
	int r = check_inactive(p, e);

	if (r < 0)
		return r;
	p->evidence = (struct evidence){
		.metadata_path = p->metadata_path, .data_path = p->data_path, .scratch = s->to_fd};
	int opened =
		p->metadata_path && p->data_path
			? thinmeta_open(p->metadata_path, THINMETA_MAIN, &p->evidence.meta, &why)
			: err_set(&why, ERR_POOL, -ENOENT,
				  "%s: the pool's files are not there, or not known: name them "
				  "with --metadata and --data",
				  s->root ? s->root : "pool");
	if (opened < 0 && why.kind == ERR_FATAL) {
		*e = why;
		return e->code;
	}
	if (opened < 0)
		salvage_problem(s, p->metadata_path ? p->metadata_path : "pool", why.text);
	if (opened == -EBADMSG && open_doubtful(p, &why) == 0)
		return 0;
	p->problem = opened < 0 ? strdup(why.text) : NULL;
	return opened < 0 && !p->problem ? no_memory(e) : 0;
}

static bool is_named(const struct salvage *s, const struct records *all, size_t pool, uint32_t id)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->items[i].pool == pool && !all->items[i].problem &&
			all->items[i].thin_id == id)
			return true;
	for (size_t i = 0; i < s->count; i++)
		if (s->items[i].pool == pool && s->items[i].kind == SALVAGE_CONTAINER &&
			!s->items[i].container.problem && s->items[i].container.thin_id == id)
			return true;
	return false;
}

/* As large as its file system says; 0 if that cannot be read. */
static uint64_t size_of(const struct salvage_pool *p, uint32_t id)
{
	struct thinview *view = NULL;
	uint8_t b[FSINFO_BYTES];
	struct fsinfo fs = {0};
	struct err e;

	if (thinview_open(p->evidence.meta, id, p->data_path, &view, &e) == 0 &&
		thinview_pread(view, b, sizeof(b), 0, &e) == 0)
		(void)fsinfo_parse(b, &fs, &e);
	thinview_close(view);
	return fs.size_bytes;
}

/* As the details say, unless that is impossible. */
static void set_mapped(
	struct salvage_item *item, const struct salvage_pool *p, const struct thinmeta_device *d)
{
	const uint64_t block = thinmeta_block_bytes(p->evidence.meta);
	const uint64_t size = item->container.size_bytes;

	item->is_known = d->details == THINMETA_PRESENT &&
			 d->mapped_blocks <= thinmeta_superblock(p->evidence.meta)->data_blocks &&
			 (!size || d->mapped_blocks <= size / block + 1);
	item->mapped_bytes = item->is_known ? d->mapped_blocks * block : 0;
}

static int add_orphan(
	struct salvage *s, size_t pool, const struct thinmeta_device *d, struct err *e)
{
	struct salvage_pool *p = &s->pools[pool];
	struct salvage_item *item = add_item(s);
	struct container *c = item ? &item->container : NULL;

	if (!item)
		return no_memory(e);
	*item = (struct salvage_item){.kind = SALVAGE_ORPHAN,
		.pool = pool,
		.container = {.volume = VOLUME_OFFLINE,
			.thin_id = d->id,
			.size_bytes = size_of(p, d->id)}};
	set_mapped(item, p, d);
	c->store = strdup(s->store.name ? s->store.name : "pool");
	char name[64];
	if (pool)
		(void)snprintf(name, sizeof(name), "pool-%zu-thin-%" PRIu32, pool + 1, d->id);
	else
		(void)snprintf(name, sizeof(name), "thin-%" PRIu32, d->id);
	c->name = strdup(name);
	return c->store && c->name ? 0 : no_memory(e);
}

/* Those that no record names, and the damage that hides others. */
static int list_orphans(struct salvage *s, const struct records *all, size_t pool, struct err *e)
{
	struct thinmeta *m = s->pools[pool].evidence.meta;
	struct thinmeta_devices *devices = NULL;
	struct thinmeta_device d;
	int r = thinmeta_devices_open(m, &devices, e);
	const bool has_records = !s->root || store_find(s->store.type)->records;

	while (r == 0 && thinmeta_devices_next(devices, &d)) {
		char text[512];

		if (d.damage.reason != THINMETA_SOUND) {
			(void)thinmeta_damage_text(m, &d.damage, text, sizeof(text));
			salvage_problem(
				s, d.is_details ? "details of thin devices" : "thin devices", text);
		} else if (has_records && !is_named(s, all, pool, d.id)) {
			r = add_orphan(s, pool, &d, e);
		}
	}
	thinmeta_devices_close(devices);
	return r;
}

/* Is the record the container's, which has its own line? */
static bool is_containers(const struct salvage *s, const struct record *r)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct salvage_item *item = &s->items[i];
		const char *device = item->container.pool.device_name;
		const size_t len = device ? strlen(device) : 0, n = strlen(r->name);

		if (item->kind == SALVAGE_CONTAINER && item->pool == r->pool && len > n &&
			strcmp(device + len - n, r->name) == 0)
			return true;
	}
	return false;
}

static int add_record(struct salvage *s, const struct record *r, const char *reason, struct err *e)
{
	struct salvage_item *item = add_item(s);

	if (!item)
		return no_memory(e);
	item->kind = SALVAGE_RECORD;
	item->pool = r->pool;
	item->container = (struct container){.volume = VOLUME_OFFLINE,
		.thin_id = r->thin_id,
		.store = strdup(s->store.name),
		.name = strdup(r->name)};
	salvage_set(item, SALVAGE_LOST, reason);
	return item->container.store && item->container.name ? 0 : no_memory(e);
}

/* Records that no container has, and whose thin device is not there. */
static int check_records(struct salvage *s, const struct records *all, struct err *e)
{
	int ret = 0;

	for (size_t i = 0; i < all->count && ret == 0; i++) {
		const struct record *r = &all->items[i];
		struct thinmeta *m = s->pools[r->pool].evidence.meta;
		struct thinmeta_device d;
		struct err why = {0};

		if (is_containers(s, r))
			continue;
		if (r->problem)
			ret = add_record(s, r, r->problem, e);
		else if (m && !r->is_deleted && thinmeta_device_find(m, r->thin_id, &d, &why) < 0)
			ret = add_record(s, r, why.text, e);
	}
	return ret;
}

/* What the metadata tells of each container. */
static void check_items(struct salvage *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct salvage_item *item = &s->items[i];
		const struct salvage_pool *p = &s->pools[item->pool];
		struct thinmeta_device d;
		struct err why = {0};

		if (item->kind != SALVAGE_CONTAINER || item->status != SALVAGE_PLANNED)
			continue;
		if (!p->evidence.meta) {
			salvage_set(item, SALVAGE_LOST, p->problem);
		} else if (thinmeta_device_find(
				   p->evidence.meta, item->container.thin_id, &d, &why) < 0) {
			salvage_set(item, SALVAGE_LOST, why.text);
		} else {
			set_mapped(item, p, &d);
		}
	}
}

int salvage_list(struct salvage *s, struct err *e)
{
	AUTO_RECORDS all = {.salvage = s};
	const struct pool_ref by_hand = {0};
	size_t pool;
	int r = s->root ? list_containers(s, e) : 0;

	if (r == 0 && s->root)
		r = list_records(s, &all, e);
	if (r == 0 && s->options->metadata)
		r = add_pool(s, &by_hand, &pool, e);
	for (size_t i = 0; i < s->pool_count && r == 0; i++)
		r = open_pool(s, &s->pools[i], e);
	if (r == 0)
		check_items(s);
	if (r == 0)
		r = check_records(s, &all, e);
	for (size_t i = 0; i < s->pool_count && r == 0; i++)
		if (s->pools[i].evidence.meta)
			r = list_orphans(s, &all, i, e);
	return r;
}

static bool any_matches(char **patterns, size_t count, const struct container *c)
{
	for (size_t i = 0; i < count; i++)
		if (plan_matches(patterns[i], c))
			return true;
	return false;
}

void salvage_select(struct salvage *s)
{
	const struct salvage_options *o = s->options;
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct container *c = &s->items[i].container;

		if ((o->name_count == 0 || any_matches(o->names, o->name_count, c)) &&
			!any_matches(o->excluded, o->excluded_count, c)) {
			s->items[kept++] = s->items[i];
			continue;
		}
		salvage_item_done(&s->items[i]);
	}
	s->count = kept;
}

void salvage_item_done(struct salvage_item *i)
{
	container_done(&i->container);
	free(i->archive);
	free(i->reason);
}

void salvage_done(struct salvage *s)
{
	for (size_t i = 0; i < s->count; i++)
		salvage_item_done(&s->items[i]);
	free(s->items);
	for (size_t i = 0; i < s->pool_count; i++) {
		thinmeta_close(s->pools[i].evidence.meta);
		free(s->pools[i].name);
		free(s->pools[i].metadata_path);
		free(s->pools[i].data_path);
		free(s->pools[i].problem);
		free(s->pools[i].doubt);
	}
	free(s->pools);
	free(s->root);
	free(s->to);
	scope_close(&s->to_fd);
}
