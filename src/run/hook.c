/* SPDX-License-Identifier: Apache-2.0 */
#include "hook.h"

#include <errno.h>
#include <string.h>

#include "file.h"
#include "log.h"
#include "scope.h"
#include "program.h"
#include "stop.h"

#define HOOK_SKIP 75        /* EX_TEMPFAIL of sysexits.h, as borgmatic has it */
#define HOOK_LINES 200      /* logged of one program */
#define HOOK_LAST_MS 30000u /* one that runs afterwards, once we are asked to stop */
#define HOOK_VARIABLES_MAX 13

/* What a program is told; NULL: unknown, and not in its environment. */
struct hook_facts {
	const struct run_options *o;
	const struct cfg_job *job;
	const struct container *container; /* NULL in the stages of a job */
	const char *archive, *result;
	int code;
};

struct environment {
	char *items[HOOK_VARIABLES_MAX + 1];
	size_t count;
	bool failed;
};

static void add(struct environment *env, const char *name, const char *value)
{
	if (!value || env->failed)
		return;
	if (env->count == HOOK_VARIABLES_MAX ||
		asprintf(&env->items[env->count], "%s=%s", name, value) < 0) {
		env->items[env->count] = NULL;
		env->failed = true;
		return;
	}
	env->count++;
}

static void environment_done(struct environment *env)
{
	for (size_t i = 0; i < env->count; i++)
		free(env->items[i]);
}

