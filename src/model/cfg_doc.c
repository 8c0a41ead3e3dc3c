/* SPDX-License-Identifier: Apache-2.0 */
/* Schema, sample and man page, printed from the rows that the loader uses. */
#include <string.h>

#include "cfg_key.h"

static void indent(struct strbuf *out, int depth)
{
	for (int i = 0; i < depth; i++)
		strbuf_puts(out, "  ");
}

static void schema_text(struct strbuf *out, const struct cfg_key *k)
{
	const char *pattern = k->type == CFG_NUM ? cfg_num_pattern(k->unit) : k->pattern;

	if (k->type == CFG_NUM && k->unit == CFG_BOOL) {
		strbuf_puts(out, "\"type\": \"boolean\"");
		return;
	}
	/* A number without a unit is one in YAML too. */
	strbuf_puts(out, k->type == CFG_NUM && (k->unit == CFG_COUNT || k->unit == CFG_BYTES)
				 ? "\"type\": [\"string\", \"integer\"]"
				 : "\"type\": \"string\"");
	if (k->words) {
		strbuf_puts(out, ", \"enum\": [");
		for (const char *const *w = k->words; *w; w++) {
			if (w != k->words)
				strbuf_puts(out, ", ");
			strbuf_json(out, *w);
		}
		strbuf_puts(out, "]");
	}
	if (pattern) {
		strbuf_puts(out, ", \"pattern\": ");
		strbuf_json(out, pattern);
	}
}

static void schema_map(struct strbuf *out, const struct cfg_key *keys, int depth);

static void schema_key(struct strbuf *out, const struct cfg_key *k, int depth)
{
	indent(out, depth);
	strbuf_json(out, k->name);
	strbuf_puts(out, ": {\n");
	indent(out, depth + 1);
	strbuf_puts(out, "\"description\": ");
	strbuf_json(out, k->help);
	strbuf_puts(out, ",\n");
	indent(out, depth + 1);
	if (k->type == CFG_LIST || k->type == CFG_MAPS) {
		strbuf_printf(out, "\"type\": \"array\",%s \"items\": {",
			k->filled ? " \"minItems\": 1," : "");
		if (k->type == CFG_MAPS) {
			strbuf_puts(out, "\n");
			schema_map(out, k->sub, depth + 2);
			indent(out, depth + 1);
		} else {
			schema_text(out, k);
		}
		strbuf_puts(out, "}");
	} else {
		schema_text(out, k);
	}
	if (k->def) {
		strbuf_puts(out, ",\n");
		indent(out, depth + 1);
		strbuf_puts(out, "\"default\": ");
		/* The default of a list is written so that it is JSON as well as YAML. */
		if (k->type == CFG_LIST || (k->type == CFG_NUM && k->unit == CFG_BOOL))
			strbuf_puts(out, k->def);
		else
			strbuf_json(out, k->def);
	}
	strbuf_puts(out, "\n");
	indent(out, depth);
	strbuf_puts(out, "}");
}

static void schema_map(struct strbuf *out, const struct cfg_key *keys, int depth)
{
	const char *comma = "";

	indent(out, depth);
	strbuf_puts(out, "\"type\": \"object\",\n");
	indent(out, depth);
	strbuf_puts(out, "\"additionalProperties\": false,\n");
	indent(out, depth);
	strbuf_puts(out, "\"required\": [");
	for (const struct cfg_key *k = keys; k->name; k++) {
		if (!k->required || k->only)
			continue;
		strbuf_puts(out, comma);
		strbuf_json(out, k->name);
		comma = ", ";
	}
	strbuf_puts(out, "],\n");
	indent(out, depth);
	strbuf_puts(out, "\"properties\": {\n");
	for (const struct cfg_key *k = keys; k->name; k++) {
		schema_key(out, k, depth + 1);
		strbuf_puts(out, k[1].name ? ",\n" : "\n");
	}
	indent(out, depth);
	strbuf_puts(out, "}\n");
}

void cfg_doc_schema(struct strbuf *out)
{
	strbuf_puts(out, "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
			 "  \"title\": \"Configuration of thinark\",\n");
	schema_map(out, cfg_keys, 1);
	strbuf_puts(out, "}\n");
}

static void sample_value(struct strbuf *out, const struct cfg_key *k)
{
	const char *value = k->sample ? k->sample : k->def;

	/* '{' would begin a map. */
	if (k->type != CFG_LIST && strchr(value, '{'))
		strbuf_printf(out, "%s: \"%s\"\n", k->name, value);
	else
		strbuf_printf(out, "%s: %s\n", k->name, value);
}

/* The type of the entry that the sample shows. */
static const char *sample_type(const struct cfg_key *keys)
{
	for (; keys->name; keys++)
		if (strcmp(keys->name, "type") == 0)
			return keys->sample;
	return NULL;
}

