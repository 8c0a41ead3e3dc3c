/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "clock.h"
#include "damage.h"
#include "log.h"
#include "scope.h"
#include "stop.h"
#include "view.h"
#include "walk.h"

static int prepare(struct job *j, struct err *e)
{
	const struct cfg_store *store = cfg_find_store(j->options->cfg, j->container->store);
	const bool is_pause = strcmp(j->cfg->consistency, "pause") == 0;

	return snap_prepare(j->pool, j->container, is_pause ? store->socket : NULL, j->next_id,
		&j->undo, &j->snap, e);
}

static int stage_snapshot(struct job *j, struct err *e)
{
	struct snap *one = &j->snap;
	size_t failed;
	const bool is_lvm = j->container->lv != NULL;
	int r = is_lvm       ? snap_lvm_take(j->pool, j->container, j->pool_lock, &j->undo, one, e)
		: j->is_shot ? 0
			     : prepare(j, e);

	if (is_lvm)
		j->time = time(NULL);
	if (r == 0 && !j->is_shot && !is_lvm) {
		r = snap_shoot(&one, 1, &failed, e);
		j->time = time(NULL);
	}
	return r < 0 ? r : snap_confirm(&j->snap, e);
}

static int undo_view(void *arg, struct err *e)
{
	(void)arg;
	return view_umount(VIEW_DIR, e);
}

static int stage_mount(struct job *j, struct err *e)
{
	undo_arm(&j->undo, "unmount", undo_view, j);
	int r = snap_mount(&j->snap, VIEW_DIR, &j->fs_type, &j->mount_mode, e);
	if (r == 0)
		r = pool_thin_mapped(j->snap.entry.device, &j->mapped_bytes, e);
	/* From here a killed run loses mount and device by itself; only the id stays. */
	if (r == 0)
		r = dmdev_remove_deferred(j->snap.entry.device, e);
	return r < 0 ? r : view_open(j->container->subdir ? j->container->subdir : "", &j->root, e);
}

