/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The failed host: everything that a carried or mounted state folder still gives, without device
 * mapper.  The evidence is only read: its folder is read-only for this process, and what a mount
 * replays goes into copies.  Archives that are there already are not made again.
 */
#include "salvage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "manners.h"
#include "plan.h"
#include "scope.h"
#include "stop.h"
#include "view.h"

/* The settings are the defaults of the configuration; names and paths are filled in. */
static const char defaults[] = "stores: [{name: salvage, type: docker, root: /}]\n"
			       "destinations: [{name: salvage, type: directory, path: /}]\n"
			       "jobs: [{name: salvage, stores: [salvage], destination: salvage}]\n";

struct work {
	struct salvage *s;
	struct cfg cfg;
	struct run_options options;
	char hostname[256];
	struct dest_list before; /* what the destination holds already */
	struct pace pace;
	int lock;
};

static int load_defaults(struct work *w, struct err *e)
{
	AUTO_STRBUF mistakes = {0};
	int r = cfg_load(defaults, strlen(defaults), "defaults", &w->cfg, &mistakes, e);

	if (r < 0)
		return r;
	free(w->cfg.dests[0].path);
	w->cfg.dests[0].path = strdup(w->s->to);
	w->options = (struct run_options){.cfg = &w->cfg, .json = w->s->options->json};
	return w->cfg.dests[0].path ? 0 : err_sys(e, ERR_FATAL, -ENOMEM, "salvage");
}

static bool is_below(const char *path, const char *folder)
{
	const size_t len = strcmp(folder, "/") == 0 ? 0 : strlen(folder);

	return strncmp(path, folder, len) == 0 && (path[len] == '/' || !path[len]);
}

/* The folder where path is, or would be; NULL: there is none either. */
static char *real_parent(const char *path)
{
	AUTO_FREE char *copy = strdup(path);
	size_t len = copy ? strlen(copy) : 0;

	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	char *slash = copy ? strrchr(copy, '/') : NULL;
	if (!slash)
		return realpath(".", NULL);
	slash[slash == copy] = '\0';
	return realpath(copy, NULL);
}

