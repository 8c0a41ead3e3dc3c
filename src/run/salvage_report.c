/* SPDX-License-Identifier: Apache-2.0 */
/* What salvage tells: a line for each, and one table at the end. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "find_archive.h"
#include "log.h"
#include "salvage.h"
#include "scope.h"

static const char *const statuses[SALVAGE_STATUSES] = {
	"planned", "archived", "damaged", "lost", "failed"};
static const char *const kinds[] = {"container", "orphan", "record"};

void salvage_set(struct salvage_item *i, enum salvage_status status, const char *reason)
{
	i->status = status;
	free(i->reason);
	i->reason = reason ? strdup(reason) : NULL;
}

void salvage_problem(struct salvage *s, const char *what, const char *text)
{
	AUTO_STRBUF b = {0};

	s->problems++;
	log_warning("%s: %s", what, text);
	if (!s->options->json)
		return;
	strbuf_puts(&b, "{\"v\":1,\"type\":\"problem\"");
	json_field(&b, "what", what);
	json_field(&b, "message", text);
	strbuf_puts(&b, "}");
	report_line(&b);
}

void salvage_note(const struct salvage *s, const char *text)
{
	AUTO_STRBUF b = {0};

	log_warning("%s", text);
	if (!s->options->json)
		return;
	strbuf_puts(&b, "{\"v\":1,\"type\":\"note\"");
	json_field(&b, "message", text);
	strbuf_puts(&b, "}");
	report_line(&b);
}

static void item_json(const struct salvage_item *i)
{
	const struct container *c = &i->container;
	AUTO_STRBUF b = {0};

	strbuf_printf(&b, "{\"v\":1,\"type\":\"item\",\"status\":\"%s\",\"kind\":\"%s\"",
		statuses[i->status], kinds[i->kind]);
	json_field(&b, "store", c->store);
	json_field(&b, "container", c->name);
	json_field(&b, "id", c->id);
	if (c->problem)
		strbuf_puts(&b, ",\"thin_id\":null");
	else
		strbuf_printf(&b, ",\"thin_id\":%" PRIu32, c->thin_id);
	json_field(&b, "archive", i->archive);
	strbuf_printf(&b, ",\"archived_before\":%s", i->is_before ? "true" : "false");
	if (i->is_known)
		strbuf_printf(&b, ",\"mapped_bytes\":%" PRIu64, i->mapped_bytes);
	else
		strbuf_puts(&b, ",\"mapped_bytes\":null");
	strbuf_printf(&b,
		",\"lost_bytes\":%" PRIu64 ",\"unreadable\":%" PRIu64 ",\"entries\":%" PRIu64
		",\"content_bytes\":%" PRIu64 ",\"file_bytes\":%" PRIu64,
		i->lost_bytes, i->unreadable, i->entries, i->content_bytes, i->file_bytes);
	json_field(&b, "reason", i->reason);
	strbuf_puts(&b, "}");
	report_line(&b);
}

void salvage_report_item(const struct salvage *s, const struct salvage_item *i)
{
	char content[16], file[16];

	if (s->options->json) {
		item_json(i);
		return;
	}
	if (i->status == SALVAGE_PLANNED || i->is_before)
		return;
	if (i->status == SALVAGE_LOST || i->status == SALVAGE_FAILED)
		log_error("%s: %s: %s", i->container.name, statuses[i->status],
			i->reason ? i->reason : "?");
	else
		log_info("%s: %s: %" PRIu64 " entries, %s in %s", i->container.name,
			statuses[i->status], i->entries, str_size(i->content_bytes, content),
			str_size(i->file_bytes, file));
}

static void row(const struct salvage_item *i)
{
	const char *label = i->container.name ? i->container.name : "?";
	char name[80], thin[16] = "-", mapped[16] = "-";
	AUTO_STRBUF b = {0};
	AUTO_STRBUF what = {0};

	/* Of a record's 64 digits as many as engines show. */
	(void)str_escape(label, i->kind == SALVAGE_RECORD ? strnlen(label, 12) : strlen(label),
		name, sizeof(name));
	if (!i->container.problem)
		(void)snprintf(thin, sizeof(thin), "%" PRIu32, i->container.thin_id);
	if (i->is_known)
		(void)str_size(i->mapped_bytes, mapped);
	if (i->status == SALVAGE_ARCHIVED || i->status == SALVAGE_DAMAGED)
		strbuf_printf(&what, "%" PRIu64 " entries%s", i->entries, i->reason ? "; " : "");
	if (i->lost_bytes) {
		char lost[16];

		strbuf_printf(&what, "%s of the device are lost; ", str_size(i->lost_bytes, lost));
	}
	strbuf_puts(&what, i->reason ? i->reason : "");
	strbuf_printf(&b, "%-9s %-9s %-20s %8s %10s %s", statuses[i->status], kinds[i->kind], name,
		thin, mapped, what.data ? what.data : "");
	report_line(&b);
}

void salvage_report_end(const struct salvage *s, double seconds, int code)
{
	uint64_t count[SALVAGE_STATUSES] = {0}, before = 0, orphans = 0;
	AUTO_STRBUF b = {0};

	for (size_t i = 0; i < s->count; i++) {
		count[s->items[i].status]++;
		before += s->items[i].is_before;
		orphans += s->items[i].kind == SALVAGE_ORPHAN;
	}
	if (s->options->json) {
		strbuf_printf(&b, "{\"v\":1,\"type\":\"summary\",\"dry_run\":%s",
			s->options->dry_run ? "true" : "false");
		for (int i = 0; i < SALVAGE_STATUSES; i++)
			strbuf_printf(&b, ",\"%s\":%" PRIu64, statuses[i], count[i]);
		strbuf_printf(&b,
			",\"archived_before\":%" PRIu64 ",\"orphans\":%" PRIu64
			",\"problems\":%" PRIu64 ",\"seconds\":%.3f,\"exit_code\":%d}",
			before, orphans, s->problems, seconds, code);
		report_line(&b);
		return;
	}
	if (s->count)
		(void)printf("%-9s %-9s %-20s %8s %10s %s\n", "STATUS", "KIND", "NAME", "THIN",
			"MAPPED", "WHAT");
	for (size_t i = 0; i < s->count; i++)
		row(&s->items[i]);
	log_info("%" PRIu64 " archived (%" PRIu64 " of them before), %" PRIu64 " damaged, %" PRIu64
		 " lost, %" PRIu64 " failed, %" PRIu64 " planned; %" PRIu64
		 " orphans among them; %" PRIu64 " problems of the evidence; %.1f s",
		count[SALVAGE_ARCHIVED], before, count[SALVAGE_DAMAGED], count[SALVAGE_LOST],
		count[SALVAGE_FAILED], count[SALVAGE_PLANNED], orphans, s->problems, seconds);
}
