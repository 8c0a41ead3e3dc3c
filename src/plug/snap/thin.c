/* SPDX-License-Identifier: Apache-2.0 */
#include "snap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "scope.h"
#include "snapper.h"
#include "view.h"

#define ENGINE_MS 10000u /* an engine under load takes a while to answer */

static int undo_ledger(void *arg, struct err *e)
{
	const struct snap *s = arg;

	return ledger_remove(&s->entry, e);
}

static int send_delete(const struct pool *pool, uint32_t id, struct err *e)
{
	char message[32];
	struct err mine = {0};
	int r = -EBUSY;

	(void)snprintf(message, sizeof(message), "delete %" PRIu32, id);
	/* Busy while the removal of its device is on the way. */
	for (int i = 0; i < 50 && r == -EBUSY; i++) {
		if (i)
			clock_sleep_ms(100);
		r = dmdev_message(pool->name, message, &mine);
	}
	if (r < 0 && r != -ENODATA) {
		*e = mine;
		e->kind = ERR_LEFTOVER;
		return r;
	}
	return 0;
}

/*
 * must_know: not ours unless the metadata says so; else, who made it has just been holding it.  An
 * id that is not committed belongs to nobody who could lose anything.
 */
static int delete_id(
	const struct pool *pool, const struct ledger_entry *x, bool must_know, struct err *e)
{
	enum pool_match match = POOL_SAME;
	const uint32_t id = x->thin_id;
	struct err mine = {0};

	if (id > SNAP_ID_TOP || id <= SNAP_ID_TOP - SNAP_ID_BAND)
		return err_set(e, ERR_LEFTOVER, -EINVAL,
			"thin %" PRIu32 " is outside our band and is not touched", id);
	int r = pool_match(pool, id, &x->mark, &match, &mine);
	if (r < 0 && must_know) {
		*e = mine;
		e->kind = ERR_LEFTOVER;
		return r;
	}
	if (r < 0)
		log_debug("%s", mine.text);
	if (match == POOL_OTHER) {
		log_warning("thin %" PRIu32 " of pool '%s' is not the snapshot of ours that had "
			    "this id: it is not touched",
			id, pool->name);
		return 0;
	}
	return send_delete(pool, id, e);
}

static int undo_id(void *arg, struct err *e)
{
	const struct snap *s = arg;

	return delete_id(s->pool, &s->entry, false, e);
}

/* Only after a window that may have left them suspended: else it would be someone else's work. */
static int undo_suspend(void *arg, struct err *e)
{
	const struct snap *s = arg;
	int first = 0;

	for (int i = 0; i < s->entry.origin_count; i++) {
		int r = snapper_resume(s->entry.origins[i], e);

		first = first < 0 ? first : r;
	}
	return first;
}

static int undo_device(void *arg, struct err *e)
{
	struct snap *s = arg;
	int r = dmdev_remove(s->entry.device, e);

	s->node[0] = '\0';
	return r;
}

int snap_drop_entry(const struct pool *pool, const struct ledger_entry *x, struct err *e)
{
	/* Only what we were suspending in this boot, and no process of ours is alive: we hold the
	 * lock. */
	for (int i = 0; x->is_this_boot && i < x->origin_count; i++) {
		int r = snapper_resume(x->origins[i], e);

		if (r < 0)
			return r;
	}
	/* An engine that does not answer must not keep the snapshot alive. */
	int paused = x->is_this_boot && x->pause_id[0]
			     ? engine_unpause(x->pause_socket, x->pause_id, ENGINE_MS, e)
			     : 0;
	struct err mine = {0};
	/* Devices do not outlive a boot: one of this name is another run's, in another pool. */
	int r = x->is_this_boot ? dmdev_remove(x->device, &mine) : 0;
	if (r == 0)
		r = delete_id(pool, x, true, &mine);
	if (r < 0)
		*e = mine;
	return r < 0 ? r : paused;
}

