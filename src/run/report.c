/* SPDX-License-Identifier: Apache-2.0 */
/* What a run tells: JSON lines ("v":1, "type") or text on stdout, progress on a terminal. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "job.h"
#include "log.h"

void report_line(const struct strbuf *b)
{
	if (b->data)
		(void)fputs(b->data, stdout);
	(void)fputc('\n', stdout);
	(void)fflush(stdout);
}

static void head(struct strbuf *b, const struct job *j, const char *type, const char *status)
{
	strbuf_printf(b, "{\"v\":1,\"type\":\"%s\",\"status\":\"%s\",\"job\":", type, status);
	strbuf_json(b, j->cfg->name);
	strbuf_puts(b, ",\"store\":");
	strbuf_json(b, j->container->store);
	strbuf_puts(b, ",\"container\":");
	strbuf_json(b, j->container->name);
	strbuf_puts(b, ",\"id\":");
	if (j->container->id)
		strbuf_json(b, j->container->id);
	else
		strbuf_puts(b, "null");
	strbuf_puts(b, ",\"archive\":");
	strbuf_json(b, j->name ? j->name : "");
}

/* Which volume it is, as JSON members. */
static void volume_json(struct strbuf *b, const struct container *c)
{
	if (c->volume == VOLUME_THIN) {
		strbuf_printf(b, ",\"thin_id\":%" PRIu32, c->thin_id);
		return;
	}
	strbuf_puts(b, ",\"thin_id\":null,\"path\":");
	strbuf_json(b, c->path);
}

static void item_json(const struct job *j, const struct err *failure, const char *status)
{
	AUTO_STRBUF b = {0};

	head(&b, j, "item", status);
	volume_json(&b, j->container);
	strbuf_printf(&b,
		",\"entries\":%" PRIu64 ",\"content_bytes\":%" PRIu64 ",\"file_bytes\":%" PRIu64
		",\"mapped_bytes\":%" PRIu64 ",\"unreadable\":%" PRIu64
		",\"window_ms\":%.3f,\"paused_ms\":%.3f,\"seconds\":%.3f",
		j->counts.entries, j->counts.content_bytes, j->file_bytes, j->mapped_bytes,
		j->trouble.count, (double)j->snap.window_ns / 1e6, (double)j->snap.paused_ns / 1e6,
		j->started_ns ? (double)(clock_ns() - j->started_ns) / 1e9 : 0.0);
	if (failure) {
		strbuf_puts(&b, j->is_skipped ? ",\"reason\":" : ",\"error\":");
		strbuf_json(&b, failure->text);
	}
	strbuf_puts(&b, "}");
	report_line(&b);
}

void report_item(const struct job *j, const struct err *failure)
{
	const char *status = job_result(j);
	char content[16], file[16], how[48] = "read live";

	log_progress("");
	for (size_t i = 0; i < j->trouble.kept && i < 20; i++)
		log_warning("%s: '%s': %s: %s", j->container->name, j->trouble.items[i].path,
			j->trouble.items[i].what, strerror(j->trouble.items[i].error));
	if (failure && j->is_skipped)
		log_info("%s: skipped: %s", j->container->name, failure->text);
	else if (failure)
		log_error("%s: %s", j->container->name, failure->text);
	if (j->options->json) {
		item_json(j, failure, status);
		return;
	}
	if (!j->is_sealed)
		return;
	if (j->container->volume == VOLUME_THIN)
		(void)snprintf(
			how, sizeof(how), "suspended %.1f ms", (double)j->snap.window_ns / 1e6);
	log_info("%s: %s: %" PRIu64 " entries, %s in %s, %s, %s%s", j->container->name, j->name,
		j->counts.entries, str_size(j->counts.content_bytes, content),
		str_size(j->file_bytes, file), how, status, failure ? " (but see above)" : "");
}

void report_plan(const struct job *j)
{
	char size[16], name[256];
	AUTO_STRBUF b = {0};

	if (j->options->json) {
		head(&b, j, "plan", j->container->problem ? "problem" : "planned");
		volume_json(&b, j->container);
		if (j->container->volume == VOLUME_THIN)
			strbuf_printf(&b, ",\"size_bytes\":%" PRIu64, j->container->size_bytes);
		if (j->container->problem) {
			strbuf_puts(&b, ",\"problem\":");
			strbuf_json(&b, j->container->problem);
		}
		strbuf_puts(&b, "}");
	} else {
		(void)str_escape(j->container->name, __builtin_strlen(j->container->name), name,
			sizeof(name));
		strbuf_printf(&b, "%s: %s: ", j->cfg->name, name);
		if (j->container->volume == VOLUME_THIN)
			strbuf_printf(&b, "thin %" PRIu32 ", %s", j->container->thin_id,
				str_size(j->container->size_bytes, size));
		else
			strbuf_puts(&b, j->container->path);
		strbuf_printf(&b, " -> %s/%s.tar.zst%s%s", j->dest->path, j->name ? j->name : "?",
			j->container->problem ? ": " : "",
			j->container->problem ? j->container->problem : "");
	}
	report_line(&b);
}

/* Seconds, by what was done of the whole so far; own: bytes of this job. */
static double time_left(const struct job *j, uint64_t now, uint64_t own, uint64_t bytes)
{
	const struct pace *p = j->pace;
	const uint64_t started = p ? p->started_ns : j->started_ns;
	const uint64_t done = p ? p->done + own : bytes, total = p ? p->total : j->mapped_bytes;

	return done && total > done
		       ? (double)(now - started) / 1e9 * (double)(total - done) / (double)done
		       : 0;
}

static void show(struct job *j, const char *what, uint64_t own, uint64_t bytes)
{
	const uint64_t now = clock_ns();
	char done[16], total[16], rate[16], line[256], name[64];

	if (!log_has_terminal() || now - j->progress_ns < 200000000u)
		return;
	j->progress_ns = now;
	double seconds = (double)(now - j->started_ns) / 1e9;
	double speed = seconds > 0.1 ? (double)bytes / seconds : 0;
	(void)str_escape(
		j->container->name, __builtin_strlen(j->container->name), name, sizeof(name));
	(void)snprintf(line, sizeof(line), "[%zu/%zu] %s: %s%s of %s, %s/s, %.0f s left%s",
		j->number, j->total, name, what, str_size(bytes, done),
		str_size(j->mapped_bytes, total), str_size((unsigned long long)speed, rate),
		time_left(j, now, own, bytes), j->pace ? " in all" : "");
	log_progress(line);
}

void report_progress(void *arg, uint64_t content_bytes)
{
	struct job *j = arg;
	const uint64_t most = j->mapped_bytes;

	show(j, "", most + (content_bytes < most ? content_bytes : most), content_bytes);
}

void report_copy(void *arg, uint64_t copied_bytes)
{
	show(arg, "copied ", copied_bytes, copied_bytes);
}

void report_error(const struct run_options *o, const char *what, const struct err *e)
{
	AUTO_STRBUF b = {0};

	log_error("%s: %s", what, e->text);
	if (!o->json)
		return;
	strbuf_printf(
		&b, "{\"v\":1,\"type\":\"error\",\"code\":%d,\"what\":", err_exit_code(e->kind));
	strbuf_json(&b, what);
	strbuf_puts(&b, ",\"message\":");
	strbuf_json(&b, e->text);
	strbuf_puts(&b, "}");
	report_line(&b);
}
