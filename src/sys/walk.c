/* SPDX-License-Identifier: Apache-2.0 */
#include "walk.h"

#include <errno.h>
#include <string.h>

#include "ahead.h"
#include "scope.h"

static bool match(const char *p, const char *s)
{
	const char *star_p = NULL, *star_s = NULL, *deep_p = NULL, *deep_s = NULL;
	const char *start = s;
	bool by_folder = false;

	for (;;) {
		if (p[0] == '*' && p[1] == '*') {
			while (*p == '*')
				p++;
			/* A "**" that is a whole component stands for any number of folders. */
			by_folder = *p == '/' && (s == start || s[-1] == '/');
			if (by_folder)
				p++;
			deep_p = p;
			deep_s = s;
			star_p = NULL;
		} else if (*p == '*') {
			star_p = ++p;
			star_s = s;
		} else if (*s && (*p == *s || (*p == '?' && *s != '/'))) {
			p++;
			s++;
		} else if (!*s && !*p) {
			return true;
		} else if (star_p && *star_s && *star_s != '/') {
			p = star_p;
			s = ++star_s;
		} else if (deep_p && *deep_s) {
			if (by_folder)
				deep_s += strcspn(deep_s, "/");
			if (!*deep_s)
				return false;
			star_p = NULL;
			p = deep_p;
			s = ++deep_s;
		} else {
			return false;
		}
	}
}

bool walk_excluded(const struct cfg_strings *exclude, const char *path)
{
	for (size_t i = 0; exclude && i < exclude->count; i++)
		if (match(exclude->items[i], path))
			return true;
	return false;
}

/* The path of an entry; that of its folder is kept for the next one. */
struct path {
	struct strbuf text;
	uint64_t folder; /* its id */
	bool is_known;
	size_t len;
};

static const char *path_of(struct path *p, const struct entry *x)
{
	if (!x->folder)
		return ".";
	if (!p->is_known || p->folder != x->folder->id) {
		p->text.len = 0;
		folder_path(x->folder, &p->text);
		if (p->text.len)
			strbuf_add(&p->text, "/", 1);
		p->folder = x->folder->id;
		p->is_known = true;
		p->len = p->text.len;
	}
	p->text.len = p->len;
	strbuf_puts(&p->text, x->name);
	return p->text.failed ? NULL : p->text.data;
}

static int add(struct ahead *a, struct entry *x, const char *path, struct pack *to,
	struct trouble *t, struct err *e)
{
	struct pack_entry entry = {.path = path, .st = &x->found.st};

	/* What was to be the first name of the inode could not be archived. */
	if (x->is_left && !pack_has_inode(to, &x->found.st))
		ahead_load(a, x);
	found_report(&x->found, path, t);
	if (!x->found.is_there)
		return 0;
	entry.symlink = x->found.symlink;
	entry.xattrs = x->found.xattrs;
	entry.xattr_count = x->found.xattr_count;
	if (S_ISREG(x->found.st.st_mode))
		entry.data = &x->data;
	int rc = pack_add(to, &entry, t, e);
	/* Of large files the packer itself may have found more. */
	found_report(&x->found, path, t);
	return rc;
}

int walk_tree(int root_fd, const struct walk_options *o, struct pack *to, struct trouble *t,
	struct err *e)
{
	struct path path = {0};
	struct ahead *a = NULL;
	struct entry *x = NULL;
	int rc = ahead_new(root_fd, o, &a, e);

	while (rc == 0 && (rc = ahead_next(a, &x, e)) == 0 && x) {
		const char *p = path_of(&path, x);

		rc = p ? add(a, x, p, to, t, e)
		       : err_sys(e, ERR_FATAL, -ENOMEM, "walking the container");
		if (rc == 0 && o->progress)
			o->progress(o->progress_arg, pack_counts(to)->content_bytes);
	}
	if (a)
		pack_counts(to)->excluded += ahead_excluded(a);
	ahead_free(a);
	strbuf_free(&path.text);
	return rc;
}
