/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers of Proxmox VE on storages of type lvmthin, from the files of this node below /etc/pve.
 * As for its own backups, mount points are taken with backup=1 only, each as a container of its
 * own.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "foreign.h"
#include "lv.h"
#include "lv_config.h"
#include "scope.h"

#define CONFIG_MAX (1u << 20)

struct node {
	const struct cfg_store *cfg;
	struct lvm_list volumes;
	int root, folder; /* config_dir, and the one with the containers */
	char *storage;    /* storage.cfg */
	size_t storage_len;
};

static void node_done(struct node *n)
{
	lvm_list_done(&n->volumes);
	free(n->storage);
	if (n->root >= 0)
		(void)close(n->root);
	if (n->folder >= 0)
		(void)close(n->folder);
}

static int read_file(
	int dir, const char *file, const char *where, char **ret, size_t *ret_len, struct err *e)
{
	AUTO_CLOSE int fd =
		openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_sys(e, ERR_STORE, -errno, "%s", where);
	return foreign_read(fd, where, CONFIG_MAX, ret, ret_len, e);
}

/* Proxmox's link "lxc" leads to this node's folder, and must lead nowhere else. */
static int open_folder(struct node *n, struct err *e)
{
	char link[128];

	n->folder = foreign_open(n->root, "lxc", O_RDONLY | O_DIRECTORY);
	const ssize_t len = n->folder < 0 ? readlinkat(n->root, "lxc", link, sizeof(link) - 1) : -1;
	if (len > 0) {
		const char *slash;

		link[len] = '\0';
		slash = strncmp(link, "nodes/", 6) == 0 ? strchr(link + 6, '/') : NULL;
		if (slash && slash != link + 6 && strcmp(slash, "/lxc") == 0)
			n->folder = foreign_open(n->root, link, O_RDONLY | O_DIRECTORY);
	}
	return n->folder < 0 ? err_sys(e, ERR_STORE, n->folder, "%s/lxc", n->cfg->config_dir) : 0;
}

