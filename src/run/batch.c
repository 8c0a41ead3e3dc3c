/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "job.h"
#include "log.h"
#include "manners.h"
#include "plan.h"
#include "scope.h"
#include "stop.h"
#include "store.h"
#include "view.h"

struct batch {
	const struct run_options *o;
	char hostname[256];
	struct container_list list;
	bool uses_pools; /* something selected is on a thin device */
	int code;        /* exit code so far */
	size_t selected, good, incomplete, failed;
};

/* One job of the configuration at work. */
struct round {
	struct batch *b;
	const struct cfg_job *cfg;
	const struct cfg_dest *dest;
	const struct container **containers;
	size_t count;
	struct pools pools;
	char what[80];     /* for those who wait for a lock */
	const char *ended; /* why no further container is begun; NULL: go on */
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

static void account(struct batch *b, const struct job *j, const struct err *failure)
{
	if (failure) {
		int code = err_exit_code(failure->kind);

		/* One container's failure is that container's. */
		b->code = exit_worst(b->code, code == EXIT_FATAL ? EXIT_INCOMPLETE : code);
	}
	if (!j->is_sealed) {
		b->failed++;
	} else if (j->trouble.count) {
		b->incomplete++;
		b->code = exit_worst(b->code, EXIT_INCOMPLETE);
	} else {
		b->good++;
	}
}

/* Everything before the snapshot.  close_job must follow, whatever this returns. */
static int open_job(struct round *r, size_t number, struct job *j, struct err *e)
{
	struct batch *b = r->b;
	const struct container *c = r->containers[number];
	struct pool_use *use = NULL;
	const struct naming naming = {
		.job = r->cfg->name, .hostname = b->hostname, .container = c, .time = time(NULL)};

	*j = (struct job){.options = b->o,
		.cfg = r->cfg,
		.dest = r->dest,
		.dest_ops = dest_find(r->dest->type),
		.container = c,
		.hostname = b->hostname,
		.number = number + 1,
		.total = r->count,
		.root = -1};
	int ret = naming_expand(r->cfg->archive_name_format, &naming, &j->name, e);
	if (b->o->dry_run)
		return ret;
	if (ret == 0 && r->ended)
		ret = err_set(e, ERR_SOURCE, -ECANCELED, "not attempted: %s", r->ended);
	if (ret == 0 && c->problem)
		ret = err_set(e, ERR_STORE, -EINVAL, "%s", c->problem);
	if (ret == 0 && c->volume == VOLUME_THIN)
		ret = pools_enter(&r->pools, &c->pool, &use, e);
	if (use) {
		j->pool = &use->pool;
		j->next_id = &use->next_id;
	}
	return ret;
}

static void close_job(struct round *r, struct job *j, int ret, const struct err *e)
{
	struct batch *b = r->b;

	if (b->o->dry_run) {
		report_plan(j);
		if (j->container->problem)
			b->code = exit_worst(b->code, EXIT_INCOMPLETE);
	} else {
		account(b, j, ret < 0 ? e : NULL);
		report_item(j, ret < 0 ? e : NULL);
	}
	if (j->is_pool_limit && strcmp(r->cfg->on_pool_limit, "stop") == 0)
		r->ended = "the pool's limit ended the job (on_pool_limit)";
	trouble_done(&j->trouble);
	free(j->name);
}

static void one_by_one(struct round *r)
{
	for (size_t i = 0; i < r->count && !stop_asked(); i++) {
		struct job j;
		struct err e = {0};
		int ret = open_job(r, i, &j, &e);

		if (ret == 0 && !r->b->o->dry_run) {
			if (j.next_id)
				*j.next_id = SNAP_ID_TOP;
			ret = job_run(&j, &e);
		}
		close_job(r, &j, ret, &e);
	}
}

/* All snapshots first, in one instant; then one archive after the other. */
static void as_group(struct round *r)
{
	AUTO_FREE struct job *jobs = calloc(r->count, sizeof(*jobs));
	AUTO_FREE struct err *errors = calloc(r->count, sizeof(*errors));

	if (!jobs || !errors) {
		const struct err e = {.kind = ERR_FATAL, .text = "out of memory"};

		report_error(r->b->o, r->cfg->name, &e);
		r->b->code = exit_worst(r->b->code, EXIT_FATAL);
		return;
	}
	for (size_t i = 0; i < r->count; i++)
		(void)open_job(r, i, &jobs[i], &errors[i]);
	job_shoot_group(jobs, r->count, errors);
	for (size_t i = 0; i < r->count; i++) {
		int ret = errors[i].kind ? errors[i].code : 0;

		/* After a signal or the pool's limit it only unwinds. */
		if (ret == 0 && r->ended)
			ret = job_drop(&jobs[i], r->ended, &errors[i]);
		else if (ret == 0)
			ret = job_run(&jobs[i], &errors[i]);
		close_job(r, &jobs[i], ret, &errors[i]);
	}
}

/* Nobody else writes there now, so what is unfinished was left by a run that died. */
static void sweep(const struct cfg_dest *dest)
{
	struct err e = {0};
	int n = dest_find(dest->type)->sweep(dest, &e);

	if (n > 0)
		log_info("destination '%s': removed %d unfinished files", dest->name, n);
	if (n < 0 && n != -ENOENT)
		log_warning("destination '%s': %s", dest->name, e.text);
}

static int lock_dest(struct round *r, int *lock, struct err *e)
{
	AUTO_STRBUF name = {0};
	int ret = dest_find(r->dest->type)->identify(r->dest, &name, e);

	if (ret == 0)
		ret = pools_lock(r->b->o, "destination", name.data, r->what, lock, e);
	if (ret == 0)
		sweep(r->dest);
	return ret < 0 ? err_add(e, "destination '%s'", r->dest->name) : 0;
}

static void run_round(struct round *r)
{
	AUTO_CLOSE int lock = -1;
	struct err e = {0};
	const bool is_dry = r->b->o->dry_run;

	if (!is_dry && lock_dest(r, &lock, &e) < 0) {
		report_error(r->b->o, r->cfg->name, &e);
		r->b->failed += r->count;
		r->b->code = exit_worst(r->b->code, err_exit_code(e.kind));
		return;
	}
	if (r->cfg->group && !is_dry)
		as_group(r);
	else
		one_by_one(r);
	r->b->code = exit_worst(r->b->code, pools_leave(&r->pools));
}

static void one_job(struct batch *b, const struct cfg_job *cfg)
{
	AUTO_FREE const struct container **selected = calloc(b->list.count + 1, sizeof(*selected));
	struct round r = {.b = b,
		.cfg = cfg,
		.dest = cfg_find_dest(b->o->cfg, cfg->destination),
		.containers = selected};

	for (size_t i = 0; selected && i < b->list.count; i++)
		if (plan_selects(cfg, &b->list.items[i]))
			selected[r.count++] = &b->list.items[i];
	(void)snprintf(r.what, sizeof(r.what), "job %s", cfg->name);
	r.pools = (struct pools){.options = b->o, .what = r.what};
	if (!selected) {
		log_error("job '%s': out of memory", cfg->name);
		b->code = exit_worst(b->code, EXIT_FATAL);
	} else if (r.count == 0) {
		log_warning("job '%s' selects no container", cfg->name);
	} else {
		run_round(&r);
	}
	b->selected += r.count;
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
	if (r < 0)
		return r;
	b->code = list_stores(cfg, &b->list);
	if (b->o->dry_run)
		return 0;
	stop_init();
	manners_apply((int)cfg->nice, strcmp(cfg->io_class, "idle") == 0);
	b->uses_pools = has_thin(b);
	if (!b->uses_pools)
		return 0;
	r = dmdev_init(e);
	if (r == 0)
		r = recover_entries(NULL, &left, e);
	return r < 0 ? r : view_isolate(e);
}

static void summary(const struct batch *b, uint64_t started)
{
	AUTO_STRBUF s = {0};
	double seconds = (double)(clock_ns() - started) / 1e9;

	if (b->o->dry_run && !b->o->json)
		return;
	if (!b->o->json) {
		log_info("%zu of %zu containers archived, %zu incomplete, %zu failed, %.1f s",
			b->good + b->incomplete, b->selected, b->incomplete, b->failed, seconds);
		return;
	}
	strbuf_printf(&s,
		"{\"v\":1,\"type\":\"summary\",\"dry_run\":%s,\"selected\":%zu,\"good\":%zu,"
		"\"incomplete\":%zu,\"failed\":%zu,\"seconds\":%.3f,\"exit_code\":%d}",
		b->o->dry_run ? "true" : "false", b->selected, b->good, b->incomplete, b->failed,
		seconds, b->code);
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
	for (size_t i = 0; i < o->cfg->job_count && !stop_asked(); i++)
		if (is_wanted_job(o, &o->cfg->jobs[i]))
			one_job(&b, &o->cfg->jobs[i]);
	if (stop_asked())
		b.code = EXIT_INTERRUPTED;
	if (b.selected == 0)
		b.code = exit_worst(b.code, EXIT_NOTHING);
	if (b.uses_pools && entries_left())
		b.code = exit_worst(b.code, EXIT_LEFTOVER);
	summary(&b, started);
	container_list_done(&b.list);
	return b.code;
}
