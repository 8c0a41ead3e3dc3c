/* SPDX-License-Identifier: Apache-2.0 */
/* libmount as view.c uses it. */
#include <libmount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "view.h"
#include "world.h"

void *__real_calloc(size_t n, size_t size);

/* What is mounted on VIEW_DIR is the tree that the model's device stands for. */

struct libmnt_context {
	const char *source, *options;
	bool writable;
	int error;
};

struct libmnt_context *mnt_new_context(void)
{
	return fault(OP_MEMORY) ? NULL : __real_calloc(1, sizeof(struct libmnt_context));
}

void mnt_free_context(struct libmnt_context *c)
{
	free(c);
}

int mnt_context_disable_helpers(struct libmnt_context *c, int disable)
{
	return c && disable ? 0 : -EINVAL;
}

int mnt_context_disable_mtab(struct libmnt_context *c, int disable)
{
	return c && disable ? 0 : -EINVAL;
}

int mnt_context_disable_canonicalize(struct libmnt_context *c, int disable)
{
	return c && disable ? 0 : -EINVAL;
}

int mnt_context_set_source(struct libmnt_context *c, const char *source)
{
	c->source = source;
	return 0;
}

int mnt_context_set_target(struct libmnt_context *c, const char *target)
{
	return c && strcmp(target, VIEW_DIR) == 0 ? 0 : -EINVAL;
}

int mnt_context_set_fstype(struct libmnt_context *c, const char *type)
{
	return c && type ? 0 : -EINVAL;
}

int mnt_context_set_options(struct libmnt_context *c, const char *options)
{
	c->options = options;
	return 0;
}

int mnt_context_set_mflags(struct libmnt_context *c, unsigned long flags)
{
	if (c)
		c->writable = !(flags & MS_RDONLY);
	return c ? 0 : -EINVAL;
}

bool model_has_snapshot(uint32_t root)
{
	for (size_t i = 0; i < WORLD_IDS; i++)
		if (world->m.ids[i].exists && world->m.ids[i].id >= 0xFFF000 &&
			world->m.ids[i].root == root)
			return true;
	return false;
}

/* Only a container's own device is mounted to be written, and only when there is a way back. */
static void check_writable(const struct model_dev *d)
{
	unsigned id = 0;

	if (sscanf(d->params, "%*u:%*u %u", &id) != 1 || id >= 0xFFF000)
		violation("writable mount of '%s'", d->name);
	for (size_t i = 0; i < WORLD_IDS; i++)
		if (world->m.ids[i].exists && world->m.ids[i].id == id &&
			!model_has_snapshot(world->m.ids[i].root))
			violation("writable mount of thin %u without a snapshot", id);
}

static int mount_model(const struct libmnt_context *c)
{
	char image[128];
	unsigned minor;

	if (sscanf(c->source, "/dev/model-%u", &minor) != 1)
		return ENODEV;
	for (size_t i = 0; i < WORLD_DEVICES; i++) {
		struct model_dev *d = &world->m.devs[i];

		if (!d->exists || d->minor != minor)
			continue;
		if (c->writable)
			check_writable(d);
		/* The ext4's journal needs a device that can be written once. */
		if (strcmp(c->options, "nouuid") != 0 && d->read_only && !world->m.was_replayed)
			return EROFS;
		world->m.was_replayed = true;
		if (world->m.view_count == WORLD_VIEWS)
			return ENOSPC;
		world->m.views[world->m.view_count].minor = minor;
		(void)snprintf(world->m.views[world->m.view_count++].tree, sizeof(image),
			"%.100s.tree", model_node(c->source, image));
		d->users++;
		return 0;
	}
	return ENXIO;
}

int mnt_context_mount(struct libmnt_context *c)
{
	c->error = fault(OP_MOUNT) ? errno : mount_model(c);
	if (c->error == 0 && fault_late())
		c->error = errno;
	return c->error;
}

int mnt_context_syscall_called(struct libmnt_context *c)
{
	return c != NULL;
}

int mnt_context_get_syscall_errno(struct libmnt_context *c)
{
	return c->error;
}
