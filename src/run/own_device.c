/* SPDX-License-Identifier: Apache-2.0 */
#include "own_device.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "view.h"

int own_find(const struct container_list *list, const char *name, const struct container **ret,
	struct err *e)
{
	const struct container *c = list_find(list, name, e);

	if (!c)
		return e->code;
	if (c->problem)
		return err_set(e, ERR_STORE, -EINVAL, "%s", c->problem);
	if (c->volume != VOLUME_THIN)
		return err_set(e, ERR_USAGE, -EINVAL,
			"it is on no thin device of a pool that can be "
			"asked for a snapshot");
	/* A raw device over LVM's id would be one that LVM does not know of. */
	if (c->lv)
		return err_set(e, ERR_USAGE, -ENOTSUP,
			"volume '%s' is LVM's: use lvchange and mount", c->lv);
	*ret = c;
	return 0;
}

int own_check_unused(const struct pool *pool, const struct container *c, struct err *e)
{
	char names[SNAPPER_ORIGINS][DM_NAME_MAX];
	int n = pool_find_thin(pool, c->thin_id, names, SNAPPER_ORIGINS, e);

	if (n > 0)
		return err_set(e, ERR_SOURCE, -EBUSY,
			"its device '%s' is active: stop the container first (or umount)",
			names[0]);
	return n;
}

static int undo_entry(void *arg, struct err *e)
{
	const struct own_device *d = arg;

	return ledger_remove(&d->entry, e);
}

static int undo_mount(void *arg, struct err *e)
{
	const struct own_device *d = arg;

	return view_umount(d->dir, e);
}

/* Who mounted it meanwhile keeps it; it goes with his mount. */
static int undo_device(void *arg, struct err *e)
{
	struct own_device *d = arg;
	struct dmdev_info i;
	struct err ignored;
	int r = dmdev_remove(d->entry.device, e);

	d->is_shared = r == -EBUSY && dmdev_info(d->entry.device, &i, &ignored) == 0 && i.exists &&
		       view_is_mounted(i.major, i.minor);
	return d->is_shared ? 0 : r;
}

static int activate(struct own_device *d, struct undo *u, char node[64], struct err *e)
{
	const struct container *c = d->container;
	struct ledger_entry *x = &d->entry;
	char params[64];
	const struct dmdev_target t = {
		.length_sectors = c->size_bytes / 512, .type = "thin", .params = params};
	struct dmdev_info info;

	undo_arm_if_clean(u, "ledger", undo_entry, d);
	int r = ledger_write(x, e);
	if (r < 0)
		return r;
	(void)snprintf(params, sizeof(params), "%u:%u %" PRIu32, d->pool->major, d->pool->minor,
		c->thin_id);
	r = dmdev_create(x->device, NULL, &t, false, true, &info, e);
	if (r < 0)
		return r;
	undo_arm(u, "removal of the device", undo_device, d);
	return dmdev_node(info.major, info.minor, node, e);
}

int own_mount(struct own_device *d, bool is_public, struct undo *u, struct err *e)
{
	const struct container *c = d->container;
	struct ledger_entry *x = &d->entry;
	char node[64];
	int r = own_check_unused(d->pool, c, e);

	if (r == 0)
		r = pool_guard(d->pool, e);
	if (r < 0)
		return r;
	*x = (struct ledger_entry){.kind = LEDGER_MOUNT, .thin_id = c->thin_id};
	(void)snprintf(x->pool, sizeof(x->pool), "%s", d->pool->name);
	if (is_public)
		(void)snprintf(x->path, sizeof(x->path), "%s", d->dir);
	if (c->pool.device_name)
		(void)snprintf(x->device, sizeof(x->device), "%s", c->pool.device_name);
	else
		(void)snprintf(x->device, sizeof(x->device), "thinark-rw-%u-%u-%" PRIx32,
			d->pool->major, d->pool->minor, c->thin_id);
	r = activate(d, u, node, e);
	if (r == 0)
		r = view_probe(node, &d->fs_type, e);
	if (r < 0)
		return r;
	undo_arm(u, "unmount", undo_mount, d);
	d->was_written = true;
	r = view_mount(node, d->fs_type, d->dir, VIEW_WRITABLE, e);
	/* From here a killed run loses mount and device by itself. */
	if (r == 0 && !is_public)
		r = dmdev_remove_deferred(x->device, e);
	return r;
}
