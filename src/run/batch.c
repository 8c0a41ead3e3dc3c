/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "hook.h"
#include "lock.h"
#include "log.h"
#include "plan.h"
#include "scope.h"
#include "stop.h"
#include "store.h"
#include "view.h"

/* Everything a batch holds; its undo stack takes assembled pools down. */
struct batch {
	const struct run_options *o;
	char hostname[256];
	struct container_list list;
	struct pool pool; /* of the container at hand; name[0] == 0: none */
	struct ledger_entry pool_entry;
	const struct pool_ref *pool_ref;
	struct undo undo;
	int code; /* exit code so far */
	size_t selected, good, incomplete, failed, skipped;
	int held; /* by the programs before the job at hand: as hook_before_job */
	struct err held_why;
};

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

static int undo_pool(void *arg, struct err *e)
{
	return pool_close(arg, e);
}

static int undo_pool_entry(void *arg, struct err *e)
{
	return ledger_remove(arg, e);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_pool(const struct pool_ref *a, const struct pool_ref *b)
{
	return same_text(a->dm_name, b->dm_name) && same_text(a->metadata_path, b->metadata_path);
}

static int leave_pool(struct batch *b)
{
	struct err e = {0};
	int r = undo_to(&b->undo, 0, &e);

	b->pool_ref = NULL;
	if (r < 0) {
		report_error(b->o, b->pool.name, &e);
		b->code = exit_worst(b->code, EXIT_LEFTOVER);
	}
	return r;
}

/* The pool of this container: the one at hand, the active one, or assembled from its files. */
static int enter_pool(struct batch *b, const struct pool_ref *ref, struct err *e)
{
	size_t left = 0;

	if (b->pool_ref && same_pool(b->pool_ref, ref))
		return 0;
	(void)leave_pool(b);
	int r = pool_find(ref, &b->pool, e);
	if (r == -ENOENT) {
		b->pool_entry = (struct ledger_entry){.is_pool = true};
		(void)snprintf(b->pool_entry.pool, sizeof(b->pool_entry.pool), "%s",
			ref->dm_name ? ref->dm_name : "?");
		undo_arm_if_clean(&b->undo, "ledger", undo_pool_entry, &b->pool_entry);
		r = ledger_write(&b->pool_entry, e);
		b->pool = (struct pool){0};
		if (r == 0) {
			undo_arm(&b->undo, "pool", undo_pool, &b->pool);
			r = pool_assemble(ref, &b->pool, e);
		}
	}
	/* What an earlier run left in a pool that was not active then. */
	if (r == 0)
		r = recover_entries(b->pool.name, &left, e);
	if (r < 0) {
		(void)leave_pool(b);
		return r;
	}
	b->pool_ref = ref;
	return 0;
}

static void account(struct batch *b, const struct job *j, const struct err *failure)
{
	if (failure) {
		int code = err_exit_code(failure->kind);

		/* One container's failure is that container's. */
		b->code = exit_worst(b->code, code == EXIT_FATAL ? EXIT_INCOMPLETE : code);
	}
	if (j->is_skipped) {
		b->skipped++;
	} else if (!j->is_sealed) {
		b->failed++;
	} else if (j->trouble.count) {
		b->incomplete++;
		b->code = exit_worst(b->code, EXIT_INCOMPLETE);
	} else {
		b->good++;
	}
}

static int after_container(const struct job *j, const struct err *failure)
{
	int code = failure ? err_exit_code(failure->kind) : EXIT_GOOD;

	if (j->trouble.count)
		code = exit_worst(code, EXIT_INCOMPLETE);
	return hook_after_container(j, job_result(j), code);
}

static void one_container(struct batch *b, const struct cfg_job *cfg, const struct container *c,
	size_t number, size_t total)
{
	struct err e = {0};
	struct job j = {.options = b->o,
		.cfg = cfg,
		.dest = cfg_find_dest(b->o->cfg, cfg->destination),
		.container = c,
		.pool = &b->pool,
		.hostname = b->hostname,
		.number = number,
		.total = total};
	const struct naming naming = {
		.job = cfg->name, .hostname = b->hostname, .container = c, .time = time(NULL)};

	j.dest_ops = dest_find(j.dest->type);
	int r = naming_expand(cfg->archive_name_format, &naming, &j.name, &e);
	if (b->o->dry_run) {
		report_plan(&j);
		if (c->problem)
			b->code = exit_worst(b->code, EXIT_INCOMPLETE);
		free(j.name);
		return;
	}
	if (r == 0 && c->problem)
		r = err_set(&e, ERR_STORE, -EINVAL, "%s", c->problem);
	if (r == 0 && b->held) {
		r = b->held;
		e = b->held_why;
	}
	const bool is_due = r == 0;
	if (r == 0)
		r = hook_before_container(&j, &e);
	if (r == 0)
		r = enter_pool(b, &c->pool, &e);
	if (r == 0)
		r = job_run(&j, &e);
	j.is_skipped = r > 0;
	account(b, &j, r < 0 ? &e : NULL);
	report_item(&j, r ? &e : NULL);
	if (is_due)
		b->code = exit_worst(b->code, after_container(&j, r < 0 ? &e : NULL));
	trouble_done(&j.trouble);
	free(j.name);
}

static void job_containers(struct batch *b, const struct cfg_job *cfg)
{
	size_t total = 0, number = 0;

	for (size_t i = 0; i < b->list.count; i++)
		total += plan_selects(cfg, &b->list.items[i]);
	for (size_t i = 0; i < b->list.count && !stop_asked(); i++)
		if (plan_selects(cfg, &b->list.items[i]))
			one_container(b, cfg, &b->list.items[i], ++number, total);
	if (total == 0)
		log_warning("job '%s' selects no container", cfg->name);
	b->selected += total;
}

static void one_job(struct batch *b, const struct cfg_job *cfg)
{
	const size_t failed = b->failed, incomplete = b->incomplete;
	const int code = b->code;

	if (b->o->dry_run) {
		job_containers(b, cfg);
		return;
	}
	b->code = EXIT_GOOD;
	b->held_why = (struct err){0};
	b->held = hook_before_job(b->o, cfg, &b->held_why);
	if (b->held < 0)
		b->code = err_exit_code(b->held_why.kind);
	job_containers(b, cfg);
	if (stop_asked())
		b->code = EXIT_INTERRUPTED;
	const char *result = stop_asked() || b->held < 0 || b->failed > failed ? "failed"
			     : b->held > 0                                     ? "skipped"
			     : b->incomplete > incomplete                      ? "incomplete"
									       : "good";
	b->code = exit_worst(b->code, hook_after_job(b->o, cfg, result, b->code));
	b->code = exit_worst(b->code, code);
}

int list_stores(const struct cfg *cfg, struct container_list *list)
{
	int code = EXIT_GOOD;

	for (size_t i = 0; i < cfg->store_count; i++) {
		struct err e = {0};
		AUTO_STRBUF notes = {0};
		const struct cfg_store *s = &cfg->stores[i];
		int r = store_find(s->type)->list(s, list, &notes, &e);

		if (notes.len)
			log_warning("store '%s': %s", s->name, notes.data);
		if (r < 0) {
			log_error("store '%s': %s", s->name, e.text);
			code = exit_worst(code, err_exit_code(e.kind));
		}
	}
	return code;
}

/* Unfinished archives of a run that died; we hold the lock, so nobody writes them. */
static void sweep_destinations(const struct cfg *cfg)
{
	for (size_t i = 0; i < cfg->dest_count; i++) {
		struct err e = {0};
		int n = dest_find(cfg->dests[i].type)->sweep(&cfg->dests[i], &e);

		if (n > 0)
			log_info("destination '%s': removed %d unfinished files",
				cfg->dests[i].name, n);
		if (n < 0 && n != -ENOENT)
			log_warning("destination '%s': %s", cfg->dests[i].name, e.text);
	}
}

static int prepare(struct batch *b, int *lock, struct err *e)
{
	size_t left = 0;

	if (gethostname(b->hostname, sizeof(b->hostname) - 1) < 0)
		(void)snprintf(b->hostname, sizeof(b->hostname), "localhost");
	int r = check_job_names(b->o, e);
	if (r == 0)
		r = hook_check(b->o, e);
	if (r < 0 || b->o->dry_run)
		return r;
	stop_init();
	r = dmdev_init(e);
	if (r == 0)
		r = lock_take(lock, e);
	if (r == 0)
		r = recover_entries(NULL, &left, e);
	if (r < 0)
		return r;
	sweep_destinations(b->o->cfg);
	return view_isolate(e);
}

static void summary(const struct batch *b, uint64_t started)
{
	AUTO_STRBUF s = {0};
	double seconds = (double)(clock_ns() - started) / 1e9;

	if (b->o->dry_run && !b->o->json)
		return;
	if (!b->o->json) {
		log_info("%zu of %zu containers archived, %zu incomplete, %zu failed, "
			 "%zu skipped, %.1f s",
			b->good + b->incomplete, b->selected, b->incomplete, b->failed, b->skipped,
			seconds);
		return;
	}
	strbuf_printf(&s,
		"{\"v\":1,\"type\":\"summary\",\"dry_run\":%s,\"selected\":%zu,\"good\":%zu,"
		"\"incomplete\":%zu,\"failed\":%zu,\"skipped\":%zu,\"seconds\":%.3f,\"exit_code\":%"
		"d}",
		b->o->dry_run ? "true" : "false", b->selected, b->good, b->incomplete, b->failed,
		b->skipped, seconds, b->code);
	report_line(&s);
}

static size_t entries_left(void)
{
	struct err e;
	size_t left = 0;

	return recover_entries(NULL, &left, &e) < 0 ? 1 : left;
}

int run_batch(const struct run_options *o)
{
	struct batch b = {.o = o};
	struct err e = {0};
	AUTO_CLOSE int lock = -1;
	const uint64_t started = clock_ns();

	if (prepare(&b, &lock, &e) < 0) {
		report_error(o, "run", &e);
		return err_exit_code(e.kind);
	}
	b.code = list_stores(o->cfg, &b.list);
	for (size_t i = 0; i < o->cfg->job_count && !stop_asked(); i++)
		if (is_wanted_job(o, &o->cfg->jobs[i]))
			one_job(&b, &o->cfg->jobs[i]);
	(void)leave_pool(&b);
	if (stop_asked())
		b.code = EXIT_INTERRUPTED;
	if (b.selected == 0)
		b.code = exit_worst(b.code, EXIT_NOTHING);
	if (!o->dry_run && entries_left())
		b.code = exit_worst(b.code, EXIT_LEFTOVER);
	summary(&b, started);
	container_list_done(&b.list);
	return b.code;
}