/* A dry run makes nothing, so the folder may be missing then. */
static int open_to(struct salvage *s, struct err *e)
{
	const char *to = s->options->to;
	AUTO_FREE char *there = realpath(to, NULL);
	AUTO_FREE char *place = there ? strdup(there) : real_parent(to);

	if (place && s->root && is_below(place, s->root))
		return err_set(e, ERR_USAGE, -EINVAL,
			"--to '%s' is below --root '%s', to which nothing is written", to, s->root);
	if (!there && s->options->dry_run) {
		s->to = strdup(to);
		return s->to ? 0 : err_sys(e, ERR_FATAL, -ENOMEM, "'%s'", to);
	}
	if (!there && mkdir(to, 0700) < 0)
		return err_sys(e, ERR_DEST, -errno, "'%s'", to);
	s->to = realpath(to, NULL);
	s->to_fd = s->to ? open(s->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return s->to_fd < 0 ? err_sys(e, ERR_DEST, -errno, "'%s'", to) : 0;
}

/* Whatever goes wrong later: from here on the kernel keeps us from writing to the evidence. */
static int protect(const struct salvage *s, struct err *e)
{
	const char *const files[] = {s->options->metadata, s->options->data};
	int r = view_isolate(e);

	if (r < 0)
		return err_add(e, "copies are mounted, which needs root");
	if (s->root)
		r = view_protect(s->root, e);
	for (size_t i = 0; i < ARRAY_LEN(files) && r == 0; i++) {
		AUTO_FREE char *path = files[i] ? realpath(files[i], NULL) : NULL;
		struct stat st;

		if (path && stat(path, &st) == 0 && S_ISREG(st.st_mode))
			r = view_protect(path, e);
	}
	return r;
}

static int prepare(struct work *w, struct err *e)
{
	struct salvage *s = w->s;

	if (gethostname(w->hostname, sizeof(w->hostname) - 1) < 0)
		(void)snprintf(w->hostname, sizeof(w->hostname), "localhost");
	int r = salvage_find_store(s, e);
	if (r == 0)
		r = open_to(s, e);
	if (r == 0)
		r = load_defaults(w, e);
	if (r < 0)
		return r;
	manners_apply((int)w->cfg.nice, strcmp(w->cfg.io_class, "idle") == 0);
	/* Anybody may look, as far as files can be read; who is not root changes access times. */
	r = protect(s, e);
	if (s->options->dry_run)
		r = 0;
	if (r == 0)
		r = salvage_list(s, e);
	if (r == 0)
		salvage_select(s);
	return r;
}

/* What a salvage that was killed left in this destination. */
static int settle_one(void *arg, struct ledger_entry *x, struct err *e)
{
	const struct work *w = arg;
	int r;

	if (x->kind != LEDGER_ARCHIVE || strcmp(x->path, w->s->to) != 0)
		return 0;
	r = dest_directory.settle(x, e);
	return r < 0 ? r : ledger_remove(x, e);
}

static int open_dest(struct work *w, struct err *e)
{
	AUTO_STRBUF name = {0};
	const struct cfg_dest *dest = &w->cfg.dests[0];
	int r = dest_directory.identify(dest, &name, e);

	if (r == 0)
		r = pools_lock(&w->options, "destination", name.data, "salvage", &w->lock, e);
	if (r == 0 && ledger_is_kept())
		r = ledger_each(settle_one, w, e);
	if (r == 0)
		r = dest_directory.sweep(dest, e);
	return r < 0 ? r : dest_directory.list(dest, &w->before, e);
}

/* NAME, or below orphans/; one that another item has gets the id behind it. */
static int name_archive(struct work *w, struct salvage_item *item, struct err *e)
{
	const struct naming n = {.job = "salvage",
		.hostname = w->hostname,
		.container = &item->container,
		.time = time(NULL)};
	AUTO_FREE char *name = NULL;
	bool is_taken = false;
	int r = naming_expand("{container}/{time}", &n, &name, e);

	if (r < 0)
		return r;
	*strrchr(name, '/') = '\0';
	for (const struct salvage_item *i = w->s->items; i < item; i++)
		is_taken |= i->archive && strcmp(i->archive, name) == 0;
	if (item->kind == SALVAGE_ORPHAN)
		r = asprintf(&item->archive, "orphans/%s", name);
	else if (is_taken && item->container.id)
		r = asprintf(&item->archive, "%s-%.12s", name, item->container.id);
	else
		r = (item->archive = TAKE_PTR(name)) ? 0 : -1;
	if (r >= 0)
		return 0;
	item->archive = NULL;
	return err_sys(e, ERR_FATAL, -ENOMEM, "salvage");
}

static bool same_string(const json_t *object, const char *key, const char *want)
{
	const char *have = json_str(object, key);

	return have ? want && strcmp(have, want) == 0 : !want;
}

static int number_of(const json_t *object, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(object, key);

	*ret = json_is_integer(v) ? (uint64_t)json_integer_value(v) : 0;
	return json_is_integer(v) ? 0 : -ENOENT;
}

/* An archive of that name is there: is it this container's, from the same pool as it was then? */
static void take_before(struct work *w, struct salvage_item *item, const struct dest_item *have)
{
	const struct thinmeta *m = w->s->pools[item->pool].evidence.meta;
	AUTO_JSON *root = NULL;
	uint64_t thin = 0, transaction = 0;
	struct err e = {0};

	if (!have->manifest || json_parse_object(have->manifest, strlen(have->manifest), have->name,
				       &root, &e) < 0) {
		salvage_set(item, SALVAGE_FAILED,
			"an archive of that name is there, whose "
			"manifest cannot be read");
		return;
	}
	const json_t *salvage = json_object_get(root, "salvage");
	if (number_of(salvage, "thin_id", &thin) < 0 || thin != item->container.thin_id ||
		number_of(salvage, "pool_transaction", &transaction) < 0 ||
		transaction != thinmeta_superblock(m)->transaction ||
		!same_string(json_object_get(root, "container"), "id", item->container.id)) {
		salvage_set(item, SALVAGE_FAILED,
			"an archive of that name is there, of something else");
		return;
	}
	item->is_before = true;
	item->file_bytes = have->file_bytes;
	(void)number_of(root, "unreadable_count", &item->unreadable);
	(void)number_of(salvage, "lost_bytes", &item->lost_bytes);
	(void)number_of(json_object_get(root, "counts"), "entries", &item->entries);
	(void)number_of(json_object_get(root, "counts"), "content_bytes", &item->content_bytes);
	salvage_set(item,
		json_is_true(json_object_get(root, "complete")) ? SALVAGE_ARCHIVED
								: SALVAGE_DAMAGED,
		"archived before");
}

static int plan(struct work *w, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < w->s->count && r == 0; i++) {
		struct salvage_item *item = &w->s->items[i];

		if (item->status != SALVAGE_PLANNED)
			continue;
		r = name_archive(w, item, e);
		for (size_t k = 0; k < w->before.count && r == 0; k++)
			if (strcmp(w->before.items[k].name, item->archive) == 0)
				take_before(w, item, &w->before.items[k]);
	}
	return r;
}