static void fill_environment(struct environment *env, const struct hook_facts *f)
{
	const struct container *c = f->container;
	const char *home = geteuid() == 0 ? "/root" : getenv("HOME");
	char code[12];

	add(env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	add(env, "HOME", home ? home : "/");
	add(env, "LANG", "C.UTF-8");
	add(env, "THINARK_JOB", f->job->name);
	if (c) {
		add(env, "THINARK_STORE", c->store);
		add(env, "THINARK_CONTAINER", c->name);
		add(env, "THINARK_CONTAINER_ID", c->id);
		add(env, "THINARK_IMAGE", c->image);
		add(env, "THINARK_STATE", c->state);
	}
	add(env, "THINARK_ARCHIVE", f->archive);
	add(env, "THINARK_RESULT", f->result);
	if (f->result) {
		(void)snprintf(code, sizeof(code), "%d", f->code);
		add(env, "THINARK_EXIT_CODE", code);
	}
}

struct output {
	const char *program;
	size_t lines;
};

static void log_line(void *arg, const char *text, size_t len)
{
	struct output *out = arg;
	char safe[PROGRAM_LINE_MAX * 4 + 1]; /* each byte may become \xNN */

	if (out->lines++ >= HOOK_LINES)
		return;
	(void)str_escape(text, len, safe, sizeof(safe));
	/* The log cuts its lines, so a long one comes in parts. */
	for (const char *at = safe; *at; at += strnlen(at, 1500))
		log_info("%s: %.1500s", out->program, at);
}

static bool is_due(const struct cfg_command *c, const struct hook_facts *f)
{
	const char *stage = f->result ? c->after : c->before;
	const char *end = f->result && strcmp(f->result, "failed") == 0 ? "fail" : "finish";
	bool ok = c->jobs.count == 0;

	for (size_t i = 0; i < c->jobs.count; i++)
		ok |= strcmp(c->jobs.items[i], f->job->name) == 0;
	if (!ok || !stage || strcmp(stage, f->container ? "container" : "job") != 0)
		return false;
	ok = !f->result || c->states.count == 0;
	for (size_t i = 0; i < c->states.count; i++)
		ok |= strcmp(c->states.items[i], end) == 0;
	return ok;
}

/* 0, 1 for "skip", or an error. */
static int verdict(const struct cfg_command *c, const struct program_result *r, struct err *e)
{
	const char *program = c->run.items[0];

	switch (r->end) {
	case PROGRAM_STOPPED:
		(void)stop_check(e);
		return err_add(e, "'%s' was ended", program);
	case PROGRAM_TIMED_OUT:
		return err_set(e, ERR_SOURCE, -ETIMEDOUT,
			"'%s' did not end within %lld s and was killed", program,
			(long long)c->timeout);
	case PROGRAM_SIGNALLED:
		return err_set(
			e, ERR_SOURCE, -EINTR, "'%s' was killed by signal %d", program, r->code);
	case PROGRAM_EXITED:
		break;
	}
	if (r->code == 0)
		return 0;
	int rc = err_set(e, ERR_SOURCE, -ECHILD, "'%s' ended with exit code %d", program, r->code);
	if (r->code != HOOK_SKIP)
		return rc;
	*e = (struct err){0};
	(void)snprintf(e->text, sizeof(e->text), "'%.900s' said so", program);
	return 1;
}

static int run_one(const struct cfg_command *c, const struct hook_facts *f, struct err *e)
{
	struct environment env = {0};
	struct output out = {.program = c->run.items[0]};
	struct program_result result;
	AUTO_FREE char **argv = calloc(c->run.count + 1, sizeof(*argv));
	int r = argv ? file_open_trusted(c->run.items[0], NULL, e)
		     : err_sys(e, ERR_FATAL, -ENOMEM, "commands");

	if (r < 0)
		return r;
	memcpy(argv, c->run.items, c->run.count * sizeof(*argv));
	fill_environment(&env, f);
	const struct program s = {.argv = argv,
		.env = env.items,
		.timeout_ms = (uint64_t)c->timeout * 1000,
		.stop_ms = f->result ? HOOK_LAST_MS : 0,
		.line = log_line,
		.arg = &out};
	log_debug("%s: started", out.program);
	r = env.failed ? err_sys(e, ERR_FATAL, -ENOMEM, "commands") : program_run(&s, &result, e);
	environment_done(&env);
	if (out.lines > HOOK_LINES)
		log_info("%s: %zu more lines", out.program, out.lines - HOOK_LINES);
	return r < 0 ? r : verdict(c, &result, e);
}

static int before(const struct hook_facts *f, struct err *e)
{
	const struct cfg *cfg = f->o->cfg;
	int r = 0;

	for (size_t i = 0; r == 0 && i < cfg->command_count; i++)
		if (is_due(&cfg->commands[i], f))
			r = run_one(&cfg->commands[i], f, e);
	return r < 0 ? err_add(e, "before %s", f->container ? "container" : "job") : r;
}

static int after(const struct hook_facts *f)
{
	const struct cfg *cfg = f->o->cfg;
	const char *name = f->container ? f->container->name : f->job->name;
	int code = EXIT_GOOD;

	for (size_t i = 0; i < cfg->command_count; i++) {
		struct err e = {0};

		if (!is_due(&cfg->commands[i], f))
			continue;
		int r = run_one(&cfg->commands[i], f, &e);
		if (r == 0)
			continue;
		if (r > 0)
			(void)snprintf(e.text, sizeof(e.text), "'%.900s' ended with exit code %d",
				cfg->commands[i].run.items[0], HOOK_SKIP);
		log_warning("%s: after %s: %s", name, f->container ? "container" : "job", e.text);
		code = EXIT_INCOMPLETE;
	}
	return code;
}

int hook_before_job(const struct run_options *o, const struct cfg_job *job, struct err *e)
{
	return before(&(struct hook_facts){.o = o, .job = job}, e);
}

int hook_after_job(
	const struct run_options *o, const struct cfg_job *job, const char *result, int code)
{
	return after(&(struct hook_facts){.o = o, .job = job, .result = result, .code = code});
}

static struct hook_facts of_container(const struct job *j)
{
	return (struct hook_facts){
		.o = j->options, .job = j->cfg, .container = j->container, .archive = j->name};
}

int hook_before_container(const struct job *j, struct err *e)
{
	const struct hook_facts f = of_container(j);

	return before(&f, e);
}

int hook_after_container(const struct job *j, const char *result, int code)
{
	struct hook_facts f = of_container(j);

	f.result = result;
	f.code = code;
	return after(&f);
}

static bool is_wanted(const struct run_options *o, const struct cfg_command *c)
{
	bool ok = o->job_count == 0 || c->jobs.count == 0;

	for (size_t i = 0; i < o->job_count; i++)
		for (size_t k = 0; k < c->jobs.count; k++)
			ok |= strcmp(o->jobs[i], c->jobs.items[k]) == 0;
	return ok;
}

int hook_check(const struct run_options *o, struct err *e)
{
	for (size_t i = 0; i < o->cfg->command_count; i++) {
		const struct cfg_command *c = &o->cfg->commands[i];
		int r = is_wanted(o, c) ? file_open_trusted(c->run.items[0], NULL, e) : 0;

		if (r == 0 && is_wanted(o, c) && access(c->run.items[0], X_OK) < 0)
			r = err_sys(e, ERR_CONFIG, -errno, "'%s' cannot be run", c->run.items[0]);
		if (r < 0)
			return err_add(e, "commands");
	}
	return 0;
}