/* Nothing else may become the container. */
static int check_safety(const struct pool *pool, const struct ledger_entry *x, struct err *e)
{
	enum pool_match match = POOL_ABSENT;
	int r = pool_match(pool, x->thin_id, &x->mark, &match, e);

	if (r == 0 && match != POOL_SAME)
		r = err_set(e, ERR_SOURCE, -ENOENT,
			"thin %" PRIu32 " of pool '%s' is not its safety snapshot (any more)",
			x->thin_id, pool->name);
	return r;
}

int snap_end_rollback(const struct pool *pool, const struct ledger_entry *x, struct err *e)
{
	char message[48];
	int r = pool_has_id(pool, x->origin_id, e);

	if (r)
		return r < 0 ? r : 0;
	r = check_safety(pool, x, e);
	if (r < 0)
		return r;
	(void)snprintf(message, sizeof(message), "create_snap %" PRIu32 " %" PRIu32, x->origin_id,
		x->thin_id);
	r = dmdev_message(pool->name, message, e);
	/* Success of the message is no proof. */
	if (r == 0)
		r = pool_has_id(pool, x->origin_id, e);
	if (r == 0)
		r = err_set(e, ERR_LEFTOVER, -ENODATA, "thin %" PRIu32 " was not made anew",
			x->origin_id);
	return r;
}

int snap_roll_back(const struct pool *pool, const struct ledger_entry *x, struct err *e)
{
	struct pool_status s;
	int r = check_safety(pool, x, e);

	if (r == 0)
		r = pool_status(pool, &s, e);
	if (r == 0 && (s.mode == POOL_RO || s.mode == POOL_FAIL || s.needs_check))
		r = err_set(e, ERR_POOL, -EROFS, "pool '%s' takes no messages", pool->name);
	if (r == 0)
		r = send_delete(pool, x->origin_id, e);
	if (r == 0)
		r = snap_end_rollback(pool, x, e);
	return r < 0 ? r : 0;
}

static int check_origins(struct snap *s, struct err *e)
{
	for (int i = 0; i < s->entry.origin_count; i++) {
		struct dmdev_info info;
		const char *name = s->entry.origins[i];
		int r = dmdev_info(name, &info, e);

		if (r < 0)
			return r;
		/* Suspending these would end someone else's critical section or swap in his table.
		 */
		if (info.suspended || info.has_inactive_table || info.is_internally_suspended)
			return err_set(e, ERR_SOURCE, -EBUSY,
				"device '%s' is being changed by someone else (%s)", name,
				info.has_inactive_table ? "a table is loaded" : "suspended");
	}
	return 0;
}

/*
 * What a suspend can do for it.  A device that is in use but not mounted on this host is a guest's:
 * the file system is the guest's, and freezing does not reach it.
 */
static void look_at_use(struct snap *s, const struct dmdev_info *info)
{
	const bool is_mounted = view_is_mounted(info->major, info->minor);

	s->is_guests |= info->open_count > 0 && !is_mounted;
	s->is_used |= info->open_count > 0 || is_mounted;
}

