/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "find_archive.h"
#include "job.h"
#include "log.h"
#include "stop.h"
#include "verify.h"

struct one {
	const struct read_options *o;
	const struct found_archive *a;
};

static void on_problem(void *arg, const char *path, const char *text)
{
	const struct one *x = arg;

	report_problem(x->o, x->a->name, path, text);
}

static void result(const struct one *x, const struct verify_result *r)
{
	AUTO_STRBUF b = {0};
	char size[16], name[512];
	const char *status = r->problems ? "damaged" : "good";

	if (x->o->json) {
		strbuf_puts(&b, "{\"v\":1,\"type\":\"verify\"");
		json_field(&b, "archive", x->a->name);
		json_field(&b, "status", status);
		strbuf_printf(&b,
			",\"deep\":%s,\"file_bytes\":%" PRIu64 ",\"frames\":%" PRIu64
			",\"bad_frames\":%" PRIu64 ",\"entries\":%" PRIu64
			",\"bad_entries\":%" PRIu64 ",\"problems\":%" PRIu64 "}",
			r->was_deep ? "true" : "false", r->file_bytes, r->frames, r->bad_frames,
			r->entries, r->bad_entries, r->problems);
	} else {
		(void)str_escape(x->a->name, strlen(x->a->name), name, sizeof(name));
		strbuf_printf(&b,
			"%s: %s: %s, %" PRIu64 " frames (%" PRIu64 " damaged), %" PRIu64
			" entries (%" PRIu64 " damaged)%s",
			name, status, str_size(r->file_bytes, size), r->frames, r->bad_frames,
			r->entries, r->bad_entries, r->was_deep ? ", decoded" : "");
	}
	report_line(&b);
}

static int verify(const struct read_options *o, const char *arg)
{
	AUTO_FOUND a = {.fd = -1};
	struct verify_result r = {0};
	struct err e = {0};
	int rc = find_archive(o, arg, &a, &e);

	if (rc < 0)
		return report_failure(o, arg, &e);
	struct one x = {o, &a};
	const bool has_facts = a.manifest && !a.problem.code;
	const struct verify_options vo = {.facts = has_facts ? &a.facts : NULL,
		.deep = o->deep,
		.problem = on_problem,
		.arg = &x};
	if (has_facts)
		rc = verify_manifest(a.manifest, &a.facts, &vo, &r, &e);
	if (rc == 0)
		rc = verify_archive(a.fd, &vo, &r, &e);
	if (rc < 0)
		return report_failure(o, a.name, &e);
	if (a.problem.code) {
		r.problems++;
		report_problem(o, a.name, NULL, a.problem.text);
	} else if (!a.manifest && r.has_index) {
		r.problems++;
		report_problem(o, a.name, NULL, "has no manifest");
	}
	result(&x, &r);
	return r.problems ? EXIT_DAMAGED : EXIT_GOOD;
}

int run_verify(const struct read_options *o)
{
	int code = EXIT_GOOD;

	stop_init();
	for (size_t i = 0; i < o->arg_count && !stop_asked(); i++)
		code = exit_worst(code, verify(o, o->args[i]));
	return stop_asked() ? EXIT_INTERRUPTED : code;
}
