/* SPDX-License-Identifier: Apache-2.0 */
/* One thin device as a sparse image, from the files of a pool that is not active. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "find_archive.h"
#include "job.h"
#include "log.h"
#include "scope.h"
#include "stop.h"
#include "thinview.h"

#define LOSSES_SHOWN 100

/* What to read, from the command line or a store. */
struct source {
	const char *metadata, *data;
	uint32_t id;
	uint64_t size; /* bytes; 0: as far as blocks are mapped */
};

struct losses {
	const struct run_options *options;
	uint64_t count;
};

static void say_lost(void *arg, uint64_t offset, uint64_t len, const char *why)
{
	struct losses *l = arg;
	struct err e = {.kind = ERR_SOURCE};
	char what[80];

	if (++l->count > LOSSES_SHOWN)
		return;
	(void)snprintf(
		what, sizeof(what), "%" PRIu64 " bytes at %" PRIu64 " are lost", len, offset);
	(void)err_set(&e, ERR_SOURCE, -EIO, "%s", why);
	report_error(l->options, what, &e);
}

static void summary(const struct run_options *o, const struct source *s, const char *to,
	const struct thinview_copied *c)
{
	AUTO_STRBUF b = {0};
	char size[16], mapped[16];
	const char *status = c->losses ? "incomplete" : "good";

	if (!o->json) {
		log_info("%s: %s: thin device %" PRIu32 ", %s, %s mapped, %" PRIu64 " ranges lost",
			to, status, s->id, str_size(c->size, size),
			str_size(c->mapped_bytes, mapped), c->losses);
		return;
	}
	strbuf_puts(&b, "{\"v\":1,\"type\":\"summary\"");
	json_field(&b, "image", to);
	json_field(&b, "status", status);
	strbuf_printf(&b,
		",\"thin_id\":%" PRIu32 ",\"size_bytes\":%" PRIu64 ",\"mapped_bytes\":%" PRIu64
		",\"lost_bytes\":%" PRIu64 ",\"losses\":%" PRIu64 "}",
		s->id, c->size, c->mapped_bytes, c->lost_bytes, c->losses);
	report_line(&b);
}

static int open_source(
	const struct source *s, struct thinmeta **ret_meta, struct thinview **ret, struct err *e)
{
	int r = thinmeta_open(s->metadata, THINMETA_MAIN, ret_meta, e);

	return r < 0 ? r : thinview_open(*ret_meta, s->id, s->data, ret, e);
}

static int begin_image(const char *to, struct file_part *p, struct err *e)
{
	AUTO_FREE char *copy = strdup(to);
	char *slash = copy ? strrchr(copy, '/') : NULL;

	if (!copy)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", to);
	if (slash)
		*slash = '\0';
	const char *folder = !slash ? "." : slash == copy ? "/" : copy;
	AUTO_CLOSE int dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return err_sys(e, ERR_DEST, -errno, "%s", folder);
	char tag[17];
	int r = file_tag(tag, e);
	return r < 0 ? r : file_part_begin(dirfd, slash ? slash + 1 : copy, tag, p, e);
}

static int export_to(
	const struct run_options *o, const struct source *s, const char *to, struct err *e)
{
	struct thinmeta *meta = NULL;
	struct thinview *view = NULL;
	struct thinview_copied sum = {0};
	struct losses losses = {.options = o};
	const struct thinview_events events = {.lost = say_lost, .arg = &losses};
	struct file_part part = {0};
	struct err ignored;
	int r = open_source(s, &meta, &view, e);

	if (r == 0)
		r = begin_image(to, &part, e);
	if (r == 0)
		r = thinview_copy(view, part.fd, s->size, &events, &sum, e);
	if (r == 0) {
		part.written = sum.size;
		r = file_part_sync(&part, e);
	}
	if (r == 0)
		r = file_part_publish(&part, e);
	(void)file_part_drop(&part, r < 0 ? &ignored : e);
	thinview_close(view);
	thinmeta_close(meta);
	if (losses.count > LOSSES_SHOWN)
		log_warning("and %" PRIu64 " more", losses.count - LOSSES_SHOWN);
	if (r < 0)
		return err_exit_code(e->kind);
	summary(o, s, to, &sum);
	return sum.losses ? EXIT_INCOMPLETE : EXIT_GOOD;
}

/* What the store knows; paths given by hand stand for others, such as copies. */
static int from_store(const struct container *c, struct source *s, struct err *e)
{
	struct err ignored;
	struct pool p;

	if (c->problem)
		return err_set(e, ERR_STORE, -EINVAL, "%s", c->problem);
	if (c->volume != VOLUME_THIN)
		return err_set(e, ERR_USAGE, -EINVAL, "'%s' has no thin device", c->name);
	if (!s->metadata && !s->data && dmdev_init(&ignored) == 0 &&
		pool_find(&c->pool, &p, &ignored) == 0)
		return err_set(e, ERR_POOL, -EBUSY,
			"pool '%s' is active: its metadata cannot be read beside the kernel",
			p.name);
	s->metadata = s->metadata ? s->metadata : c->pool.metadata_path;
	s->data = s->data ? s->data : c->pool.data_path;
	s->id = c->thin_id;
	s->size = s->size ? s->size : c->size_bytes;
	if (!s->metadata || !s->data)
		return err_set(e, ERR_USAGE, -EINVAL,
			"where the pool of '%s' is, is not known: give --metadata and --data",
			c->name);
	return 0;
}

static int number(const char *text, const char *name, uint64_t max, uint64_t *ret, struct err *e)
{
	char *end = NULL;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || *ret > max)
		return err_set(e, ERR_USAGE, -EINVAL,
			"--%s '%s': a number up to %" PRIu64 " is expected", name, text, max);
	return 0;
}

int run_export(const struct export_options *x)
{
	const struct run_options o = {.cfg = x->cfg, .json = x->json};
	struct source s = {.metadata = x->metadata, .data = x->data};
	struct container_list list = {0};
	struct err e = {0};
	uint64_t id = 0;
	int r = x->size ? number(x->size, "size", INT64_MAX, &s.size, &e) : 0, code;

	if (r == 0 && x->thin_id)
		r = number(x->thin_id, "thin-id", THINMETA_ID_MAX, &id, &e);
	s.id = (uint32_t)id;
	stop_init();
	if (r == 0 && x->container) {
		(void)list_stores(x->cfg, &list);
		const struct container *c = list_find(&list, x->container, &e);
		r = c ? from_store(c, &s, &e) : e.code;
	}
	code = r < 0 ? err_exit_code(e.kind) : export_to(&o, &s, x->to, &e);
	if (e.code)
		report_error(&o, x->container ? x->container : x->to, &e);
	container_list_done(&list);
	return code;
}
