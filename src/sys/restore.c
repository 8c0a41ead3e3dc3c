/* SPDX-License-Identifier: Apache-2.0 */
#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "below.h"
#include "restore_files.h"
#include "restore_links.h"
#include "restore_meta.h"
#include "scope.h"
#include "stop.h"

struct restore {
	struct reader *from;
	const struct restore_options *o;
	struct restore_counts *counts;
	struct trouble *t;
	struct below target, links; /* of new names; of what hard links lead to */
	struct made_files made;
	struct writers *writers;
	struct tar_member *folders; /* their metadata, set last: it would change while files come */
	size_t folder_count, folder_cap;
	uint64_t parts; /* temporary names so far */
	uint64_t seed;
	unsigned how; /* metadata: of meta_how */
	struct err *e;
};

/* What the target as a whole suffers from ends the restore; other errors are this member's. */
static int failed(struct restore *x, const char *path, const char *what, int code)
{
	if (code == -ENOSPC || code == -EDQUOT || code == -EIO || code == -EROFS)
		return err_sys(x->e, ERR_DEST, code, "%s: %s", path, what);
	if (code == -ENOMEM)
		return err_sys(x->e, ERR_FATAL, code, "%s: %s", path, what);
	trouble_add(x->t, path, what, -code);
	return 0;
}

static void part_name(struct restore *x, char out[RESTORE_PART])
{
	(void)snprintf(out, RESTORE_PART, ".thinark-%016" PRIx64, x->seed + x->parts++);
}

/*
 * Gives what was made as part its name.  A file or link of that name gives way, as the later member
 * of a tar wins; a folder does not.
 */
static int publish(int dir, const char *part, const char *name)
{
	if (renameat(dir, part, dir, name) == 0)
		return 0;
	int rc = -errno;
	(void)unlinkat(dir, part, 0);
	return rc;
}

struct content {
	int fd;
	char *to;     /* in memory, instead of fd */
	uint64_t end; /* of what was written */
};

