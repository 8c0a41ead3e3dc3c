/* SPDX-License-Identifier: Apache-2.0 */
/* Thin volumes of LVM, by name or tag, each of which stands for a container. */
#include "store.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "lv.h"
#include "scope.h"

static bool is_wanted(const struct cfg_strings *patterns, const struct lvm_lv *v, size_t *seen)
{
	char full[2 * LVM_NAME_MAX];
	bool is = false;

	(void)snprintf(full, sizeof(full), "%s/%s", v->vg, v->name);
	for (size_t i = 0; i < patterns->count; i++) {
		const char *p = patterns->items[i];

		if (p[0] == '@' ? !lvm_has_tag(v, p + 1) : fnmatch(p, full, FNM_PATHNAME) != 0)
			continue;
		seen[i]++;
		is = true;
	}
	return is;
}

static int add_tags(const struct lvm_lv *v, struct container *c)
{
	for (const char *t = v->tags; *t;) {
		const size_t len = strcspn(t, ",");
		struct label *more = reallocarray(c->labels, c->label_count + 1, sizeof(*more));

		if (!more)
			return -ENOMEM;
		c->labels = more;
		more[c->label_count] = (struct label){strndup(t, len), strdup("")};
		c->label_count++;
		if (!more[c->label_count - 1].key || !more[c->label_count - 1].value)
			return -ENOMEM;
		t += len + (t[len] == ',');
	}
	return 0;
}

static int add(const struct cfg_store *cfg, const struct lvm_list *all, const struct lvm_lv *v,
	struct container_list *list, struct err *e)
{
	struct container *c = container_list_add(list);

	if (!c)
		return err_sys(e, ERR_FATAL, -ENOMEM, "lvm");
	c->store = strdup(cfg->name);
	if (asprintf(&c->name, "%s_%s", v->vg, v->name) < 0)
		c->name = NULL;
	if (!c->store || !c->name || add_tags(v, c) < 0)
		return err_sys(e, ERR_FATAL, -ENOMEM, "lvm");
	return lv_fill(all, v->vg, v->name, "lvm", c, e);
}

/* A pattern that means one volume, which is not there. */
static void note_missing(
	const struct cfg_strings *patterns, const size_t *seen, struct strbuf *notes)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (!seen[i])
			strbuf_printf(notes, "no thin volume matches '%s'\n", patterns->items[i]);
}

static int lvm_volumes_list(const struct cfg_store *cfg, struct container_list *list,
	struct strbuf *notes, struct err *e)
{
	__attribute__((cleanup(lvm_list_done))) struct lvm_list all = {0};
	const struct cfg_strings *patterns = &cfg->logical_volumes;
	AUTO_FREE size_t *seen = calloc(patterns->count + 1, sizeof(*seen));
	int r = seen ? lvm_list(&all, e) : err_sys(e, ERR_FATAL, -ENOMEM, "lvm");

	for (size_t i = 0; r == 0 && i < all.count; i++) {
		const struct lvm_lv *v = &all.items[i];

		if (v->is_thin && !lvm_is_ours(v) && is_wanted(patterns, v, seen))
			r = add(cfg, &all, v, list, e);
	}
	if (r == 0)
		note_missing(patterns, seen, notes);
	return r;
}

const struct store_ops store_lvm = {
	.type = "lvm",
	.help = "Thin volumes of LVM; logical_volumes: their names or tags",
	.list = lvm_volumes_list,
};
