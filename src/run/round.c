/* SPDX-License-Identifier: Apache-2.0 */
/* One job of the configuration: its containers one by one, or their snapshots in one instant. */
#include "round.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hook.h"
#include "log.h"
#include "plan.h"
#include "scope.h"
#include "stop.h"

struct round {
	struct tally *sum;
	const struct run_options *o;
	const struct cfg_job *cfg;
	const struct cfg_dest *dest;
	const char *hostname;
	const struct container **containers;
	size_t count;
	struct pools pools;
	char what[80];     /* for those who wait for a lock */
	const char *ended; /* why no further container is begun; NULL: go on */
	int held;          /* by the programs before the job, as hook_before_job */
	struct err held_why;
};

static void account(struct tally *t, const struct job *j, int ret, const struct err *e)
{
	if (ret < 0) {
		int code = err_exit_code(e->kind);

		/* One container's failure is that container's. */
		t->code = exit_worst(t->code, code == EXIT_FATAL ? EXIT_INCOMPLETE : code);
	}
	if (j->is_skipped) {
		t->skipped++;
	} else if (!j->is_sealed) {
		t->failed++;
	} else if (j->trouble.count) {
		t->incomplete++;
		t->code = exit_worst(t->code, EXIT_INCOMPLETE);
	} else {
		t->good++;
	}
}

/* 0: go on; positive: skip it; negative: it has failed. */
static int enter(struct round *r, struct job *j, struct err *e)
{
	const struct container *c = j->container;
	struct pool_use *use = NULL;

	if (r->ended)
		return err_set(e, ERR_SOURCE, -ECANCELED, "not attempted: %s", r->ended);
	if (c->problem)
		return err_set(e, ERR_STORE, -EINVAL, "%s", c->problem);
	if (r->cfg->group && c->lv)
		return err_set(e, ERR_STORE, -ENOTSUP,
			"LVM takes one snapshot after the other, so not in one instant (group)");
	if (strcmp(r->cfg->consistency, "pause") == 0) {
		const struct cfg_store *store = cfg_find_store(r->o->cfg, c->store);

		if (!store->socket)
			return err_set(e, ERR_STORE, -ENOTSUP,
				"store '%s' of type '%s' cannot pause (consistency: pause)",
				store->name, store->type);
	}
	if (r->held) {
		*e = r->held_why;
		return r->held;
	}
	j->is_due = true;
	int ret = hook_before_container(j, e);
	if (ret == 0 && c->volume == VOLUME_THIN)
		ret = pools_enter(&r->pools, &c->pool, &use, e);
	if (use) {
		j->pool = &use->pool;
		j->pool_lock = use->lock;
		j->next_id = &use->next_id;
	}
	return ret;
}

/* Everything before the snapshot; as enter.  close_job must follow, whatever this returns. */
static int open_job(struct round *r, size_t number, struct job *j, struct err *e)
{
	const struct container *c = r->containers[number];
	const struct naming naming = {
		.job = r->cfg->name, .hostname = r->hostname, .container = c, .time = time(NULL)};

	*j = (struct job){.options = r->o,
		.cfg = r->cfg,
		.dest = r->dest,
		.dest_ops = dest_find(r->dest->type),
		.container = c,
		.hostname = r->hostname,
		.number = number + 1,
		.total = r->count,
		.root = -1};
	int ret = naming_expand(r->cfg->archive_name_format, &naming, &j->name, e);
	return ret < 0 || r->o->dry_run ? ret : enter(r, j, e);
}

static int after_container(const struct job *j, int ret, const struct err *e)
{
	int code = ret < 0 ? err_exit_code(e->kind) : EXIT_GOOD;

	if (j->trouble.count)
		code = exit_worst(code, EXIT_INCOMPLETE);
	return hook_after_container(j, job_result(j), code);
}