static int write_content(void *arg, uint64_t at, const void *data, size_t len, struct err *e)
{
	struct content *c = arg;
	const char *p = data;

	if (c->to) {
		memcpy(c->to, data, len);
		c->to += len;
		return 0;
	}
	while (len) {
		ssize_t n = pwrite(c->fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(e, ERR_DEST, n < 0 ? -errno : -EIO, "write");
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	c->end = at;
	return stop_check(e);
}

/* Reads the content to where c says.  Damage of the archive is trouble and *ret_whole false. */
static int read_content(
	struct restore *x, const struct tar_member *m, struct content *c, bool *ret_whole)
{
	struct err e = {0};
	int rc = reader_content(x->from, m, write_content, c, &e);

	*ret_whole = rc == 0;
	if (rc < 0 && e.kind == ERR_DAMAGED) {
		x->counts->damaged++;
		trouble_add(x->t, m->path, "read from the archive", -rc);
		return 0;
	}
	if (rc == -EFBIG)
		return failed(x, m->path, "write", rc);
	if (rc < 0) {
		*x->e = e;
		return err_add(x->e, "%s", m->path);
	}
	return 0;
}

/* What became of a file. */
static int account(struct restore *x, struct new_file *f)
{
	int rc = 0;

	for (size_t i = 0; i < f->trouble.kept; i++)
		trouble_add(x->t, f->trouble.items[i].path, f->trouble.items[i].what,
			f->trouble.items[i].error);
	if (f->code < 0) {
		rc = failed(x, f->member.path, f->what, f->code);
	} else {
		x->counts->files++;
		x->counts->content_bytes += f->member.size;
	}
	if (made_add(&x->made, f->member.path, f->code < 0 ? MADE_NOT : f->ino) < 0 && rc == 0)
		rc = failed(x, f->member.path, "table", -ENOMEM);
	new_file_done(f);
	return rc;
}

/* Takes back the files that are done; all: waits for every one. */
static int collect(struct restore *x, bool all)
{
	struct new_file f;
	int rc = 0;

	while (rc == 0 && writers_take(x->writers, all, &f))
		rc = account(x, &f);
	return rc;
}

/* Takes m over. */
static int make_small(struct restore *x, struct new_file *f, size_t bytes)
{
	struct content c = {.to = malloc(bytes + 1)};
	bool is_whole = false;

	f->data = c.to;
	int rc = c.to ? read_content(x, &f->member, &c, &is_whole)
		      : failed(x, f->member.path, "read from the archive", -ENOMEM);
	if (rc < 0 || !is_whole) {
		new_file_done(f);
		return rc;
	}
	while (rc == 0 && !writers_have_room(x->writers, bytes)) {
		struct new_file done;

		if (writers_take(x->writers, true, &done))
			rc = account(x, &done);
	}
	if (rc == 0 && made_add(&x->made, f->member.path, MADE_LATER) < 0)
		rc = failed(x, f->member.path, "table", -ENOMEM);
	if (rc < 0) {
		new_file_done(f);
		return rc;
	}
	rc = writers_put(x->writers, f, bytes);
	return rc < 0 ? err_sys(x->e, ERR_FATAL, rc, "restore") : 0;
}

static int make_large(struct restore *x, struct new_file *f)
{
	AUTO_CLOSE int fd = restore_file_open(f);
	struct content c = {.fd = fd};
	bool is_whole = false;

	if (fd < 0) {
		f->code = fd;
		f->what = "create";
		return account(x, f);
	}
	int rc = read_content(x, &f->member, &c, &is_whole);
	if (rc < 0 || !is_whole) {
		restore_file_drop(f);
		new_file_done(f);
		return rc;
	}
	if (!restore_file_end(f, fd, c.end))
		restore_file_drop(f);
	return account(x, f);
}

/* Takes m over. */
static int make_file(struct restore *x, int dir, struct tar_member *m)
{
	struct new_file f = {.dir = dir, .how = x->how, .member = *m};
	uint64_t bytes = 0;

	*m = (struct tar_member){0};
	part_name(x, f.part);
	for (size_t i = 0; i < f.member.extent_count && bytes <= RESTORE_SMALL; i++)
		bytes += f.member.extents[i].len < RESTORE_SMALL ? f.member.extents[i].len
								 : RESTORE_SMALL + 1;
	return bytes <= RESTORE_SMALL ? make_small(x, &f, (size_t)bytes) : make_large(x, &f);
}

static int remember(struct restore *x, const struct tar_member *m, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return failed(x, m->path, "stat", -errno);
	return made_add(&x->made, m->path, st.st_ino) < 0 ? failed(x, m->path, "table", -ENOMEM)
							  : 0;
}

/* Symlinks, devices and fifos: made whole by one call. */
static int make_node(struct restore *x, int dir, const char *name, const struct tar_member *m)
{
	char part[RESTORE_PART];
	int rc;

	part_name(x, part);
	if (S_ISLNK(m->mode))
		rc = symlinkat(m->link, dir, part);
	else
		rc = mknodat(dir, part, (m->mode & S_IFMT) | 0600,
			S_ISFIFO(m->mode) ? 0 : makedev(m->rdev_major, m->rdev_minor));
	if (rc < 0)
		return failed(x, m->path, "create", -errno);
	AUTO_CLOSE int fd = openat(dir, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	rc = fd < 0 ? failed(x, m->path, "open", -errno) : remember(x, m, fd);
	if (fd < 0 || rc < 0) {
		(void)unlinkat(dir, part, 0);
		return rc;
	}
	restore_meta(fd, true, x->how, m, x->t);
	rc = publish(dir, part, name);
	if (rc < 0)
		return failed(x, m->path, "create", rc);
	if (S_ISLNK(m->mode))
		x->counts->symlinks++;
	else if (S_ISFIFO(m->mode))
		x->counts->fifos++;
	else
		x->counts->devices++;
	return 0;
}

/* Keeps the metadata for the end; of two entries for one folder the later counts. */
static int keep_folder(struct restore *x, struct tar_member *m, bool is_new)
{
	x->counts->dirs++;
	for (size_t i = 0; !is_new && i < x->folder_count; i++) {
		if (strcmp(x->folders[i].path, m->path) != 0)
			continue;
		tar_member_done(&x->folders[i]);
		x->folders[i] = *m;
		*m = (struct tar_member){0};
		return 0;
	}
	if (x->folder_count == x->folder_cap) {
		size_t cap = x->folder_cap ? x->folder_cap * 2 : 256;
		void *grown = reallocarray(x->folders, cap, sizeof(*x->folders));

		if (!grown)
			return failed(x, m->path, "table of folders", -ENOMEM);
		x->folders = grown;
		x->folder_cap = cap;
	}
	x->folders[x->folder_count++] = *m;
	*m = (struct tar_member){0};
	return 0;
}

/* One that was there, and that only leads to what is wanted, stays as it is. */
static bool is_only_above(const struct restore *x, const char *path)
{
	return x->o->is_over && !restore_selects(x->o->paths, x->o->path_count, path, false, NULL);
}

static int make_folder(struct restore *x, int dir, const char *name, struct tar_member *m)
{
	struct stat st;
	const bool is_root = strcmp(m->path, ".") == 0;
	const int rc = is_root ? -EEXIST : mkdirat(dir, name, 0700) < 0 ? -errno : 0;
	bool is_first = rc == 0;

	if (rc < 0 && !is_root &&
		(rc != -EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISDIR(st.st_mode)))
		return failed(x, m->path, "create", rc);
	if (rc < 0 && is_only_above(x, m->path))
		return 0;
	/* That it was there does not mean that it is kept already. */
	if (x->o->is_over) {
		is_first = made_find(&x->made, m->path) == 0;
		if (made_add(&x->made, m->path, MADE_NOT) < 0)
			return failed(x, m->path, "table", -ENOMEM);
	}
	return keep_folder(x, m, is_first);
}

static int make(struct restore *x, struct tar_member *m);

/* A hard link whose first name was not selected: the index tells where its content is. */
static int copy_instead(struct restore *x, struct tar_member *m)
{
	const struct index_entry *first = reader_find(x->from, m->link);
	const uint64_t next = x->from->tar.at;
	struct tar_member content;
	struct err e = {0};

	if (!x->o->path_count || !first || (first->has & INDEX_HARDLINK)) {
		trouble_add(x->t, m->path, "hard link to what was not restored", ENOENT);
		return 0;
	}
	int rc = reader_at(x->from, first, &content, &e);
	if (rc == 0) {
		free(content.path);
		content.path = strdup(m->path);
		rc = content.path ? make(x, &content) : failed(x, m->path, "table", -ENOMEM);
		tar_member_done(&content);
	} else {
		x->counts->damaged++;
		trouble_add(x->t, m->path, "read from the archive", -rc);
		rc = 0;
	}
	x->from->tar.at = next;
	return rc;
}

/* link leads to nothing but what this restore made under that path. */
static int open_made(struct restore *x, const char *link, int *ret_fd)
{
	ino_t ino = made_find(&x->made, link);
	struct stat st;

	if (!ino || ino == MADE_NOT)
		return -ENOENT;
	AUTO_CLOSE int fd = below_open(&x->links, link, 0);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_ino != ino || S_ISDIR(st.st_mode))
		return -ESTALE;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int link_fd(int fd, int dir, const char *name)
{
	char proc[40];

	if (linkat(fd, "", dir, name, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	/* Without CAP_DAC_READ_SEARCH. */
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, proc, dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int make_hardlink(struct restore *x, int dir, const char *name, struct tar_member *m)
{
	AUTO_CLOSE int fd = -1;
	char part[RESTORE_PART];
	struct stat st;

	if (!tar_path_clean(m->link))
		return failed(x, m->path, "hard link that leads outside", -EINVAL);
	int rc = made_is_later(&x->made, m->link) ? collect(x, true) : 0;
	if (rc < 0)
		return rc;
	rc = open_made(x, m->link, &fd);
	if (rc == -ENOENT)
		return copy_instead(x, m);
	if (rc < 0)
		return failed(x, m->path, "hard link", rc);
	rc = link_fd(fd, dir, name);
	if (rc == -EEXIST && strcmp(m->link, m->path) != 0) {
		/* Two names of one file cannot be renamed onto each other. */
		part_name(x, part);
		rc = link_fd(fd, dir, part);
		if (rc == 0)
			rc = publish(dir, part, name);
		(void)unlinkat(dir, part, 0);
	}
	if (rc == 0 && fstat(fd, &st) == 0)
		rc = made_add(&x->made, m->path, st.st_ino);
	if (rc < 0)
		return failed(x, m->path, "hard link", rc);
	x->counts->hardlinks++;
	return 0;
}

/* m->path is clean; m may be taken over. */
static int make(struct restore *x, struct tar_member *m)
{
	const char *name;

	if ((S_ISCHR(m->mode) || S_ISBLK(m->mode)) && x->o->no_devices) {
		x->counts->devices_skipped++;
		return 0;
	}
	/* Of members of one path the last one wins; and no folder may come in a file's place. */
	int rc = made_is_later(&x->made, m->path) ? collect(x, true) : 0;
	if (rc < 0)
		return rc;
	int dir = below_parent(&x->target, m->path, true, &name);
	if (dir < 0)
		return failed(x, m->path, "open its folder", dir);
	if (S_ISDIR(m->mode))
		return make_folder(x, dir, name, m);
	if (strcmp(m->path, ".") == 0)
		return failed(x, m->path, "the root is no folder", -ENOTDIR);
	if (m->hardlink)
		return make_hardlink(x, dir, name, m);
	if (S_ISREG(m->mode))
		return make_file(x, dir, m);
	return make_node(x, dir, name, m);
}

bool restore_selects(
	char *const *paths, size_t count, const char *path, bool is_folder, bool *found)
{
	bool selected = count == 0;

	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(paths[i]), own = strlen(path);
		bool all = strcmp(paths[i], ".") == 0;

		if (all || (strncmp(path, paths[i], len) == 0 &&
				   (path[len] == '\0' || path[len] == '/'))) {
			selected = true;
			if (found)
				found[i] = true;
		} else if (is_folder && strncmp(path, paths[i], own) == 0 && paths[i][own] == '/') {
			selected = true;
		}
	}
	return selected;
}

static int one(struct restore *x, struct tar_member *m, bool *found)
{
	if (!tar_path_clean(m->path)) {
		trouble_add(x->t, m->path, "its path leads outside", EINVAL);
		return 0;
	}
	if (!restore_selects(x->o->paths, x->o->path_count, m->path, S_ISDIR(m->mode), found))
		return 0;
	x->counts->entries++;
	int rc = make(x, m);
	if (rc == 0)
		rc = collect(x, false);
	if (rc == 0 && x->o->progress)
		x->o->progress(x->o->progress_arg, x->counts->content_bytes);
	return rc < 0 ? rc : stop_check(x->e);
}

/* The member at hand is damaged: names it if it was wanted.  False: there is no way on. */
static bool pass_damage(struct restore *x, const struct err *e, bool *found)
{
	const struct index_entry *entry = NULL;
	bool more = reader_resume(x->from, &entry);

	if (!entry || restore_selects(x->o->paths, x->o->path_count, entry->path,
			      S_ISDIR(entry->mode), found)) {
		x->counts->damaged++;
		trouble_add(x->t, entry ? entry->path : "(unknown)", e->text, EBADMSG);
	}
	if (!more && !x->from->has_index)
		trouble_add(x->t, "(all that follow)", e->text, EBADMSG);
	return more;
}

static int in_order(struct restore *x, bool *found)
{
	struct tar_member m;
	struct err e = {0};

	x->from->tar.at = 0;
	for (;;) {
		int rc = reader_next(x->from, &m, &e);

		if (rc == 0)
			return 0;
		if (rc < 0 && e.kind == ERR_DAMAGED) {
			if (!pass_damage(x, &e, found))
				return 0;
			continue;
		}
		if (rc < 0) {
			*x->e = e;
			return rc;
		}
		rc = one(x, &m, found);
		tar_member_done(&m);
		if (rc < 0)
			return rc;
	}
}

static int by_index(struct restore *x, bool *found)
{
	const struct index *index = &x->from->index;
	struct tar_member m;
	struct err e = {0};

	for (size_t i = 0; i < index->count; i++) {
		const struct index_entry *entry = &index->entries[i];
		int rc;

		if (!restore_selects(x->o->paths, x->o->path_count, entry->path,
			    S_ISDIR(entry->mode), found))
			continue;
		rc = reader_at(x->from, entry, &m, &e);
		if (rc < 0 && e.kind == ERR_DAMAGED) {
			x->counts->damaged++;
			trouble_add(x->t, entry->path, e.text, EBADMSG);
			continue;
		}
		if (rc < 0) {
			*x->e = e;
			return rc;
		}
		rc = one(x, &m, found);
		tar_member_done(&m);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* From the last to the first, so that a folder that shuts its owner out is set behind its own. */
static void set_folders(struct restore *x)
{
	for (size_t i = x->folder_count; i-- > 0;) {
		const struct tar_member *m = &x->folders[i];
		AUTO_CLOSE int fd = below_open(&x->target, m->path, O_DIRECTORY);

		if (fd < 0)
			trouble_add(x->t, m->path, "open", -fd);
		else
			restore_meta(fd, true, x->how, m, x->t);
	}
}

int restore_tree(struct reader *r, const struct restore_options *o, struct restore_counts *counts,
	struct trouble *t, struct err *e)
{
	struct restore x = {.from = r,
		.o = o,
		.counts = counts,
		.t = t,
		.e = e,
		.how = (geteuid() == 0 ? META_OWNER : 0u) | (o->is_over ? META_PLAIN : 0u)};
	AUTO_FREE bool *found = calloc(o->path_count + 1, sizeof(*found));
	int rc = 0;

	if (!found || getrandom(&x.seed, sizeof(x.seed), 0) != (ssize_t)sizeof(x.seed))
		return err_sys(e, ERR_FATAL, found ? -EIO : -ENOMEM, "restore");
	rc = writers_new(&x.writers, e);
	if (rc < 0)
		return rc;
	below_init(&x.target, o->dirfd);
	below_init(&x.links, o->dirfd);
	rc = o->path_count && r->has_index ? by_index(&x, found) : in_order(&x, found);
	if (rc == 0)
		rc = collect(&x, true);
	writers_free(x.writers);
	/* Also after a failure: what is there shall be as good as it can be. */
	set_folders(&x);
	/* Once for all of it; errors of writing that the kernel did later come to light here. */
	if (rc == 0 && syncfs(o->dirfd) < 0)
		rc = err_sys(e, ERR_DEST, -errno, "cannot sync the target");
	for (size_t i = 0; rc == 0 && i < o->path_count; i++)
		if (!found[i])
			trouble_add(t, o->paths[i], "not in the archive", ENOENT);
	for (size_t i = 0; i < x.folder_count; i++)
		tar_member_done(&x.folders[i]);
	free(x.folders);
	made_done(&x.made);
	below_done(&x.target);
	below_done(&x.links);
	return rc;
}
