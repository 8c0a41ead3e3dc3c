/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "hook.h"
#include "log.h"
#include "manners.h"
#include "plan.h"
#include "round.h"
#include "safety.h"
#include "scope.h"
#include "stop.h"
#include "store.h"
#include "view.h"

struct batch {
	const struct run_options *o;
	char hostname[256];
	struct container_list list;
	bool uses_pools; /* something selected is on a thin device */
	struct tally sum;
};

static void add(struct tally *to, const struct tally *one)
{
	to->code = exit_worst(to->code, one->code);
	to->selected += one->selected;
	to->good += one->good;
	to->incomplete += one->incomplete;
	to->failed += one->failed;
	to->skipped += one->skipped;
}

static bool is_wanted_job(const struct run_options *o, const struct cfg_job *job)
{
	for (size_t i = 0; i < o->job_count; i++)
		if (strcmp(o->jobs[i], job->name) == 0)
			return true;
	return o->job_count == 0;
}

static int check_job_names(const struct run_options *o, struct err *e)
{
	for (size_t i = 0; i < o->job_count; i++)
		if (!cfg_find_job(o->cfg, o->jobs[i]))
			return err_set(e, ERR_USAGE, -ENOENT, "the configuration has no job '%s'",
				o->jobs[i]);
	return 0;
}

/* One a line. */
static void log_notes(const struct cfg_store *s, const char *notes)
{
	while (notes && *notes) {
		const size_t len = strcspn(notes, "\n");

		log_warning("store '%s': %.*s", s->name, (int)len, notes);
		notes += len + (notes[len] == '\n');
	}
}

int list_stores(const struct cfg *cfg, struct container_list *list)
{
	int code = EXIT_GOOD;

	for (size_t i = 0; i < cfg->store_count; i++) {
		struct err e = {0};
		AUTO_STRBUF notes = {0};
		const struct cfg_store *s = &cfg->stores[i];
		int r = store_find(s->type)->list(s, list, &notes, &e);

		log_notes(s, notes.data);
		if (r < 0) {
			log_error("store '%s': %s", s->name, e.text);
			code = exit_worst(code, err_exit_code(e.kind));
		}
	}
	return code;
}

/* Is a thin device among what the jobs of this run select? */
static bool has_thin(const struct batch *b)
{
	for (size_t i = 0; i < b->o->cfg->job_count; i++)
		for (size_t k = 0; k < b->list.count; k++)
			if (b->list.items[k].volume == VOLUME_THIN &&
				is_wanted_job(b->o, &b->o->cfg->jobs[i]) &&
				plan_selects(&b->o->cfg->jobs[i], &b->list.items[k]))
				return true;
	return false;
}

/* Folders need nothing of the host: neither device mapper nor mounts, nor the rights for them. */
static int prepare(struct batch *b, struct err *e)
{
	const struct cfg *cfg = b->o->cfg;
	size_t left = 0;

	if (gethostname(b->hostname, sizeof(b->hostname) - 1) < 0)
		(void)snprintf(b->hostname, sizeof(b->hostname), "localhost");
	int r = check_job_names(b->o, e);
	if (r == 0)
		r = hook_check(b->o, e);
	if (r < 0)
		return r;
	b->sum.code = list_stores(cfg, &b->list);
	if (b->o->dry_run)
		return 0;
	stop_init();
	manners_apply((int)cfg->nice, strcmp(cfg->io_class, "idle") == 0);
	b->uses_pools = has_thin(b);
	if (!b->uses_pools)
		return recover_archives(e);
	r = dmdev_init(e);
	if (r == 0)
		r = recover_entries(NULL, &left, e);
	return r < 0 ? r : view_isolate(e);
}

static void summary(const struct batch *b, uint64_t started)
{
	const struct tally *t = &b->sum;
	AUTO_STRBUF s = {0};
	double seconds = (double)(clock_ns() - started) / 1e9;

	if (b->o->dry_run && !b->o->json)
		return;
	if (!b->o->json) {
		log_info("%zu of %zu containers archived, %zu incomplete, %zu failed, "
			 "%zu skipped, %.1f s",
			t->good + t->incomplete, t->selected, t->incomplete, t->failed, t->skipped,
			seconds);
		return;
	}
	strbuf_printf(&s,
		"{\"v\":1,\"type\":\"summary\",\"dry_run\":%s,\"selected\":%zu,\"good\":%zu,"
		"\"incomplete\":%zu,\"failed\":%zu,\"skipped\":%zu,\"seconds\":%.3f,"
		"\"exit_code\":%d}",
		b->o->dry_run ? "true" : "false", t->selected, t->good, t->incomplete, t->failed,
		t->skipped, seconds, t->code);
	report_line(&s);
}

static size_t entries_left(void)
{
	struct err e = {0};
	size_t left = 0;

	if (recover_entries(NULL, &left, &e) == 0)
		return left;
	log_error("what is left cannot be told: %s", e.text);
	return 1;
}

int run_batch(const struct run_options *o)
{
	struct batch b = {.o = o};
	struct err e = {0};
	const uint64_t started = clock_ns();

	if (prepare(&b, &e) < 0) {
		report_error(o, "run", &e);
		container_list_done(&b.list);
		return err_exit_code(e.kind);
	}
	for (size_t i = 0; i < o->cfg->job_count && !stop_asked(); i++) {
		struct tally one = {0};

		if (!is_wanted_job(o, &o->cfg->jobs[i]))
			continue;
		round_run(o, &o->cfg->jobs[i], &b.list, b.hostname, &one);
		add(&b.sum, &one);
	}
	if (stop_asked())
		b.sum.code = EXIT_INTERRUPTED;
	if (b.sum.selected == 0)
		b.sum.code = exit_worst(b.sum.code, EXIT_NOTHING);
	if (b.uses_pools && entries_left())
		b.sum.code = exit_worst(b.sum.code, EXIT_LEFTOVER);
	if (b.uses_pools)
		safety_tell_all();
	summary(&b, started);
	container_list_done(&b.list);
	return b.sum.code;
}