/* A list of maps below a row, with one entry. */
static void sample_sub(struct strbuf *out, const struct cfg_key *k, const char *margin)
{
	strbuf_printf(out, "%s:\n", k->name);
	for (const struct cfg_key *row = k->sub; row->name; row++) {
		if (!row->sample)
			continue;
		strbuf_printf(out, "%s  %c ", margin, row == k->sub ? '-' : ' ');
		sample_value(out, row);
	}
}

/* One setting; what is fine as it is for nearly everybody, or of another type, is a comment. */
static void sample_key(struct strbuf *out, const struct cfg_key *k, const char *type,
	const char *margin, char dash)
{
	const bool applies = cfg_key_applies(k, type);

	strbuf_printf(out, "%s  # %s", margin, k->help);
	if (!k->required && k->sample && k->def && *k->def)
		strbuf_printf(out, " (default: %s)", k->def);
	if (!applies)
		strbuf_printf(out, " (only type %s)", k->only[0]);
	if (applies && (k->required || (k->sample && !k->rare)))
		strbuf_printf(out, "\n%s%c ", margin, dash);
	else
		strbuf_printf(out, "\n%s  # ", margin);
	if (k->sub)
		sample_sub(out, k, "    # ");
	else
		sample_value(out, k);
}

/* A section that few need stands as a comment, with one example. */
static void sample_section(struct strbuf *out, const struct cfg_key *k)
{
	const char *margin = k->optional ? "#   " : "  ";
	char dash = '-';

	strbuf_printf(out, "# %s\n%s%s:\n", k->help, k->optional ? "# " : "", k->name);
	for (const struct cfg_key *row = k->sub; row->name; row++) {
		if (k->optional && !row->sample)
			continue;
		sample_key(out, row, sample_type(k->sub), margin, dash);
		dash = ' ';
	}
	strbuf_puts(out, "\n");
}

static void sample(struct strbuf *out)
{
	for (const struct cfg_key *k = cfg_keys; k->name; k++)
		if (k->type == CFG_MAPS)
			sample_section(out, k);
	strbuf_puts(out, "# For all jobs\n");
	for (const struct cfg_key *k = cfg_keys; k->name; k++) {
		if (k->type == CFG_MAPS)
			continue;
		strbuf_printf(out, "# %s\n# ", k->help);
		sample_value(out, k);
	}
}

void cfg_doc_sample(struct strbuf *out)
{
	strbuf_puts(out, "# Configuration of thinark, see thinark.yaml(5).\n\n");
	sample(out);
}

/* Text in roff: nothing in it is a request, an escape or a typographic sign. */
static void man_text(struct strbuf *out, const char *s)
{
	if (*s == '.' || *s == '\'')
		strbuf_puts(out, "\\&");
	for (; *s; s++) {
		if (*s == '\\')
			strbuf_puts(out, "\\e");
		else if (*s == '-')
			strbuf_puts(out, "\\-");
		else if (*s == '\'')
			strbuf_puts(out, "\\(aq");
		else if (*s == '"')
			strbuf_puts(out, "\\(dq");
		else if (*s == '^')
			strbuf_puts(out, "\\(ha");
		else if (*s == '~')
			strbuf_puts(out, "\\(ti");
		else
			strbuf_add(out, s, 1);
	}
}

static void man_only(struct strbuf *out, const struct cfg_key *k)
{
	strbuf_puts(out, "Only of type");
	for (const char *const *w = k->only; *w; w++) {
		strbuf_puts(out, w == k->only ? " " : ", ");
		man_text(out, *w);
	}
	strbuf_puts(out, ".\n");
}

static void man_key(struct strbuf *out, const struct cfg_key *k)
{
	strbuf_puts(out, ".TP\n.B ");
	man_text(out, k->name);
	strbuf_printf(out, "\n%s%s.\n",
		k->type == CFG_LIST   ? "List. "
		: k->type == CFG_MAPS ? "List of maps. "
				      : "",
		k->required ? "Required" : "Optional");
	if (k->only)
		man_only(out, k);
	man_text(out, k->help);
	strbuf_puts(out, ".\n");
	if (k->sub) {
		strbuf_puts(out, "Each map has these keys:\n.RS\n");
		for (const struct cfg_key *row = k->sub; row->name; row++)
			man_key(out, row);
		strbuf_puts(out, ".RE\n");
	}
	if (k->words) {
		strbuf_puts(out, "One of:");
		for (const char *const *w = k->words; *w; w++) {
			strbuf_puts(out, w == k->words ? " " : ", ");
			man_text(out, *w);
		}
		strbuf_puts(out, ".\n");
	}
	if (k->def && *k->def) {
		strbuf_puts(out, "Default:\n.BR ");
		/* One argument of the macro, whatever is in it. */
		strbuf_puts(out, "\"");
		man_text(out, k->def);
		strbuf_puts(out, "\" .\n");
	}
}