/* A folder is read as it is. */
static int stage_open(struct job *j, struct err *e)
{
	j->time = time(NULL);
	j->root = open(j->container->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return j->root < 0 ? err_sys(e, ERR_SOURCE, -errno, "%s", j->container->path) : 0;
}

static int undo_writer(void *arg, struct err *e)
{
	struct job *j = arg;
	struct dest_writer *w = TAKE_PTR(j->writer);

	return w ? j->dest_ops->abort(w, e) : 0;
}

static int stream(struct job *j, struct frames *f, struct pack *p, struct err *e)
{
	const struct walk_options o = {.exclude = &j->cfg->exclude_patterns,
		.exclude_caches = j->cfg->exclude_caches,
		.exclude_if_present = &j->cfg->exclude_if_present,
		.no_fingerprints = j->container->volume != VOLUME_THIN,
		.memory = (size_t)j->options->cfg->memory,
		.progress = report_progress,
		.progress_arg = j};
	int r = walk_tree(j->root, &o, p, &j->trouble, e);

	if (r == 0)
		r = pack_finish(p, e);
	if (r == 0)
		r = frames_finish(f, e);
	if (r < 0)
		return r;
	j->counts = *pack_counts(p);
	j->tar_bytes = frames_bytes_in(f);
	j->file_bytes = frames_bytes_out(f);
	frames_sha256(f, j->sha256);
	frames_index_sha256(f, j->index_sha256);
	return 0;
}

/* What the kernel says of the snapshot's file system meanwhile; of a folder's nobody can tell. */
static int watched_stream(struct job *j, struct frames *f, struct pack *p, struct err *e)
{
	struct damage damage;

	if (j->container->volume == VOLUME_FOLDER)
		return stream(j, f, p, e);
	damage_begin(&damage, j->container->volume == VOLUME_THIN ? j->snap.node : j->offline.node,
		VIEW_DIR);
	int r = stream(j, f, p, e);
	damage_end(&damage, &j->trouble);
	return r;
}

static int stage_archive(struct job *j, struct err *e)
{
	struct frames *f = NULL;
	struct pack *p = NULL;

	undo_arm(&j->undo, "unfinished archive", undo_writer, j);
	int r = j->dest_ops->begin(j->dest, j->name, &j->writer, e);
	if (r == 0)
		r = frames_new(j->dest_ops->sink(j->writer), j->cfg->zstd_level, &f, e);
	if (r == 0) {
		frames_limit(f, 0, (size_t)j->options->cfg->memory);
		frames_rate(f, (uint64_t)j->options->cfg->rate_limit);
		r = pack_new(f, &p, e);
	}
	if (r == 0)
		r = watched_stream(j, f, p, e);
	pack_free(p);
	frames_free(f);
	return r;
}

static int stage_seal(struct job *j, struct err *e)
{
	char created[24], sha256[DIGEST_HEX];
	AUTO_STRBUF text = {0};
	const char *slash = strrchr(j->name, '/');
	AUTO_STRBUF file = {0};

	strbuf_printf(&file, "%s.tar.zst", slash ? slash + 1 : j->name);
	const struct thin_mark *mark = &j->snap.entry.mark;
	const struct manifest m = {
		.container = j->container,
		.job = j->cfg->name,
		.hostname = j->hostname,
		.created = clock_rfc3339(j->time, created),
		.archive = file.data,
		.pool_name = j->pool ? j->pool->name : NULL,
		.origin_thin_id = j->container->thin_id,
		.snap_thin_id = j->snap.entry.thin_id,
		.pool_transaction = j->snap.status.transaction,
		.pool_block_bytes = j->pool ? (uint64_t)j->pool->block_sectors * 512 : 0,
		.mapped_bytes = j->mapped_bytes,
		.pool_time = mark->is_whole ? (int64_t)mark->created : -1,
		.was_active = j->snap.was_active,
		.window_ms = (double)j->snap.window_ns / 1e6,
		.freeze = j->snap.freeze,
		.consistency = j->snap.was_paused ? "pause" : "freeze",
		.paused_ms = (double)j->snap.paused_ns / 1e6,
		.fs_type = j->fs_type,
		.mount_mode = j->mount_mode,
		.compression = j->cfg->compression,
		.file_bytes = j->file_bytes,
		.tar_bytes = j->tar_bytes,
		.entries = j->counts.entries,
		.files = j->counts.files,
		.dirs = j->counts.dirs,
		.symlinks = j->counts.symlinks,
		.hardlinks = j->counts.hardlinks,
		.devices = j->counts.devices,
		.fifos = j->counts.fifos,
		.sockets_skipped = j->counts.sockets_skipped,
		.excluded = j->counts.excluded,
		.content_bytes = j->counts.content_bytes,
		.trouble = &j->trouble,
	};
	struct manifest copy = m;
	struct manifest_salvage salvage;
	if (j->container->volume == VOLUME_OFFLINE)
		offline_describe(j, &copy, &salvage);
	memcpy(copy.sha256, j->sha256, sizeof(copy.sha256));
	memcpy(copy.index_sha256, j->index_sha256, sizeof(copy.index_sha256));
	int r = manifest_write(&copy, &text, e);
	if (r == 0)
		r = digest_text(text.data, manifest_covered(&text), sha256, e);
	if (r == 0)
		r = manifest_seal(&text, sha256, e);
	if (r == 0)
		r = j->dest_ops->seal(j->writer, text.data, text.len, e);
	j->is_sealed = r == 0;
	return r;
}

#define FOR(kind) (1u << (kind))
#define FOR_ALL (~0u)
#define BY_SETTING 0

/* How long each may take; flushing and freezing have limits of their own below these. */
static const struct stage {
	const char *name;
	unsigned volumes; /* kinds of volume that it is for */
	int (*run)(struct job *j, struct err *e);
	unsigned seconds;
} stages[] = {
	{"snapshot", FOR(VOLUME_THIN), stage_snapshot, 300},
	{"mount", FOR(VOLUME_THIN), stage_mount, 300},
	{"open", FOR(VOLUME_FOLDER), stage_open, 60},
	{"copy", FOR(VOLUME_OFFLINE), offline_copy, BY_SETTING},
	{"mount", FOR(VOLUME_OFFLINE), offline_mount, 300},
	{"archive", FOR_ALL, stage_archive, BY_SETTING},
	{"check", FOR(VOLUME_OFFLINE), offline_check, BY_SETTING},
	{"seal", FOR_ALL, stage_seal, 600},
};

static void late(void *arg, const char *stage, unsigned seconds)
{
	const struct job *j = arg;

	log_warning("%s: %s hangs: not done after %u s", j->container->name, stage, seconds);
}

static int run_stages(struct job *j, struct err *e)
{
	const struct watch_ops ops = {late, j};
	int r = watch_start(j->pool, &ops, &j->watch, e);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(stages); i++) {
		const struct stage *s = &stages[i];

		if (!(s->volumes & FOR(j->container->volume)))
			continue;
		watch_stage(j->watch, s->name,
			s->seconds ? s->seconds : (unsigned)j->cfg->archive_timeout);
		r = stop_check(e);
		if (r == 0)
			r = s->run(j, e);
		if (r < 0)
			(void)err_add(e, "%s", s->name);
	}
	if (j->root >= 0)
		(void)close(TAKE_FD(j->root)); /* or the mount would be busy */
	j->is_pool_limit = j->watch && watch_is_pool_limit(j->watch);
	watch_stop(TAKE_PTR(j->watch));
	stop_clear();
	return r;
}

