/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thin device of a pool that is not active: copied as a sparse image that has no name, so that
 * nothing of it outlives the process; then mounted, archived and checked like any other.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "job.h"
#include "scope.h"
#include "view.h"

#define LOST_MAX 1048576u               /* 16 MiB of ranges */
#define LOST_TOLD 100u                  /* ranges told one by one */
#define FS_SIZE_MAX (UINT64_C(1) << 46) /* bytes of a device that is believed to be one */

/* Says of the device as a whole that something is wrong with it. */
static void note(struct job *j, int error, const char *text)
{
	trouble_add(&j->trouble, ".", text, error);
}

/* Ranges beyond LOST_MAX, or without memory, are told and counted all the same. */
static void keep_loss(struct offline *o, uint64_t offset, uint64_t len)
{
	if (o->lost_count == LOST_MAX)
		return;
	if ((o->lost_count & (o->lost_count - 1)) == 0) {
		const size_t cap = o->lost_count ? 2 * o->lost_count : 1;
		struct lost_range *more = reallocarray(o->lost, cap, sizeof(*more));

		if (!more)
			return;
		o->lost = more;
	}
	o->lost[o->lost_count++] = (struct lost_range){offset, offset + len};
}

static void note_loss(void *arg, uint64_t offset, uint64_t len, const char *why)
{
	struct job *j = arg;
	char text[768];

	keep_loss(&j->offline, offset, len);
	if (j->offline.lost_count > LOST_TOLD)
		return; /* the files that it hits matter more */
	(void)snprintf(text, sizeof(text),
		"%" PRIu64 " bytes at byte %" PRIu64 " of the device are lost: %s", len, offset,
		why);
	note(j, EIO, text);
}

/* After the copy. */
static void note_losses(struct job *j)
{
	const struct thinview_copied *c = &j->offline.copied;
	char text[120];

	j->mapped_bytes = c->mapped_bytes;
	if (c->losses <= LOST_TOLD)
		return;
	(void)snprintf(text, sizeof(text), "%" PRIu64 " ranges, %" PRIu64 " bytes, are lost in all",
		c->losses, c->lost_bytes);
	note(j, EIO, text);
}

static int undo_copy(void *arg, struct err *e)
{
	struct offline *o = arg;

	(void)e;
	scope_close(&o->loop);
	scope_close(&o->image);
	o->loop = o->image = -1;
	free(o->lost);
	o->lost = NULL;
	o->lost_count = 0;
	return 0;
}

/* Looks before anything is copied: without a file system that is known here it would be in vain. */
static int look(struct job *j, struct thinview *view, struct err *e)
{
	uint8_t b[FSINFO_BYTES];
	int r = thinview_pread(view, b, sizeof(b), 0, e);

	if (r == 0)
		r = fsinfo_parse(b, &j->offline.fs, e);
	j->fs_type = j->offline.fs.type;
	return r < 0 ? err_add(e, "thin device %" PRIu32 " of '%s'", j->container->thin_id,
			       j->evidence->metadata_path)
		     : 0;
}

