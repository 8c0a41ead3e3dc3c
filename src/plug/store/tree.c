/* SPDX-License-Identifier: Apache-2.0 */
/* Folders named in the configuration, each of which stands for a container. */
#include "store.h"

#include <fcntl.h>
#include <string.h>

#include "scope.h"

/* Not being able to open it is the container's problem: the others can be archived. */
static int find_problem(struct container *c)
{
	AUTO_CLOSE int fd = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		return 0;
	if (asprintf(&c->problem, "%s: %s", c->path, strerror(errno)) >= 0)
		return 0;
	c->problem = NULL;
	return -ENOMEM;
}

static int tree_list(const struct cfg_store *cfg, struct container_list *list, struct strbuf *notes,
	struct err *e)
{
	(void)notes;
	for (size_t i = 0; i < cfg->tree_count; i++) {
		struct container *c = container_list_add(list);

		if (!c)
			return err_sys(e, ERR_FATAL, -ENOMEM, "tree");
		c->volume = VOLUME_FOLDER;
		c->store = strdup(cfg->name);
		c->name = strdup(cfg->trees[i].name);
		c->path = strdup(cfg->trees[i].path);
		if (!c->store || !c->name || !c->path || find_problem(c) < 0)
			return err_sys(e, ERR_FATAL, -ENOMEM, "tree");
	}
	return 0;
}

const struct store_ops store_tree = {
	.type = "tree",
	.help = "Folders as they are, without a snapshot; trees: their names and paths",
	.list = tree_list,
};