static int add_label(struct container *c, const char *key, size_t len, const char *value)
{
	struct label *more = reallocarray(c->labels, c->label_count + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	c->labels = more;
	more[c->label_count] = (struct label){strndup(key, len), strdup(value)};
	c->label_count++;
	return more[c->label_count - 1].key && more[c->label_count - 1].value ? 0 : -ENOMEM;
}

static int add_labels(const struct pve_config *p, struct container *c)
{
	int r = p->hostname[0] ? add_label(c, "hostname", 8, p->hostname) : 0;

	for (const char *t = p->tags; r == 0 && t && *t;) {
		const size_t len = strcspn(t, ";, \t");

		if (len)
			r = add_label(c, t, len, "");
		t += len + (t[len] != '\0');
	}
	return r;
}

static int fill(const struct node *n, const struct pve_config *p, const struct pve_volume *v,
	const char *where, struct container *c, struct err *e)
{
	char vg[LVM_NAME_MAX], shown[64];
	int len = 0;

	(void)str_escape(p->lock, strlen(p->lock), shown, sizeof(shown));
	if (p->lock[0])
		len = asprintf(&c->problem, "%s: locked by Proxmox (%s)", where, shown);
	else if (v->is_foreign)
		len = asprintf(&c->problem, "%s: %s: no volume of a storage", where, v->key);
	else if (!pve_storage_group(n->storage, n->storage_len, v->storage, vg))
		len = asprintf(&c->problem, "%s: %s: storage '%s' is none of type lvmthin", where,
			v->key, v->storage);
	else
		return lv_fill(&n->volumes, vg, v->name, where, c, e);
	return len < 0 ? err_sys(e, ERR_FATAL, -ENOMEM, "proxmox") : 0;
}

/* ID for the root, ID_mpN for a mount point. */
static int add_volume(const struct node *n, const char *id, const struct pve_config *p,
	const struct pve_volume *v, const char *where, const char *text,
	struct container_list *list, struct err *e)
{
	const bool is_root = strcmp(v->key, "rootfs") == 0;
	struct container *c = container_list_add(list);

	if (!c)
		return err_sys(e, ERR_FATAL, -ENOMEM, "proxmox");
	if (asprintf(&c->name, "%s%s%s", id, is_root ? "" : "_", is_root ? "" : v->key) < 0)
		c->name = NULL;
	c->store = strdup(n->cfg->name);
	c->id = c->name ? strdup(c->name) : NULL;
	c->subdir = strdup("");
	c->config_json = strdup(text);
	if (!c->name || !c->store || !c->id || !c->subdir || !c->config_json ||
		add_labels(p, c) < 0)
		return err_sys(e, ERR_FATAL, -ENOMEM, "proxmox");
	return fill(n, p, v, where, c, e);
}

static int add(const struct node *n, const char *file, struct container_list *list, struct err *e)
{
	static const struct pve_volume none = {.key = "rootfs", .is_foreign = true};
	__attribute__((cleanup(pve_config_done))) struct pve_config p = {0};
	char where[PATH_MAX], id[16];
	AUTO_FREE char *text = NULL;
	struct err why = {0};
	size_t len = 0;
	bool has_root = false;

	(void)snprintf(id, sizeof(id), "%.*s", (int)pve_is_config(file), file);
	(void)snprintf(where, sizeof(where), "%s/lxc/%s", n->cfg->config_dir, file);
	int r = read_file(n->folder, file, where, &text, &len, &why);
	if (r == 0 && pve_parse(text, len, &p) < 0)
		return err_sys(e, ERR_FATAL, -ENOMEM, "proxmox");
	for (size_t i = 0; i < p.count; i++)
		has_root |= strcmp(p.volumes[i].key, "rootfs") == 0;
	if (!has_root) {
		r = add_volume(n, id, &p, &none, where, text ? text : "", list, e);
		if (r == 0 && why.text[0]) {
			struct container *c = &list->items[list->count - 1];

			free(c->problem);
			c->problem = strdup(why.text);
			r = c->problem ? 0 : err_sys(e, ERR_FATAL, -ENOMEM, "proxmox");
		}
		return r;
	}
	for (size_t i = 0; r == 0 && i < p.count; i++)
		if (p.volumes[i].is_backed_up)
			r = add_volume(n, id, &p, &p.volumes[i], where, text, list, e);
	return r;
}

static int open_node(struct node *n, struct err *e)
{
	char where[PATH_MAX];

	(void)snprintf(where, sizeof(where), "%s/storage.cfg", n->cfg->config_dir);
	n->root = open(n->cfg->config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (n->root < 0)
		return err_sys(e, ERR_STORE, -errno, "%s", n->cfg->config_dir);
	int r = read_file(n->root, "storage.cfg", where, &n->storage, &n->storage_len, e);
	if (r == 0)
		r = open_folder(n, e);
	return r < 0 ? r : lvm_list(&n->volumes, e);
}

static int proxmox_list(const struct cfg_store *cfg, struct container_list *list,
	struct strbuf *notes, struct err *e)
{
	__attribute__((cleanup(node_done))) struct node n = {.cfg = cfg, .root = -1, .folder = -1};
	__attribute__((cleanup(lv_names_done))) struct lv_names names = {0};
	int r = open_node(&n, e);

	(void)notes;
	if (r == 0)
		r = lv_read_names(n.folder, cfg->config_dir, &names, e);
	for (size_t i = 0; r == 0 && i < names.count; i++)
		if (pve_is_config(names.items[i]))
			r = add(&n, names.items[i], list, e);
	return r;
}

const struct store_ops store_proxmox = {
	.type = "proxmox",
	.help = "Proxmox VE's containers on lvmthin storages; config_dir: its /etc/pve",
	.list = proxmox_list,
};