static bool find_free(const struct salvage *s, uint64_t *ret)
{
	struct statvfs fs;

	if (s->to_fd < 0 || fstatvfs(s->to_fd, &fs) < 0)
		return false;
	*ret = (uint64_t)fs.f_bavail * fs.f_frsize;
	return true;
}

/* One copy at a time, and all archives: at most what is mapped, since they are compressed. */
static void say_space(const struct salvage *s)
{
	uint64_t largest = 0, sum = 0, avail = 0;
	char a[16], b[16], c[16];
	size_t count = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct salvage_item *item = &s->items[i];

		if (item->status != SALVAGE_PLANNED)
			continue;
		count++;
		sum += item->mapped_bytes;
		largest = item->mapped_bytes > largest ? item->mapped_bytes : largest;
	}
	if (count == 0 || !find_free(s, &avail))
		return;
	log_at(avail < largest + sum ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		"%zu to archive: up to %s for one copy at a time and up to %s for the archives; "
		"%s are free in %s%s",
		count, str_size(largest, a), str_size(sum, b), str_size(avail, c), s->to,
		avail < largest         ? ", which is too little for the largest"
		: avail < largest + sum ? ", which may be too little"
					: "");
}

static bool fits(const struct salvage *s, struct salvage_item *item)
{
	uint64_t avail = 0;
	char need[16], have[16], text[128];

	if (!find_free(s, &avail) || avail > item->mapped_bytes)
		return true;
	(void)snprintf(text, sizeof(text), "its copy needs %s, and %s are free in --to",
		str_size(item->mapped_bytes, need), str_size(avail, have));
	salvage_set(item, SALVAGE_FAILED, text);
	return false;
}

static void take_result(
	struct salvage_item *item, const struct job *j, int ret, const struct err *e)
{
	AUTO_STRBUF text = {0};

	item->entries = j->counts.entries;
	item->content_bytes = j->counts.content_bytes;
	item->file_bytes = j->file_bytes;
	item->unreadable = j->trouble.count;
	item->lost_bytes = j->offline.copied.lost_bytes;
	if (!j->is_sealed) {
		const bool is_lost =
			e->kind == ERR_SOURCE || e->kind == ERR_POOL || e->kind == ERR_STORE;

		salvage_set(item, is_lost ? SALVAGE_LOST : SALVAGE_FAILED, e->text);
		return;
	}
	for (size_t i = 0; i < j->trouble.kept && i < 20; i++)
		log_warning("%s: '%s': %s: %s", item->container.name, j->trouble.items[i].path,
			j->trouble.items[i].what, strerror(j->trouble.items[i].error));
	if (j->trouble.kept)
		strbuf_printf(&text, "%s%s: %s",
			strcmp(j->trouble.items[0].path, ".") == 0 ? "" : j->trouble.items[0].path,
			strcmp(j->trouble.items[0].path, ".") == 0 ? "device" : "",
			j->trouble.items[0].what);
	if (j->trouble.count > 1)
		strbuf_printf(&text, " (and %" PRIu64 " more)", j->trouble.count - 1);
	if (ret < 0)
		strbuf_printf(&text, "%s%s", text.len ? "; " : "", e->text);
	salvage_set(
		item, j->trouble.count || ret < 0 ? SALVAGE_DAMAGED : SALVAGE_ARCHIVED, text.data);
}

