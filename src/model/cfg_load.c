/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to tree with libyaml's event interface: the document interface resolves anchors silently
 * and has no limits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "cfg_node.h"
#include "scope.h"

struct reader {
	yaml_parser_t parser;
	const char *text;
	size_t len;
	struct cfg_mistakes *mistakes;
	bool stopped; /* nothing more is read; the tree is incomplete */
};

static void mistake_at_byte(struct cfg_mistakes *m, const char *text, size_t byte, const char *why)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < byte; i++) {
		if (text[i] == '\n')
			line++, column = 1;
		else if (((unsigned char)text[i] & 0xc0) != 0x80)
			column++;
	}
	cfg_mistake_at(m, line, column, "document", "%s", why);
}

static void syntax_mistake(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *what = p->problem ? p->problem : "not YAML";

	r->stopped = true;
	if (p->error == YAML_MEMORY_ERROR) {
		r->mistakes->oom = true;
	} else if (p->error == YAML_READER_ERROR) {
		size_t at = p->problem_offset < r->len ? p->problem_offset : r->len;

		mistake_at_byte(r->mistakes, r->text, at, what);
	} else {
		cfg_mistake_at(r->mistakes, p->problem_mark.line + 1, p->problem_mark.column + 1,
			"syntax", "%s%s%s", what, p->context ? ", " : "",
			p->context ? p->context : "");
	}
}

static bool next_event(struct reader *r, yaml_event_t *ev)
{
	if (r->stopped)
		return false;
	if (yaml_parser_parse(&r->parser, ev))
		return true;
	syntax_mistake(r);
	return false;
}

static bool is_word(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(s, *words) == 0)
			return true;
	return false;
}

/* As the core schema of YAML 1.2 resolves plain text. */
static enum cfg_kind plain_kind(const char *s)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const bools[] = {
		"true", "True", "TRUE", "false", "False", "FALSE", NULL};
	const char *digits = s + (*s == '+' || *s == '-');
	char *end;

	if (is_word(s, nulls))
		return NODE_NULL;
	if (is_word(s, bools))
		return NODE_BOOL;
	digits += *digits == '.';
	if (*digits < '0' || *digits > '9')
		return NODE_TEXT;
	(void)strtod(s, &end);
	return *end ? NODE_TEXT : NODE_NUMBER;
}

static void fill_scalar(struct reader *r, struct cfg_node *n, const yaml_event_t *ev)
{
	const char *value = (const char *)ev->data.scalar.value;

	n->text = strdup(value);
	if (!n->text) {
		r->mistakes->oom = true;
		r->stopped = true;
		return;
	}
	if (strlen(value) != ev->data.scalar.length) {
		cfg_mistake(r->mistakes, n, "document", "a text contains a NUL byte");
		n->kind = NODE_BAD;
	} else if (ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		n->kind = plain_kind(value);
	}
}

/* The node of an event, without its entries; reports anchors, aliases and tags. */
static struct cfg_node *node_of(struct reader *r, const yaml_event_t *ev)
{
	struct cfg_node *n =
		cfg_node_new(NODE_BAD, ev->start_mark.line + 1, ev->start_mark.column + 1);
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (!n) {
		r->mistakes->oom = true;
		r->stopped = true;
		return NULL;
	}
	if (ev->type == YAML_SCALAR_EVENT) {
		n->kind = NODE_TEXT;
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
		fill_scalar(r, n, ev);
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		n->kind = NODE_LIST;
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		n->kind = NODE_MAP;
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
	} else if (ev->type == YAML_ALIAS_EVENT) {
		cfg_mistake(r->mistakes, n, "document", "alias '*%.40s': aliases are not allowed",
			(const char *)ev->data.alias.anchor);
	}
	if (anchor)
		cfg_mistake(r->mistakes, n, "document", "anchor '&%.40s': anchors are not allowed",
			(const char *)anchor);
	if (tag)
		cfg_mistake(r->mistakes, n, "document", "tag '%.60s': tags are not allowed",
			(const char *)tag);
	return n;
}

static struct cfg_node *read_node(struct reader *r, yaml_event_t *ev, unsigned depth);

static void read_items(struct reader *r, struct cfg_node *n, unsigned depth)
{
	yaml_event_t ev;

	while (next_event(r, &ev)) {
		if (ev.type == YAML_SEQUENCE_END_EVENT || ev.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&ev);
			return;
		}
		struct cfg_node *item = read_node(r, &ev, depth + 1);

		if (item && cfg_node_add(n, item) < 0) {
			cfg_node_free(item);
			r->mistakes->oom = true;
			r->stopped = true;
		}
	}
}

