/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "scope.h"
#include "stop.h"
#include "view.h"
#include "walk.h"

static int stage_snapshot(struct job *j, struct err *e)
{
	int r = snap_take(j->pool, j->container, &j->undo, &j->snap, e);

	j->time = time(NULL);
	return r;
}

static int undo_view(void *arg, struct err *e)
{
	(void)arg;
	return view_umount(e);
}

/*
 * ext4: read-only device first, so that the kernel itself decides whether the journal is clean;
 * then a writable one, whose replay goes into the snapshot.  xfs: always writable, since a frozen
 * xfs leaves a log; norecovery would lose files.
 */
static int stage_mount(struct job *j, struct err *e)
{
	int r = snap_activate(&j->snap, true, e);

	if (r == 0)
		r = pool_thin_mapped(j->snap.entry.device, &j->mapped_bytes, e);
	if (r == 0)
		r = view_probe(j->snap.node, &j->fs_type, e);
	if (r < 0)
		return r;
	const bool is_xfs = strcmp(j->fs_type, "xfs") == 0;
	undo_arm(&j->undo, "unmount", undo_view, j);
	j->mount_mode =
		is_xfs ? "read-only mount, log replayed into the snapshot" : "read-only device";
	if (is_xfs)
		r = snap_activate(&j->snap, false, e);
	if (r == 0)
		r = view_mount(j->snap.node, j->fs_type, e);
	if (r == -EROFS && !is_xfs) {
		j->mount_mode = "read-only mount, journal replayed into the snapshot";
		r = snap_activate(&j->snap, false, e);
		if (r == 0)
			r = view_mount(j->snap.node, j->fs_type, e);
	}
	/* From here a killed run loses mount and device by itself; only the id stays. */
	return r < 0 ? r : dmdev_remove_deferred(j->snap.entry.device, e);
}

static int undo_writer(void *arg, struct err *e)
{
	struct job *j = arg;
	struct dest_writer *w = TAKE_PTR(j->writer);

	return w ? j->dest_ops->abort(w, e) : 0;
}

static int stream(struct job *j, int root, struct frames *f, struct pack *p, struct err *e)
{
	const struct walk_options o = {.exclude = &j->cfg->exclude_patterns,
		.progress = report_progress,
		.progress_arg = j};
	int r = walk_tree(root, &o, p, &j->trouble, e);

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
	return 0;
}

static int stage_archive(struct job *j, struct err *e)
{
	AUTO_CLOSE int root = -1;
	struct frames *f = NULL;
	struct pack *p = NULL;
	int r = view_open(j->container->subdir ? j->container->subdir : "", &root, e);

	if (r < 0)
		return r;
	undo_arm(&j->undo, "unfinished archive", undo_writer, j);
	r = j->dest_ops->begin(j->dest, j->name, &j->writer, e);
	if (r == 0)
		r = frames_new(j->dest_ops->sink(j->writer), j->cfg->zstd_level, &f, e);
	if (r == 0)
		r = pack_new(f, &p, e);
	if (r == 0)
		r = stream(j, root, f, p, e);
	pack_free(p);
	frames_free(f);
	return r;
}

static int stage_seal(struct job *j, struct err *e)
{
	char created[24];
	AUTO_STRBUF text = {0};
	const char *slash = strrchr(j->name, '/');
	AUTO_STRBUF file = {0};

	strbuf_printf(&file, "%s.tar.zst", slash ? slash + 1 : j->name);
	const struct manifest m = {
		.container = j->container,
		.job = j->cfg->name,
		.hostname = j->hostname,
		.created = clock_rfc3339(j->time, created),
		.archive = file.data,
		.pool_name = j->pool->name,
		.origin_thin_id = j->container->thin_id,
		.snap_thin_id = j->snap.entry.thin_id,
		.pool_transaction = j->snap.status.transaction,
		.pool_block_bytes = (uint64_t)j->pool->block_sectors * 512,
		.mapped_bytes = j->mapped_bytes,
		.pool_time = j->snap.pool_time,
		.was_active = j->snap.was_active,
		.window_ms = (double)j->snap.window_ns / 1e6,
		.freeze = j->snap.freeze,
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
	memcpy(copy.sha256, j->sha256, sizeof(copy.sha256));
	int r = manifest_write(&copy, &text, e);
	if (r == 0)
		r = j->dest_ops->seal(j->writer, text.data, text.len, e);
	j->is_sealed = r == 0;
	return r;
}

static const struct stage {
	const char *name;
	int (*run)(struct job *j, struct err *e);
} stages[] = {
	{"snapshot", stage_snapshot},
	{"mount", stage_mount},
	{"archive", stage_archive},
	{"seal", stage_seal},
};

const char *job_result(const struct job *j)
{
	if (j->is_skipped)
		return "skipped";
	return !j->is_sealed ? "failed" : j->trouble.count ? "incomplete" : "good";
}

int job_run(struct job *j, struct err *e)
{
	const size_t mark = undo_mark(&j->undo);
	struct err left = {0};
	int r = 0;

	j->started_ns = clock_ns();
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(stages); i++) {
		r = stop_check(e);
		if (r == 0)
			r = stages[i].run(j, e);
		if (r < 0)
			(void)err_add(e, "%s", stages[i].name);
	}
	int u = undo_to(&j->undo, mark, &left);
	if (u < 0) {
		/* What is left on the host weighs more than what failed before it. */
		left.kind = ERR_LEFTOVER;
		if (r < 0)
			(void)err_add(&left, "%s; then", e->text);
		*e = left;
		r = u;
	}
	return r;
}