/* Undoes everything; what is left on the host weighs more than what failed before it. */
static int unwind(struct job *j, int r, struct err *e)
{
	struct err left = {0};
	int u = undo_to(&j->undo, 0, &left);

	if (u == 0)
		return r;
	left.kind = ERR_LEFTOVER;
	if (r < 0)
		(void)err_add(&left, "%s; then", e->text);
	*e = left;
	return u;
}

const char *job_result(const struct job *j)
{
	if (j->is_skipped)
		return "skipped";
	return !j->is_sealed ? "failed" : j->trouble.count ? "incomplete" : "good";
}

int job_run(struct job *j, struct err *e)
{
	j->started_ns = clock_ns();
	return unwind(j, run_stages(j, e), e);
}

int job_drop(struct job *j, const char *why, struct err *e)
{
	return unwind(j, err_set(e, ERR_SOURCE, -ECANCELED, "not attempted: %s", why), e);
}

void job_shoot_group(struct job *jobs, size_t count, int *rets, struct err *errors)
{
	AUTO_FREE struct snap **snaps = calloc(count, sizeof(*snaps));
	AUTO_FREE struct job **ready = calloc(count, sizeof(*ready));
	struct err e = {0};
	size_t n = 0, failed = 0;
	int r = snaps && ready ? 0 : err_sys(&e, ERR_FATAL, -ENOMEM, "group");

	for (size_t i = 0; i < count; i++) {
		if (rets[i] || jobs[i].container->volume != VOLUME_THIN)
			continue;
		if (r < 0)
			errors[i] = e;
		rets[i] = r == 0 ? prepare(&jobs[i], &errors[i]) : r;
		if (rets[i] < 0) {
			(void)err_add(&errors[i], "snapshot");
			rets[i] = unwind(&jobs[i], rets[i], &errors[i]);
		} else {
			snaps[n] = &jobs[i].snap;
			ready[n++] = &jobs[i];
		}
	}
	if (n == 0)
		return;
	r = snap_shoot(snaps, n, &failed, &e);
	if (r < 0)
		(void)err_add(&e, "snapshot of the group: %s", ready[failed]->container->name);
	const time_t now = time(NULL);
	for (size_t i = 0; i < n; i++) {
		ready[i]->time = now;
		ready[i]->is_shot = r == 0;
		if (r < 0) {
			const size_t at = (size_t)(ready[i] - jobs);

			errors[at] = e;
			rets[at] = unwind(ready[i], r, &errors[at]);
		}
	}
}