static int archive_one(struct work *w, struct salvage_item *item, size_t number, size_t total)
{
	struct job j = {.options = &w->options,
		.cfg = &w->cfg.jobs[0],
		.dest = &w->cfg.dests[0],
		.dest_ops = &dest_directory,
		.container = &item->container,
		.name = item->archive,
		.hostname = w->hostname,
		.number = number,
		.total = total,
		.evidence = &w->s->pools[item->pool].evidence,
		.pace = &w->pace,
		.mapped_bytes = item->mapped_bytes,
		.offline = {.image = -1, .loop = -1},
		.root = -1};
	struct err e = {0};
	int ret = job_run(&j, &e);

	log_progress("");
	if (ret < 0 && e.kind == ERR_INTERRUPTED && !j.is_sealed) {
		trouble_done(&j.trouble);
		return ret;
	}
	take_result(item, &j, ret, &e);
	trouble_done(&j.trouble);
	return 0;
}

static void archive_all(struct work *w)
{
	struct salvage *s = w->s;
	size_t number = 0, total = 0;

	w->pace = (struct pace){.started_ns = clock_ns()};
	for (size_t i = 0; i < s->count; i++)
		if (s->items[i].status == SALVAGE_PLANNED) {
			total++;
			w->pace.total += 2 * s->items[i].mapped_bytes;
		}
	for (size_t i = 0; i < s->count && !stop_asked(); i++) {
		struct salvage_item *item = &s->items[i];

		if (item->status == SALVAGE_PLANNED) {
			number++;
			if (!s->options->dry_run && fits(s, item) &&
				archive_one(w, item, number, total) < 0)
				break;
			w->pace.done += 2 * item->mapped_bytes;
		}
		salvage_report_item(s, item);
	}
}

static int exit_code(const struct salvage *s)
{
	int code = EXIT_GOOD;

	if (s->count == 0)
		code = EXIT_NOTHING;
	if (s->problems)
		code = EXIT_INCOMPLETE;
	for (size_t i = 0; i < s->count; i++)
		if (s->items[i].status != SALVAGE_ARCHIVED && s->items[i].status != SALVAGE_PLANNED)
			code = EXIT_INCOMPLETE;
	return stop_asked() ? EXIT_INTERRUPTED : code;
}

int run_salvage(const struct salvage_options *x)
{
	struct salvage s = {.options = x, .to_fd = -1};
	struct work w = {.s = &s, .lock = -1};
	const uint64_t started = clock_ns();
	struct err e = {0};
	int code;

	stop_init();
	int r = prepare(&w, &e);
	if (r == 0 && !x->dry_run)
		r = open_dest(&w, &e);
	else if (r == 0 && s.to_fd >= 0)
		r = dest_directory.list(&w.cfg.dests[0], &w.before, &e);
	if (r == 0)
		r = plan(&w, &e);
	if (r == 0) {
		say_space(&s);
		archive_all(&w);
		code = exit_code(&s);
		salvage_report_end(&s, (double)(clock_ns() - started) / 1e9, code);
	} else {
		report_error(&w.options, "salvage", &e);
		code = err_exit_code(e.kind);
	}
	dest_list_done(&w.before);
	if (w.lock >= 0)
		(void)close(w.lock);
	salvage_done(&s);
	cfg_done(&w.cfg);
	return code;
}