static int presync(struct snap *s, struct err *e)
{
	for (int i = 0; i < s->entry.origin_count; i++) {
		struct dmdev_info info;
		char node[64];
		int r = dmdev_info(s->entry.origins[i], &info, e);

		if (r == 0 && info.exists)
			look_at_use(s, &info);
		if (r == 0 && info.exists)
			r = dmdev_node(info.major, info.minor, node, e);
		if (r == 0 && info.exists)
			r = snapper_presync(node, 120, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int pick_id(struct snap *s, uint32_t *next_id, struct err *e)
{
	for (; *next_id > SNAP_ID_TOP - SNAP_ID_BAND; (*next_id)--) {
		s->entry.thin_id = *next_id;
		/* The entry of an id that is gone may still name an origin or a device. */
		int r = ledger_has(&s->entry, e);

		if (r == 0)
			r = pool_has_id(s->pool, *next_id, e);

		if (r < 0)
			return err_add(e, "probe of thin %" PRIu32, *next_id);
		if (r == 0) {
			(*next_id)--;
			(void)snprintf(s->entry.device, sizeof(s->entry.device),
				"thinark-%u-%u-%" PRIx32, s->pool->major, s->pool->minor,
				s->entry.thin_id);
			return 0;
		}
	}
	return err_set(e, ERR_POOL, -ENOSPC, "no free id: %u snapshots of ours are left over",
		SNAP_ID_BAND);
}

/* Success of create_snap is no proof: its commit may have failed.  On disk it is one. */
static int learn(struct snap *s, struct err *e)
{
	struct err mine = {0};
	int r = pool_mark_after(s->pool, s->entry.thin_id, &s->entry.mark, &mine);

	if (r < 0 && r != -ENODATA) {
		log_warning("%s: the snapshot is known by its id only", mine.text);
		r = pool_has_id(s->pool, s->entry.thin_id, e);
		if (r < 0)
			return r;
		r = r ? 0 : -ENODATA;
	}
	if (r == -ENODATA)
		return err_set(
			e, ERR_POOL, -ENODATA, "the snapshot does not exist after create_snap");
	/* Who suspends the origin from now on is somebody else. */
	s->entry.is_window_over = true;
	return ledger_write(&s->entry, e);
}

static int verify(struct snap *s, struct err *e)
{
	int r = pool_status(s->pool, &s->status, e);

	if (r == 0 && (s->status.mode != POOL_RW || s->status.needs_check))
		r = err_set(e, ERR_POOL, -EROFS,
			"the pool went read-only while the snapshot was taken");
	return r;
}

static int no_origin(const struct snap *s, struct err *e)
{
	return err_set(e, ERR_STORE, -ENODATA, "thin %" PRIu32 " does not exist in pool '%s'",
		s->entry.origin_id, s->pool->name);
}

/* Which container is to be paused; one without a process needs it as little as a paused one. */
static int plan_pause(struct snap *s, const char *id, const char *socket, struct err *e)
{
	enum engine_state now = ENGINE_STOPPED;

	if (!socket || s->entry.origin_count == 0)
		return 0;
	if (engine_state(socket, id, ENGINE_MS, &now, e) < 0)
		return err_add(e, "consistency: pause");
	s->was_paused = now == ENGINE_PAUSED;
	if (now == ENGINE_RUNNING) {
		(void)snprintf(s->entry.pause_socket, sizeof(s->entry.pause_socket), "%s", socket);
		(void)snprintf(s->entry.pause_id, sizeof(s->entry.pause_id), "%s", id);
	}
	return 0;
}

/* Also after a failed attempt: the ledger still names it then. */
static int undo_pause(void *arg, struct err *e)
{
	struct snap *s = arg;

	if (s->guard)
		return engine_guard_release(TAKE_PTR(s->guard), e);
	if (!s->entry.pause_id[0])
		return 0;
	return engine_unpause(s->entry.pause_socket, s->entry.pause_id, ENGINE_MS, e);
}

static int pause_one(struct snap *s, struct err *e)
{
	const struct ledger_entry *x = &s->entry;

	if (!x->pause_id[0])
		return 0;
	undo_arm(s->undo, "end of the pause", undo_pause, s);
	int r = engine_guard_start(x->pause_socket, x->pause_id, SNAP_PAUSE_MS, &s->guard, e);
	s->pause_start_ns = clock_ns();
	if (r == 0)
		r = engine_pause(x->pause_socket, x->pause_id, ENGINE_MS, e);
	s->was_paused = r == 0 || r == -EALREADY;
	if (r == -EALREADY) {
		/* His who did it, and he ends it. */
		engine_guard_cancel(TAKE_PTR(s->guard));
		s->entry.pause_id[0] = '\0';
		r = ledger_write(&s->entry, e);
	}
	return r < 0 ? err_add(e, "consistency: pause") : 0;
}

/* Success: it runs, and the ledger names it no more, so that nobody ends a later pause of others.
 */
static int unpause_one(struct snap *s, struct err *e)
{
	if (!s->guard)
		return 0;
	int r = engine_guard_release(TAKE_PTR(s->guard), e);
	s->paused_ns = clock_ns() - s->pause_start_ns;
	if (r == 0 || r == -ETIMEDOUT) {
		s->entry.pause_id[0] = '\0';
		int l = ledger_write(&s->entry, r == 0 ? e : NULL);
		r = r == 0 ? l : r;
	}
	return r < 0 ? err_add(e, "consistency: pause") : 0;
}

static int pause_all(struct snap *const *snaps, size_t count, size_t *ret_failed, struct err *e)
{
	for (size_t n = 0; n < count; n++)
		if (pause_one(snaps[n], e) < 0) {
			*ret_failed = n;
			return e->code;
		}
	return 0;
}

/* All of them; r is what came before and counts more. */
static int unpause_all(
	struct snap *const *snaps, size_t count, int r, size_t *ret_failed, struct err *e)
{
	for (size_t n = 0; n < count; n++) {
		struct err mine = {0};

		if (unpause_one(snaps[n], &mine) < 0 && r == 0) {
			*ret_failed = n;
			*e = mine;
			r = mine.code;
		}
	}
	return r;
}

/* Metadata of a version that we do not read is no reason to archive nothing. */
static void learn_before(struct snap *s)
{
	struct err mine = {0};

	if (pool_mark_before(s->pool, &s->entry.mark, &mine) < 0)
		log_warning("%s: the snapshot will be known by its id only", mine.text);
}

int snap_prepare(const struct pool *pool, const struct container *c, const char *pause_socket,
	uint32_t *next_id, struct undo *u, struct snap *s, struct err *e)
{
	*s = (struct snap){.pool = pool, .size_bytes = c->size_bytes, .undo = u};
	if (c->lv)
		return err_set(
			e, ERR_SOURCE, -ENOTSUP, "'%s' is LVM's, which takes the snapshot", c->lv);
	(void)snprintf(s->entry.pool, sizeof(s->entry.pool), "%s", pool->name);
	s->entry.origin_id = c->thin_id;
	int n = pool_find_thin(pool, c->thin_id, s->entry.origins, SNAPPER_ORIGINS, e);
	if (n < 0)
		return n;
	s->entry.origin_count = n;
	int r = check_origins(s, e);
	if (r == 0)
		r = pool_guard(pool, e);
	/* One that is missing must not spoil the window of a whole group. */
	if (r == 0 && n == 0) {
		r = pool_has_id(pool, c->thin_id, e);
		r = r < 0 ? r : r == 0 ? no_origin(s, e) : 0;
	}
	if (r == 0)
		learn_before(s);
	if (r == 0)
		r = plan_pause(s, c->id, pause_socket, e);
	if (r == 0)
		r = pick_id(s, next_id, e);
	if (r == 0) {
		undo_arm_if_clean(u, "ledger", undo_ledger, s);
		r = ledger_write(&s->entry, e);
	}
	if (r == 0)
		r = presync(s, e);
	/* Flushing takes space, and a freeze in a full pool would hang. */
	if (r == 0)
		r = pool_guard(pool, e);
	if (r < 0)
		return r;
	undo_arm(u, "delete of the snapshot", undo_id, s);
	return 0;
}

static int learn_all(struct snap *const *snaps, size_t count, size_t *ret_failed, struct err *e)
{
	for (size_t n = 0; n < count; n++) {
		int r = learn(snaps[n], e);

		if (r < 0) {
			*ret_failed = n;
			return r;
		}
	}
	return 0;
}

int snap_shoot(struct snap *const *snaps, size_t count, size_t *ret_failed, struct err *e)
{
	AUTO_FREE struct snapper_shot *shots = calloc(count, sizeof(*shots));
	AUTO_FREE char(*messages)[48] = calloc(count, sizeof(*messages));
	struct snapper window = {.shots = shots, .count = count, .deadline_ms = SNAP_DEADLINE_MS};

	*ret_failed = 0;
	if (!shots || !messages)
		return err_sys(e, ERR_FATAL, -ENOMEM, "snapshot");
	for (size_t n = 0; n < count; n++) {
		const struct ledger_entry *x = &snaps[n]->entry;

		(void)snprintf(messages[n], sizeof(messages[n]), "create_snap %" PRIu32 " %" PRIu32,
			x->thin_id, x->origin_id);
		shots[n].pool = snaps[n]->pool->name;
		shots[n].message = messages[n];
		shots[n].origin_count = (size_t)x->origin_count;
		for (int i = 0; i < x->origin_count; i++)
			shots[n].origins[i] = x->origins[i];
	}
	int r = pause_all(snaps, count, ret_failed, e);
	if (r == 0) {
		r = snapper_run(&window, e);
		*ret_failed = window.failed;
	}
	const int shot = r;
	r = unpause_all(snaps, count, r, ret_failed, e);
	if (r == 0)
		r = learn_all(snaps, count, ret_failed, e);
	for (size_t n = 0; n < count; n++) {
		struct snap *s = snaps[n];

		s->window_ns = window.window_ns;
		s->was_active = s->entry.origin_count > 0;
		s->freeze = !s->was_active                         ? "inactive"
			    : !shots[n].was_frozen || s->is_guests ? "crash-consistent"
			    : s->is_used                           ? "frozen"
								   : "idle";
	}
	if (r < 0 && e->kind == ERR_LEFTOVER)
		for (size_t n = 0; n < count; n++)
			undo_arm(snaps[n]->undo, "resume", undo_suspend, snaps[n]);
	struct snap *failed = snaps[window.failed];
	if (shot == -EEXIST)
		undo_disarm(failed->undo, undo_id, failed); /* somebody else's */
	return shot == -ENODATA ? no_origin(failed, e) : r;
}

int snap_confirm(struct snap *s, struct err *e)
{
	char again[SNAPPER_ORIGINS][DM_NAME_MAX];
	int n = pool_find_thin(s->pool, s->entry.origin_id, again, SNAPPER_ORIGINS, e);

	/* An origin that was activated meanwhile was written to without a suspend. */
	if (n >= 0 && n != s->entry.origin_count)
		return err_set(e, ERR_SOURCE, -EAGAIN,
			"the container was started or stopped while its snapshot was taken; run "
			"again");
	int r = n < 0 ? n : verify(s, e);
	if (r < 0)
		return r;
	undo_arm(s->undo, "removal of the snapshot's device", undo_device, s);
	return 0;
}

int snap_activate(struct snap *s, bool read_only, struct err *e)
{
	char params[64], uuid[DM_NAME_MAX];
	const struct dmdev_target t = {
		.length_sectors = s->size_bytes / 512, .type = "thin", .params = params};
	struct dmdev_info info;

	if (s->node[0]) {
		int r = undo_device(s, e);

		if (r < 0)
			return r;
	}
	(void)snprintf(params, sizeof(params), "%u:%u %" PRIu32, s->pool->major, s->pool->minor,
		s->entry.thin_id);
	(void)snprintf(uuid, sizeof(uuid), "THINARK-%u:%u-%06" PRIx32, s->pool->major,
		s->pool->minor, s->entry.thin_id);
	int r = dmdev_create(s->entry.device, uuid, &t, read_only, true, &info, e);
	return r < 0 ? r : dmdev_node(info.major, info.minor, s->node, e);
}