static int open_image(int scratch, struct err *e)
{
	int fd = openat(scratch, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd < 0 ? err_sys(e, ERR_DEST, -errno, "copy") : fd;
	/* A file system that has no nameless files: it has a name for a moment. */
	char name[40];
	(void)snprintf(name, sizeof(name), ".salvage-%ld", (long)getpid());
	fd = openat(scratch, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, ERR_DEST, -errno, "copy");
	if (unlinkat(scratch, name, 0) < 0) {
		(void)close(fd);
		return err_sys(e, ERR_DEST, -errno, "copy");
	}
	return fd;
}

/* What the file system needs; a record may be wrong, and so may what a damaged superblock says. */
static uint64_t size_of(const struct job *j)
{
	const uint64_t by_record = j->container->size_bytes, by_fs = j->offline.fs.size_bytes;

	return by_fs && by_fs <= FS_SIZE_MAX ? by_fs : by_record;
}

int offline_copy(struct job *j, struct err *e)
{
	const struct evidence *v = j->evidence;
	struct offline *o = &j->offline;
	const struct thinview_events events = {note_loss, report_copy, j};
	struct thinview *view = NULL;

	j->time = time(NULL);
	undo_arm(&j->undo, "copy", undo_copy, o);
	if (v->doubt)
		note(j, EUCLEAN, v->doubt);
	int r = thinview_open(v->meta, j->container->thin_id, v->data_path, &view, e);
	if (r == 0)
		r = look(j, view, e);
	if (r == 0) {
		o->image = open_image(v->scratch, e);
		r = o->image < 0 ? e->code : 0;
	}
	if (r == 0)
		r = thinview_copy(view, o->image, size_of(j), &events, &o->copied, e);
	if (r == 0)
		note_losses(j);
	thinview_close(view);
	return r;
}

static int undo_view(void *arg, struct err *e)
{
	(void)arg;
	return view_umount(VIEW_DIR, e);
}

static int mount_copy(struct job *j, struct err *e)
{
	const char *node = j->offline.node;
	const bool is_xfs = strcmp(j->fs_type, "xfs") == 0;
	struct err again = {0};
	char text[640];

	if (view_mount(node, j->fs_type, VIEW_DIR, VIEW_READ_ONLY, e) == 0) {
		j->mount_mode = is_xfs ? "read-only mount of a copy, log replayed there"
				: j->offline.fs.needs_replay
					? "read-only mount of a copy, journal replayed there"
					: "read-only mount of a copy";
		return 0;
	}
	if (view_mount(node, j->fs_type, VIEW_DIR, VIEW_UNREPLAYED, &again) < 0)
		return e->code;
	j->mount_mode = "read-only mount of a copy, journal not replayed";
	(void)snprintf(text, sizeof(text),
		"the journal could not be replayed, so what was written last may be torn: %.500s",
		e->text);
	note(j, EUCLEAN, text);
	return 0;
}

/* What no record tells of: a layer as Docker makes it holds the root in a folder, beside "id". */
static int open_orphan(int *ret, struct err *e)
{
	AUTO_CLOSE int top = -1;
	struct stat st;
	int r = view_open("", &top, e);

	if (r == 0 && fstatat(top, "id", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		fstatat(top, "rootfs", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return view_open("rootfs", ret, e);
	if (r == 0)
		*ret = TAKE_FD(top);
	return r;
}

static void note_file(void *arg, const char *path, uint64_t bytes)
{
	struct job *j = arg;
	char text[80];

	(void)snprintf(text, sizeof(text), "%" PRIu64 " bytes of its content are lost", bytes);
	trouble_add(&j->trouble, path, text, EIO);
}

int offline_mount(struct job *j, struct err *e)
{
	struct offline *o = &j->offline;
	const char *subdir = j->container->subdir;
	int r = loop_attach(
		o->image, j->evidence->metadata_path, j->evidence->metadata_path, 0, &o->loop, e);

	if (r == 0)
		r = loop_node(o->loop, o->node, e);
	undo_arm(&j->undo, "unmount", undo_view, j);
	if (r == 0)
		r = mount_copy(j, e);
	if (r == 0)
		r = j->container->id ? view_open(subdir ? subdir : "", &j->root, e)
				     : open_orphan(&j->root, e);
	if (r == 0 && o->lost_count)
		r = lostfiles_find(j->root, o->lost, o->lost_count, note_file, j, e);
	return r;
}

int offline_check(struct job *j, struct err *e)
{
	struct fscheck *c = &j->offline.check;
	char text[320];

	scope_close(&j->root);
	j->root = -1;
	int r = view_umount(VIEW_DIR, e);
	if (r == 0)
		r = fscheck_run(j->offline.node, j->fs_type, c, e);
	if (r < 0 || !c->command || c->is_sound)
		return r;
	(void)snprintf(text, sizeof(text), "%s: the file system is damaged%s%s", c->command,
		c->finding[0] ? ": " : "", c->finding);
	note(j, EUCLEAN, text);
	return 0;
}

void offline_describe(const struct job *j, struct manifest *m, struct manifest_salvage *s)
{
	const struct offline *o = &j->offline;
	const struct thinmeta_superblock *pool = thinmeta_superblock(j->evidence->meta);

	*s = (struct manifest_salvage){.metadata = j->evidence->metadata_path,
		.data = j->evidence->data_path,
		.lost_bytes = o->copied.lost_bytes,
		.losses = o->copied.losses,
		.check_command = o->check.command,
		.check_finding = o->check.finding,
		.check_code = o->check.code,
		.check_is_sound = o->check.is_sound};
	m->salvage = s;
	m->pool_transaction = pool->transaction;
	m->pool_time = pool->time;
	m->pool_block_bytes = thinmeta_block_bytes(j->evidence->meta);
}
