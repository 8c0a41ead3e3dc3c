/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots on pools that LVM owns.  LVM takes and removes them, so that its metadata always knows
 * every thin id; it freezes and suspends the origin itself.  The snapshot stays inactive as a
 * volume: a device of our own is made over its id, which vanishes with a killed run, and which no
 * udev rule and no "vgchange -ay" ever sees.
 */
#include "snap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "file.h"
#include "lvm.h"
#include "scope.h"
#include "snapper.h"
#include "view.h"

#define SYNC_S 120 /* seconds for what is dirty */

static int undo_ledger(void *arg, struct err *e)
{
	const struct snap *s = arg;

	return ledger_remove(&s->entry, e);
}

static int resume(const struct ledger_entry *x, struct err *e)
{
	int first = 0;

	for (int i = 0; i < x->origin_count; i++) {
		int r = snapper_resume(x->origins[i], e);

		first = first < 0 || r >= 0 ? first : r;
	}
	return first;
}

/* Only after LVM was killed: else it has resumed them, and a suspended one is somebody else's. */
static int undo_suspend(void *arg, struct err *e)
{
	const struct snap *s = arg;

	return resume(&s->entry, e);
}

/* The device is gone first: LVM would forget the volume and then fail to delete its id. */
static int undo_volume(void *arg, struct err *e)
{
	const struct snap *s = arg;

	return lvm_remove(s->entry.name, s->lock, e);
}

int snap_lvm_drop_entry(const struct ledger_entry *x, int lock, struct err *e)
{
	int r = x->is_this_boot ? resume(x, e) : 0;

	if (r == 0)
		r = dmdev_remove(x->device, e);
	return r < 0 ? r : lvm_remove(x->name, lock, e);
}

/* Is the volume still the one that was listed?  ret is of a list that the caller frees. */
static int look_up(
	const char *full, struct lvm_list *list, const struct lvm_lv **ret, struct err *e)
{
	char vg[LVM_NAME_MAX];
	int r = lvm_list(list, e);

	if (r < 0)
		return r;
	(void)snprintf(vg, sizeof(vg), "%.*s", (int)strcspn(full, "/"), full);
	*ret = lvm_in_list(list, vg, lvm_name(full));
	if (!*ret)
		return err_set(e, ERR_SOURCE, -ENOENT, "there is no volume '%s'", full);
	if (!(*ret)->is_thin || (*ret)->problem)
		return err_set(e, ERR_SOURCE, -EINVAL, "'%s': %s", full,
			(*ret)->problem ? (*ret)->problem : "no thin volume");
	return 0;
}

static int check_origin(const struct container *c, struct err *e)
{
	__attribute__((cleanup(lvm_list_done))) struct lvm_list list = {0};
	const struct lvm_lv *v = NULL;
	int r = look_up(c->lv, &list, &v, e);

	if (r == 0 && (v->thin_id != c->thin_id || v->size_bytes != c->size_bytes))
		r = err_set(e, ERR_SOURCE, -EAGAIN,
			"volume '%s' was replaced or resized meanwhile; run again", c->lv);
	return r;
}

/* As what a suspend can do for it: a guest's file system is not reached. */
static int look_at_origins(struct snap *s, struct err *e)
{
	for (int i = 0; i < s->entry.origin_count; i++) {
		struct dmdev_info info;
		char node[64];
		int r = dmdev_info(s->entry.origins[i], &info, e);

		if (r == 0 && info.suspended)
			r = err_set(e, ERR_SOURCE, -EBUSY,
				"device '%s' is suspended by someone else", s->entry.origins[i]);
		if (r == 0)
			r = dmdev_node(info.major, info.minor, node, e);
		if (r < 0)
			return r;
		const bool is_mounted = view_is_mounted(info.major, info.minor);
		s->is_guests |= info.open_count > 0 && !is_mounted;
		s->is_used |= info.open_count > 0 || is_mounted;
		r = snapper_presync(node, SYNC_S, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int name_it(const struct container *c, struct snap *s, struct err *e)
{
	char tag[17];
	int r = file_tag(tag, e);

	if (r < 0)
		return r;
	s->entry.kind = LEDGER_LVM;
	s->entry.origin_id = c->thin_id;
	(void)snprintf(s->entry.name, sizeof(s->entry.name), "%.*s/" LVM_PREFIX "%s",
		(int)strcspn(c->lv, "/"), c->lv, tag);
	(void)snprintf(s->entry.device, sizeof(s->entry.device), "thinark-lvm-%s", tag);
	(void)snprintf(s->entry.pool, sizeof(s->entry.pool), "%s", s->pool->name);
	return 0;
}

static int prepare(const struct container *c, struct snap *s, struct err *e)
{
	int r = check_origin(c, e);

	if (r == 0)
		r = name_it(c, s, e);
	if (r == 0)
		r = pool_guard(s->pool, e);
	int n = r < 0 ? r
		      : pool_find_thin(s->pool, c->thin_id, s->entry.origins, SNAPPER_ORIGINS, e);
	if (n < 0)
		return n;
	s->entry.origin_count = n;
	s->was_active = n > 0;
	undo_arm_if_clean(s->undo, "ledger", undo_ledger, s);
	r = ledger_write(&s->entry, e);
	if (r == 0)
		r = look_at_origins(s, e);
	/* Flushing takes space, and a freeze in a full pool would hang. */
	return r < 0 ? r : pool_guard(s->pool, e);
}

int snap_lvm_take(const struct pool *pool, const struct container *c, int lock, struct undo *u,
	struct snap *s, struct err *e)
{
	__attribute__((cleanup(lvm_list_done))) struct lvm_list list = {0};
	const struct lvm_lv *v = NULL;
	bool was_killed;

	*s = (struct snap){.pool = pool, .size_bytes = c->size_bytes, .undo = u, .lock = lock};
	int r = prepare(c, s, e);
	if (r < 0)
		return r;
	undo_arm(u, "removal of the snapshot", undo_volume, s);
	const uint64_t start = clock_ns();
	r = lvm_snapshot(c->lv, s->entry.name, lock, &was_killed, e);
	s->window_ns = s->was_active ? clock_ns() - start : 0;
	if (was_killed)
		undo_arm(u, "resume", undo_suspend, s);
	if (r == 0)
		r = look_up(s->entry.name, &list, &v, e);
	if (r < 0)
		return r;
	s->entry.thin_id = v->thin_id;
	/* Of the time that the manifest tells; LVM knows its snapshot without. */
	struct err ignored;
	(void)pool_mark_after(pool, v->thin_id, &s->entry.mark, &ignored);
	/* LVM has resumed them: who suspends them from now on is somebody else. */
	s->entry.is_window_over = true;
	r = ledger_write(&s->entry, e);
	if (r < 0)
		return r;
	s->freeze = !s->was_active ? "inactive"
		    : s->is_guests ? "crash-consistent"
		    : s->is_used   ? "frozen"
				   : "idle";
	return 0;
}
