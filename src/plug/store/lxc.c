/* SPDX-License-Identifier: Apache-2.0 */
/* LXC's containers on thin volumes of LVM, from the configuration files below its root. */
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

/* Reads NAME/config; 1: there is none, so it is no container. */
static int read_config(
	int root, const char *name, const char *where, char **ret, size_t *ret_len, struct err *e)
{
	AUTO_CLOSE int dir = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_CLOSE int fd =
		dir < 0 ? -1
			: openat(dir, "config",
				  O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	struct stat st;

	if (fd < 0 && dir >= 0 && errno == ENOENT)
		return 1;
	/* A link may stand for a container; a file beside them does not. */
	if (dir < 0 && errno == ENOTDIR && fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		!S_ISLNK(st.st_mode))
		return 1;
	if (fd < 0)
		return err_sys(e, ERR_STORE, -errno, "%s", where);
	return foreign_read(fd, where, CONFIG_MAX, ret, ret_len, e);
}

static int fill(const struct lvm_list *all, const char *where, const char *text, size_t len,
	struct container *c, struct err *e)
{
	AUTO_FREE char *device = lxc_rootfs(text, len);
	const struct lvm_lv *v = device ? lv_by_device(all, device) : NULL;
	char shown[256];
	int n;

	if (v)
		return lv_fill(all, v->vg, v->name, where, c, e);
	(void)str_escape(device ? device : "", device ? strlen(device) : 0, shown, sizeof(shown));
	n = device ? asprintf(&c->problem, "%s: lxc.rootfs.path '%s' is no volume of LVM", where,
			     shown)
		   : asprintf(&c->problem, "%s: no lxc.rootfs.path", where);
	return n < 0 ? err_sys(e, ERR_FATAL, -ENOMEM, "lxc") : 0;
}

static int add(const struct cfg_store *cfg, int root, const char *name, const struct lvm_list *all,
	struct container_list *list, struct err *e)
{
	char shown[4 * NAME_MAX + 1], where[PATH_MAX];
	struct err why = {0};
	AUTO_FREE char *text = NULL;
	size_t len = 0;

	(void)str_escape(name, strlen(name), shown, sizeof(shown));
	(void)snprintf(where, sizeof(where), "%s/%s/config", cfg->root, shown);
	int r = read_config(root, name, where, &text, &len, &why);
	if (r > 0)
		return 0;
	struct container *c = container_list_add(list);
	if (!c)
		return err_sys(e, ERR_FATAL, -ENOMEM, "lxc");
	c->store = strdup(cfg->name);
	c->name = strdup(shown);
	c->id = strdup(shown);
	c->subdir = strdup("");
	c->config_json = TAKE_PTR(text);
	if (!c->store || !c->name || !c->id || !c->subdir)
		return err_sys(e, ERR_FATAL, -ENOMEM, "lxc");
	if (r == 0 && strcmp(shown, name) != 0)
		r = err_set(&why, ERR_STORE, -EINVAL, "%s: not a name of a container", where);
	if (r == 0)
		return fill(all, where, c->config_json, len, c, e);
	c->problem = strdup(why.text);
	return c->problem ? 0 : err_sys(e, ERR_FATAL, -ENOMEM, "lxc");
}

static int lxc_list(const struct cfg_store *cfg, struct container_list *list, struct strbuf *notes,
	struct err *e)
{
	__attribute__((cleanup(lvm_list_done))) struct lvm_list all = {0};
	AUTO_CLOSE int root = open(cfg->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	__attribute__((cleanup(lv_names_done))) struct lv_names names = {0};
	const size_t first = list->count;
	int r = root < 0 ? err_sys(e, ERR_STORE, -errno, "%s", cfg->root)
			 : lv_read_names(root, cfg->root, &names, e);

	(void)notes;
	if (r == 0)
		r = lvm_list(&all, e);
	for (size_t i = 0; r == 0 && i < names.count; i++)
		r = add(cfg, root, names.items[i], &all, list, e);
	if (r == 0 && list->count == first)
		r = err_set(e, ERR_STORE, -ENOENT, "%s: no container of LXC is there", cfg->root);
	return r;
}

const struct store_ops store_lxc = {
	.type = "lxc",
	.help = "LXC on thin volumes of LVM; root: the folder of its containers",
	.list = lxc_list,
};