static void close_job(struct round *r, struct job *j, int ret, const struct err *e)
{
	struct tally *t = r->sum;

	j->is_skipped = ret > 0;
	if (r->o->dry_run) {
		report_plan(j);
		if (j->container->problem)
			t->code = exit_worst(t->code, EXIT_INCOMPLETE);
	} else {
		account(t, j, ret, e);
		report_item(j, ret ? e : NULL);
	}
	if (j->is_due)
		t->code = exit_worst(t->code, after_container(j, ret, e));
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

		if (ret == 0 && !r->o->dry_run) {
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
	AUTO_FREE int *rets = calloc(r->count, sizeof(*rets));

	if (!jobs || !errors || !rets) {
		const struct err e = {.kind = ERR_FATAL, .text = "out of memory"};

		report_error(r->o, r->cfg->name, &e);
		r->sum->code = exit_worst(r->sum->code, EXIT_FATAL);
		return;
	}
	for (size_t i = 0; i < r->count; i++)
		rets[i] = open_job(r, i, &jobs[i], &errors[i]);
	job_shoot_group(jobs, r->count, rets, errors);
	for (size_t i = 0; i < r->count; i++) {
		/* After a signal or the pool's limit it only unwinds. */
		if (rets[i] == 0 && r->ended)
			rets[i] = job_drop(&jobs[i], r->ended, &errors[i]);
		else if (rets[i] == 0)
			rets[i] = job_run(&jobs[i], &errors[i]);
		close_job(r, &jobs[i], rets[i], &errors[i]);
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
		ret = pools_lock(r->o, "destination", name.data, r->what, lock, e);
	if (ret == 0)
		sweep(r->dest);
	return ret < 0 ? err_add(e, "destination '%s'", r->dest->name) : 0;
}

static const char *result_of(const struct round *r)
{
	if (stop_asked() || r->held < 0 || r->sum->failed)
		return "failed";
	return r->held > 0 ? "skipped" : r->sum->incomplete ? "incomplete" : "good";
}

/* The programs around it see what came of this job alone. */
static void with_hooks(struct round *r)
{
	struct tally *t = r->sum;

	r->held = hook_before_job(r->o, r->cfg, &r->held_why);
	if (r->held < 0)
		t->code = err_exit_code(r->held_why.kind);
	if (r->cfg->group)
		as_group(r);
	else
		one_by_one(r);
	t->code = exit_worst(t->code, pools_leave(&r->pools));
	if (stop_asked())
		t->code = EXIT_INTERRUPTED;
	t->code = exit_worst(t->code, hook_after_job(r->o, r->cfg, result_of(r), t->code));
}

static void run(struct round *r)
{
	AUTO_CLOSE int lock = -1;
	struct err e = {0};

	if (r->o->dry_run) {
		one_by_one(r);
	} else if (lock_dest(r, &lock, &e) < 0) {
		report_error(r->o, r->cfg->name, &e);
		r->sum->failed += r->count;
		r->sum->code = err_exit_code(e.kind);
	} else {
		with_hooks(r);
	}
}

void round_run(const struct run_options *o, const struct cfg_job *cfg,
	const struct container_list *list, const char *hostname, struct tally *sum)
{
	AUTO_FREE const struct container **selected = calloc(list->count + 1, sizeof(*selected));
	struct round r = {.sum = sum,
		.o = o,
		.cfg = cfg,
		.dest = cfg_find_dest(o->cfg, cfg->destination),
		.hostname = hostname,
		.containers = selected};

	for (size_t i = 0; selected && i < list->count; i++)
		if (plan_selects(cfg, &list->items[i]))
			selected[r.count++] = &list->items[i];
	(void)snprintf(r.what, sizeof(r.what), "job %s", cfg->name);
	r.pools = (struct pools){.options = o, .what = r.what};
	sum->selected = r.count;
	if (!selected) {
		log_error("job '%s': out of memory", cfg->name);
		sum->code = EXIT_FATAL;
	} else if (r.count == 0) {
		log_warning("job '%s' selects no container", cfg->name);
	} else {
		run(&r);
	}
}