/* Recursion is bounded by CFG_DEPTH_MAX.  Deletes the event. */
static struct cfg_node *read_node(struct reader *r, yaml_event_t *ev, unsigned depth)
{
	struct cfg_node *n = node_of(r, ev);
	bool has_items =
		ev->type == YAML_SEQUENCE_START_EVENT || ev->type == YAML_MAPPING_START_EVENT;

	yaml_event_delete(ev);
	if (!n || !has_items)
		return n;
	if (depth > CFG_DEPTH_MAX) {
		cfg_mistake(r->mistakes, n, "document", "nested more than %d levels deep",
			CFG_DEPTH_MAX);
		r->stopped = true;
		return n;
	}
	read_items(r, n, depth);
	return n;
}

/* Expects nothing but the end of the stream. */
static void read_end(struct reader *r)
{
	yaml_event_t ev;

	if (!next_event(r, &ev))
		return;
	if (ev.type == YAML_DOCUMENT_START_EVENT) {
		cfg_mistake_at(r->mistakes, ev.start_mark.line + 1, ev.start_mark.column + 1,
			"document", "a second document is not allowed");
		r->stopped = true;
	}
	yaml_event_delete(&ev);
}

static struct cfg_node *read_stream(struct reader *r)
{
	struct cfg_node *root = NULL;
	yaml_event_t ev;

	while (next_event(r, &ev)) {
		switch (ev.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_START_EVENT:
			yaml_event_delete(&ev);
			break;
		case YAML_STREAM_END_EVENT:
			yaml_event_delete(&ev);
			cfg_mistake_at(r->mistakes, 1, 1, "document", "the file is empty");
			return NULL;
		case YAML_DOCUMENT_END_EVENT:
			yaml_event_delete(&ev);
			read_end(r);
			return root;
		default:
			root = read_node(r, &ev, 1);
			break;
		}
	}
	return root;
}

/* libyaml ends quietly at a NUL and guesses other encodings: so both are settled before. */
static bool has_good_bytes(const char *text, size_t len, struct cfg_mistakes *m)
{
	if (len > CFG_FILE_MAX) {
		cfg_mistake_at(
			m, 1, 1, "document", "the file is larger than %u bytes", CFG_FILE_MAX);
		return false;
	}
	for (size_t i = 0; i < len;) {
		size_t n = str_utf8_len((const unsigned char *)text + i, len - i);

		if (n == 0 || text[i] == '\0') {
			mistake_at_byte(m, text, i,
				n == 0 ? "not valid UTF-8" : "the file contains a NUL byte");
			return false;
		}
		i += n;
	}
	return true;
}

struct cfg_node *cfg_parse(const char *text, size_t len, struct cfg_mistakes *m)
{
	struct reader r = {.mistakes = m};

	if (!has_good_bytes(text, len, m))
		return NULL;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3, len -= 3;
	r.text = text;
	r.len = len;
	if (!yaml_parser_initialize(&r.parser)) {
		m->oom = true;
		return NULL;
	}
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)(len ? text : ""), len);
	struct cfg_node *root = read_stream(&r);

	yaml_parser_delete(&r.parser);
	if (r.stopped) {
		cfg_node_free(root);
		return NULL;
	}
	return root;
}

int cfg_load(const char *text, size_t len, const char *file, struct cfg *ret,
	struct strbuf *mistakes, struct err *e)
{
	struct cfg_mistakes m = {0};
	struct cfg cfg = {0};
	int r = 0;
	struct cfg_node *root = cfg_parse(text, len, &m);

	if (root) {
		cfg_fill(root, cfg_keys, &cfg, &m);
		cfg_cross_check(root, &m);
	}
	cfg_mistakes_print(&m, file, mistakes);
	if (m.oom || mistakes->failed)
		r = err_sys(e, ERR_FATAL, -ENOMEM, "%s", file);
	else if (m.count)
		r = err_set(e, ERR_CONFIG, -EINVAL, "%s: %zu mistake%s", file, m.count + m.more,
			m.count + m.more == 1 ? "" : "s");
	if (r == 0)
		*ret = cfg;
	else
		cfg_done(&cfg);
	cfg_node_free(root);
	cfg_mistakes_done(&m);
	return r;
}
