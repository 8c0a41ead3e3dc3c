/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore_meta.h"
#include "scope.h"
#include "thread.h"

#define WRITERS_MAX 4
#define FILES 512               /* on their way */
#define BYTES (16u << 20)       /* of content on its way */
#define LOW (FILES - FILES / 4) /* who waits for room waits for this */

/* The descriptor of a folder for the files of it that are on their way. */
struct shared {
	int fd;
	unsigned refs;
	unsigned writer;
};

struct job {
	struct new_file file;
	struct shared *folder;
	size_t bytes;
	struct job *next; /* of its writer */
	bool is_done;
};

struct writer {
	struct writers *all;
	pthread_t thread;
	pthread_cond_t work;
	struct job *first, *last;
	unsigned queued; /* and being made */
	bool is_idle;
};

struct writers {
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct job jobs[FILES]; /* number n is at n % FILES */
	uint64_t put, taken;
	size_t bytes;
	unsigned undone;
	bool is_waiting, is_stopped;
	struct writer writers[WRITERS_MAX];
	unsigned count;
	struct shared *folder; /* of the last file, with a reference, and its path */
	char *folder_path;
	size_t folder_len;
};

int restore_file_open(const struct new_file *f)
{
	int fd =
		openat(f->dir, f->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

static const char *name_of(const struct new_file *f)
{
	const char *slash = strrchr(f->member.path, '/');

	return slash ? slash + 1 : f->member.path;
}

static bool failed(struct new_file *f, const char *what, int code)
{
	f->what = what;
	f->code = code;
	return false;
}

bool restore_file_end(struct new_file *f, int fd, uint64_t end)
{
	struct stat st;

	if (end != f->member.size && ftruncate(fd, (off_t)f->member.size) < 0)
		return failed(f, "set size", -errno);
	restore_meta(fd, false, f->how, &f->member, &f->trouble);
	if (fstat(fd, &st) < 0)
		return failed(f, "stat", -errno);
	f->ino = st.st_ino;
	/*
	 * A file or link of that name gives way, as the later member of a tar wins; a folder does
	 * not.
	 */
	if (renameat(f->dir, f->part, f->dir, name_of(f)) < 0)
		return failed(f, "create", -errno);
	return true;
}

void restore_file_drop(const struct new_file *f)
{
	(void)unlinkat(f->dir, f->part, 0);
}

static int write_all(int fd, const char *p, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static void make_file(struct new_file *f)
{
	AUTO_CLOSE int fd = restore_file_open(f);
	const char *p = f->data;
	uint64_t end = 0;
	int rc = 0;

	if (fd < 0) {
		(void)failed(f, "create", fd);
		return;
	}
	for (size_t i = 0; i < f->member.extent_count && rc == 0; i++) {
		const struct tar_extent *x = &f->member.extents[i];

		rc = write_all(fd, p, (size_t)x->len, (off_t)x->at);
		p += x->len;
		end = x->at + x->len;
	}
	if (rc < 0)
		(void)failed(f, "write", rc);
	if (rc < 0 || !restore_file_end(f, fd, end))
		restore_file_drop(f);
}

static void *run_writer(void *arg)
{
	struct writer *me = arg;
	struct writers *w = me->all;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->is_stopped) {
		struct job *j = me->first;

		if (!j) {
			me->is_idle = true;
			(void)pthread_cond_wait(&me->work, &w->lock);
			me->is_idle = false;
			continue;
		}
		me->first = j->next;
		(void)pthread_mutex_unlock(&w->lock);
		make_file(&j->file);
		(void)pthread_mutex_lock(&w->lock);
		j->is_done = true;
		me->queued--;
		w->undone--;
		if (w->is_waiting && (w->undone <= LOW || w->bytes >= BYTES) &&
			w->jobs[w->taken % FILES].is_done)
			(void)pthread_cond_signal(&w->done);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

int writers_new(struct writers **ret, struct err *e)
{
	struct writers *w = calloc(1, sizeof(*w));

	if (!w)
		return err_sys(e, ERR_FATAL, -ENOMEM, "restore");
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->done, NULL);
	*ret = w;
	return 0;
}

static int start(struct writers *w)
{
	const unsigned cores = thread_cores(), want = cores < WRITERS_MAX ? cores : WRITERS_MAX;
	int rc = 0;

	while (rc == 0 && w->count < want) {
		struct writer *one = &w->writers[w->count];

		one->all = w;
		(void)pthread_cond_init(&one->work, NULL);
		rc = thread_start(&one->thread, run_writer, one);
		if (rc < 0)
			(void)pthread_cond_destroy(&one->work);
		else
			w->count++;
	}
	/* Fewer are slower, that is all. */
	return w->count ? 0 : rc;
}

bool writers_have_room(const struct writers *w, size_t bytes)
{
	return w->put - w->taken < FILES && (w->put == w->taken || w->bytes + bytes <= BYTES);
}

static void drop_shared(struct shared *s)
{
	if (!s || --s->refs)
		return;
	(void)close(s->fd);
	free(s);
}

static size_t folder_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

static unsigned least_busy(const struct writers *w)
{
	unsigned best = 0;

	for (unsigned i = 1; i < w->count; i++)
		if (w->writers[i].queued < w->writers[best].queued)
			best = i;
	return best;
}

/* The folder of path, shared with the file before if it is the same.  Lock held. */
static int share(struct writers *w, const char *path, int dir)
{
	const size_t len = folder_len(path);

	if (w->folder && w->folder_len == len && memcmp(w->folder_path, path, len) == 0)
		return 0;
	struct shared *s = calloc(1, sizeof(*s));
	char *copy = strndup(path, len);
	int fd = s && copy ? fcntl(dir, F_DUPFD_CLOEXEC, 3) : -1;

	if (fd < 0) {
		const int rc = s && copy ? -errno : -ENOMEM;

		free(s);
		free(copy);
		return rc;
	}
	drop_shared(w->folder);
	free(w->folder_path);
	*s = (struct shared){.fd = fd, .refs = 1, .writer = least_busy(w)};
	w->folder = s;
	w->folder_path = copy;
	w->folder_len = len;
	return 0;
}

int writers_put(struct writers *w, struct new_file *f, size_t bytes)
{
	int rc = w->count ? 0 : start(w);

	(void)pthread_mutex_lock(&w->lock);
	if (rc == 0)
		rc = share(w, f->member.path, f->dir);
	if (rc == 0) {
		struct job *j = &w->jobs[w->put++ % FILES];
		struct writer *to = &w->writers[w->folder->writer];

		*j = (struct job){.file = *f, .folder = w->folder, .bytes = bytes};
		j->file.dir = w->folder->fd;
		w->folder->refs++;
		w->bytes += bytes;
		w->undone++;
		to->queued++;
		if (to->first)
			to->last->next = j;
		else
			to->first = j;
		to->last = j;
		if (to->is_idle)
			(void)pthread_cond_signal(&to->work);
	}
	(void)pthread_mutex_unlock(&w->lock);
	if (rc < 0)
		new_file_done(f);
	return rc;
}

bool writers_take(struct writers *w, bool wait, struct new_file *ret)
{
	bool got = false;

	(void)pthread_mutex_lock(&w->lock);
	struct job *j = &w->jobs[w->taken % FILES];
	if (w->taken != w->put) {
		w->is_waiting = wait;
		while (wait && !j->is_done)
			thread_wait(&w->done, &w->lock);
		w->is_waiting = false;
		got = j->is_done;
	}
	if (got) {
		*ret = j->file;
		w->bytes -= j->bytes;
		drop_shared(j->folder);
		j->is_done = false;
		w->taken++;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return got;
}

void new_file_done(struct new_file *f)
{
	tar_member_done(&f->member);
	trouble_done(&f->trouble);
	free(f->data);
	*f = (struct new_file){.dir = -1};
}

void writers_free(struct writers *w)
{
	if (!w)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->is_stopped = true;
	for (unsigned i = 0; i < w->count; i++)
		(void)pthread_cond_signal(&w->writers[i].work);
	(void)pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->count; i++) {
		(void)pthread_join(w->writers[i].thread, NULL);
		(void)pthread_cond_destroy(&w->writers[i].work);
	}
	for (; w->taken != w->put; w->taken++) {
		struct job *j = &w->jobs[w->taken % FILES];

		drop_shared(j->folder);
		new_file_done(&j->file);
	}
	drop_shared(w->folder);
	free(w->folder_path);
	(void)pthread_cond_destroy(&w->done);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}