static void man_sections(struct strbuf *out)
{
	for (const struct cfg_key *k = cfg_keys; k->name; k++) {
		if (k->type != CFG_MAPS)
			continue;
		strbuf_puts(out, ".SH ");
		for (const char *s = k->name; *s; s++)
			strbuf_printf(out, "%c", *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
		strbuf_puts(out, "\n");
		man_text(out, k->help);
		strbuf_printf(out,
			".\nThe key\n.B %s\nholds a list of %s.\n"
			"Each map has these keys:\n",
			k->name, k->filled ? "at least one map" : "maps, and may be missing");
		for (const struct cfg_key *row = k->sub; row->name; row++)
			man_key(out, row);
	}
	strbuf_puts(out, ".SH GENERAL SETTINGS\nThese keys stand beside the lists.\n");
	for (const struct cfg_key *k = cfg_keys; k->name; k++)
		if (k->type != CFG_MAPS)
			man_key(out, k);
}

static void man_sample(struct strbuf *out)
{
	struct strbuf text = {0};

	sample(&text);
	strbuf_puts(out, ".SH EXAMPLES\n.nf\n");
	for (const char *line = text.data; line && *line;) {
		size_t len = strcspn(line, "\n");
		struct strbuf one = {0};

		strbuf_add(&one, line, len);
		if (one.data)
			man_text(out, one.data);
		strbuf_puts(out, "\n");
		strbuf_free(&one);
		line += len + (line[len] == '\n');
	}
	strbuf_puts(out, ".fi\n");
	strbuf_free(&text);
}

static const char man_commands[] =
	".SH RUNNING PROGRAMS\n"
	"A program of\n.B commands\nis started as it is written, without a shell.\n"
	"It must belong to root or to the user who runs thinark, and neither it nor a folder\n"
	"above it may be writable by others.\n"
	"Its standard input is empty, what it prints is logged (200 lines at most), its working\n"
	"folder is /, and its environment holds PATH, HOME, LANG and, as far as they are known:\n"
	".TP\n.B THINARK_JOB\nThe job.\n"
	".TP\n.BR THINARK_STORE \", \" THINARK_CONTAINER \", \" THINARK_CONTAINER_ID \", \" "
	"THINARK_IMAGE \", \" THINARK_STATE\n"
	"The container. Its names are data of strangers: quote them.\n"
	".TP\n.B THINARK_ARCHIVE\nThe archive, relative to the destination, without .tar.zst.\n"
	".TP\n.B THINARK_RESULT\nAfterwards: good, incomplete, failed or skipped.\n"
	".TP\n.B THINARK_EXIT_CODE\nAfterwards: the exit code that it alone would lead to.\n"
	".PP\n"
	"Before: 0 goes on, 75 skips the job or container without an error, anything else fails\n"
	"it, and the rest of the list is not started.\n"
	"After: all of the list run when those before were due, also after a failure or a signal;\n"
	"one that fails is a warning and exit code 3.\n"
	"Of\n.BR states ,\n.B fail\nmeans failed, and\n.B finish\neverything else.\n"
	"After its time, or when thinark is asked to stop, a program and its process group get\n"
	"SIGTERM, and SIGKILL 5 seconds later; one that runs afterwards may go on for 30 seconds\n"
	"when thinark is asked to stop.\n"
	"What a program leaves in the background is left alone.\n"
	"A dry run starts nothing.\n";

void cfg_doc_man(struct strbuf *out)
{
	strbuf_puts(out, ".\\\" Printed by thinark from its tables of settings.\n"
			 ".TH THINARK.YAML 5 2026-11-25 thinark\n"
			 ".SH NAME\nthinark.yaml \\- configuration of thinark\n"
			 ".SH DESCRIPTION\n"
			 "The configuration is one YAML document in UTF\\-8.\n"
			 "Unknown keys, keys given twice, anchors, aliases and tags are refused,\n"
			 "and all mistakes are reported at once with file, line and column.\n");
	strbuf_printf(out,
		"The file has at most %u bytes and is nested at most %d levels deep.\n.PP\n"
		"Names start with a letter or a digit and consist of letters, digits,\n"
		"underscores, dots and hyphens.\n"
		"Paths are absolute.\n",
		CFG_FILE_MAX, CFG_DEPTH_MAX);
	man_sections(out);
	strbuf_puts(out, man_commands);
	man_sample(out);
	strbuf_puts(out, ".SH SEE ALSO\n.BR thinark (8)\n");
}
