/* SPDX-License-Identifier: Apache-2.0 */
#include "ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>

#include "ahead_state.h"
#include "budget.h"
#include "scope.h"
#include "stop.h"
#include "thread.h"

#define MAGIC_EXT4 0xEF53
#define MAGIC_XFS 0x58465342
#define READERS 16
#define RING_MAX 1024 /* entries ahead */
#define RING_MIN 64
#define OTHER_FILES 192 /* descriptors for folders on the way, folders listed and ourselves */

void ahead_stop(struct ahead *a, int rc)
{
	if (rc < 0 && a->rc == 0)
		a->rc = rc;
	a->is_stopped = true;
	(void)pthread_cond_broadcast(&a->work);
	(void)pthread_cond_broadcast(&a->ready);
	(void)pthread_cond_broadcast(&a->room);
	(void)pthread_cond_broadcast(&a->listed);
	(void)pthread_cond_broadcast(&a->memory);
}

void ahead_wake(struct ahead *a, size_t tasks)
{
	for (size_t n = a->idle < tasks ? a->idle : tasks; n; n--)
		(void)pthread_cond_signal(&a->work);
}

void ahead_drop_user(struct folder *f)
{
	if (--f->users || f->fd < 0)
		return;
	(void)close(f->fd);
	f->fd = -1;
}

void ahead_drop_folder(struct folder *f)
{
	while (f && --f->refs == 0) {
		struct folder *up = f->parent;

		folder_free(f);
		f = up;
	}
}

static int by_inode(const void *pa, const void *pb, void *arg)
{
	const struct ahead *a = arg;
	const uint64_t x = a->ring[*(const uint64_t *)pa % a->cap].ino;
	const uint64_t y = a->ring[*(const uint64_t *)pb % a->cap].ino;

	return x < y ? -1 : x > y;
}

void ahead_offer(struct ahead *a)
{
	uint64_t batch[RING_MAX];
	size_t count = 0;

	for (; a->offered < a->emitted; a->offered++)
		if (a->offered >= a->packed && a->ring[a->offered % a->cap].state == WORK_NEW)
			batch[count++] = a->offered;
	if (count > 1)
		qsort_r(batch, count, sizeof(*batch), by_inode, a);
	/* Where the queue is full of what was done meanwhile, the packer does it. */
	for (size_t i = 0; i < count && a->queue_tail - a->queue_head < 2 * a->cap; i++)
		a->queue[a->queue_tail++ % (2 * a->cap)] = batch[i];
	ahead_wake(a, count);
}

static struct entry *pick_entry(struct ahead *a)
{
	while (a->queue_head != a->queue_tail) {
		const uint64_t seq = a->queue[a->queue_head++ % (2 * a->cap)];
		struct entry *e = &a->ring[seq % a->cap];

		if (seq < a->packed || e->seq != seq || e->state != WORK_NEW)
			continue;
		e->state = WORK_BUSY;
		return e;
	}
	return NULL;
}

/* Does one piece of work; false: there is none.  Lock held, but not meanwhile. */
static bool work(struct ahead *a, struct digest *d)
{
	struct window *w = window_pick(a);
	struct folder *f = w ? NULL : order_pick(a);
	struct entry *e = w || f ? NULL : pick_entry(a);

	if (!w && !f && !e)
		return false;
	(void)pthread_mutex_unlock(&a->lock);
	if (w)
		window_fill(w);
	else if (f)
		order_list(a, f);
	else
		load_entry(a, e, d);
	(void)pthread_mutex_lock(&a->lock);
	if (w) {
		w->state = WORK_DONE;
		e = w->owner;
	} else if (e) {
		e->state = WORK_DONE;
	}
	if (e && e->seq == a->packed)
		(void)pthread_cond_signal(&a->ready);
	return true;
}

static void *run_reader(void *arg)
{
	struct ahead *a = arg;
	struct digest *d = NULL;
	int rc = digest_new(&d, NULL);

	(void)pthread_mutex_lock(&a->lock);
	if (rc < 0)
		ahead_stop(a, rc);
	while (!a->is_stopped) {
		if (work(a, d))
			continue;
		a->idle++;
		(void)pthread_cond_wait(&a->work, &a->lock);
		a->idle--;
	}
	(void)pthread_mutex_unlock(&a->lock);
	digest_free(d);
	return NULL;
}

void ahead_charge(struct ahead *a, struct entry *e, size_t size)
{
	(void)pthread_mutex_lock(&a->lock);
	/* What the packer waits for goes first, or nothing would be freed any more. */
	while (a->whole_used && a->whole_used + size > a->whole_limit && e->seq != a->packed &&
		!a->is_stopped) {
		a->memory_waiters++;
		(void)pthread_cond_wait(&a->memory, &a->lock);
		a->memory_waiters--;
	}
	a->whole_used += size;
	e->charged = size;
	(void)pthread_mutex_unlock(&a->lock);
}

static size_t seen_slot(const struct seen *items, size_t cap, uint64_t ino)
{
	size_t i = (size_t)(ino * 0x9E3779B97F4A7C15u >> 20) & (cap - 1);

	while (items[i].ino && items[i].ino != ino)
		i = (i + 1) & (cap - 1);
	return i;
}

static bool seen_grow(struct ahead *a)
{
	const size_t cap = a->seen_cap ? a->seen_cap * 2 : 256;
	struct seen *bigger = calloc(cap, sizeof(*bigger));

	if (!bigger)
		return false;
	for (size_t i = 0; i < a->seen_cap; i++)
		if (a->seen[i].ino)
			bigger[seen_slot(bigger, cap, a->seen[i].ino)] = a->seen[i];
	free(a->seen);
	a->seen = bigger;
	a->seen_cap = cap;
	return true;
}

bool ahead_is_seen(struct ahead *a, const struct entry *e)
{
	bool seen = false;

	(void)pthread_mutex_lock(&a->lock);
	/* Without memory for it the content is read once more, that is all. */
	if (a->seen_count * 2 < a->seen_cap || seen_grow(a)) {
		struct seen *s = &a->seen[seen_slot(a->seen, a->seen_cap, e->found.st.st_ino)];

		seen = s->ino && s->seq < e->seq;
		if (!s->ino)
			a->seen_count++;
		if (!seen)
			*s = (struct seen){e->found.st.st_ino, e->seq};
	}
	(void)pthread_mutex_unlock(&a->lock);
	return seen;
}

/* The packer is done with its entry.  Lock held. */
static void release(struct ahead *a)
{
	struct entry *e = &a->ring[a->packed % a->cap];

	if (!a->is_out)
		return;
	window_drop(a, e);
	a->whole_used -= e->charged;
	(void)pthread_mutex_unlock(&a->lock);
	if (e->fd >= 0)
		(void)close(e->fd);
	free(e->whole);
	free(e->map);
	found_done(&e->found);
	(void)pthread_mutex_lock(&a->lock);
	if (e->folder) {
		ahead_drop_user(e->folder);
		ahead_drop_folder(e->folder);
	}
	a->is_out = false;
	a->packed++;
	if (a->walker_waits && a->emitted - a->packed <= a->cap - a->cap / 4)
		(void)pthread_cond_signal(&a->room);
	if (a->memory_waiters)
		(void)pthread_cond_broadcast(&a->memory);
}

/* Looks at the entry itself when no reader is free for it.  Lock held, but not meanwhile. */
static void hurry(struct ahead *a, struct entry *e)
{
	ahead_offer(a);
	if (e->state != WORK_NEW || a->idle)
		return;
	e->state = WORK_BUSY;
	(void)pthread_mutex_unlock(&a->lock);
	load_entry(a, e, a->digest);
	(void)pthread_mutex_lock(&a->lock);
	e->state = WORK_DONE;
}

int ahead_next(struct ahead *a, struct entry **ret, struct err *err)
{
	struct entry *e = NULL;
	int rc = 0;

	(void)pthread_mutex_lock(&a->lock);
	release(a);
	for (;;) {
		e = a->packed < a->emitted ? &a->ring[a->packed % a->cap] : NULL;
		rc = a->rc < 0 ? err_sys(err, ERR_FATAL, a->rc, "walking the container")
			       : stop_check(err);
		if (rc < 0 || (e && e->state == WORK_DONE) || (!e && a->is_walked))
			break;
		if (e && e->state == WORK_NEW)
			hurry(a, e);
		if (e && e->state == WORK_DONE)
			continue;
		if (a->memory_waiters)
			(void)pthread_cond_broadcast(&a->memory);
		a->packer_waits = true;
		thread_wait(&a->ready, &a->lock);
		a->packer_waits = false;
	}
	a->is_out = rc == 0 && e;
	(void)pthread_mutex_unlock(&a->lock);
	*ret = rc == 0 ? e : NULL;
	if (*ret) {
		e->data.read = window_read;
		e->data.arg = e;
	}
	return rc;
}

uint64_t ahead_excluded(struct ahead *a)
{
	return a->excluded;
}

/* So many entries may be open at a time, each in a folder of its own that is open as well. */
static size_t ring_size(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return RING_MIN;
	const size_t wanted = 2 * RING_MAX + OTHER_FILES;
	if (r.rlim_cur < wanted) {
		r.rlim_cur = r.rlim_max < wanted ? r.rlim_max : wanted;
		if (setrlimit(RLIMIT_NOFILE, &r) < 0)
			(void)getrlimit(RLIMIT_NOFILE, &r);
	}
	if (r.rlim_cur >= wanted)
		return RING_MAX;
	const size_t some = r.rlim_cur > OTHER_FILES ? (r.rlim_cur - OTHER_FILES) / 2 : 0;
	return some < RING_MIN ? RING_MIN : some;
}

static int open_root(struct ahead *a, int root_fd, struct err *e)
{
	struct statfs fs;
	struct stat st;
	int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0) {
		int rc = -errno;

		if (fd >= 0)
			(void)close(fd);
		return err_sys(e, ERR_SOURCE, rc, "cannot open the container's '/'");
	}
	a->root = folder_new(NULL, NULL);
	if (!a->root) {
		(void)close(fd);
		return err_sys(e, ERR_FATAL, -ENOMEM, "walking the container");
	}
	a->tree.dev = st.st_dev;
	a->tree.is_ext4 = fs.f_type == MAGIC_EXT4;
	a->tree.count_links = a->tree.is_ext4 || fs.f_type == MAGIC_XFS;
	a->root->fd = fd;
	a->root->refs++; /* order_list takes one away */
	a->root->state = FOLDER_BUSY;
	order_list(a, a->root);
	a->folders = a->root->next; /* its sub-folders */
	a->root->next = NULL;
	return a->rc < 0 ? err_sys(e, ERR_FATAL, a->rc, "walking the container") : 0;
}

static int start(struct ahead *a, unsigned readers, struct err *e)
{
	int rc = thread_start(&a->walker, order_run, a);

	if (rc < 0)
		return err_sys(e, ERR_FATAL, rc, "threads");
	a->has_walker = true;
	/* Fewer readers are slower, that is all: the packer does what is left. */
	while (a->thread_count < readers &&
		thread_start(&a->threads[a->thread_count], run_reader, a) == 0)
		a->thread_count++;
	return 0;
}

int ahead_new(int root_fd, const struct walk_options *o, struct ahead **ret, struct err *e)
{
	struct ahead *a = calloc(1, sizeof(*a));
	const unsigned readers = o->readers ? o->readers : READERS;
	const size_t memory = memory_for_reading(o->memory);

	if (!a)
		return err_sys(e, ERR_FATAL, -ENOMEM, "walking the container");
	a->tree.o = o;
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_cond_init(&a->work, NULL);
	(void)pthread_cond_init(&a->ready, NULL);
	(void)pthread_cond_init(&a->room, NULL);
	(void)pthread_cond_init(&a->listed, NULL);
	(void)pthread_cond_init(&a->memory, NULL);
	a->cap = ring_size();
	a->whole_limit = memory / 2;
	a->ring = calloc(a->cap, sizeof(*a->ring));
	a->queue = calloc(2 * a->cap, sizeof(*a->queue));
	a->threads = calloc(readers, sizeof(*a->threads));
	a->buf = malloc(AHEAD_WHOLE);
	int rc = digest_new(&a->digest, e);
	if (rc == 0 &&
		(!a->ring || !a->queue || !a->threads || !a->buf || window_new(a, memory / 2) < 0))
		rc = err_sys(e, ERR_FATAL, -ENOMEM, "walking the container");
	if (rc == 0)
		rc = open_root(a, root_fd, e);
	if (rc == 0)
		rc = start(a, readers, e);
	if (rc < 0)
		ahead_free(a);
	else
		*ret = a;
	return rc;
}

static void join(struct ahead *a)
{
	(void)pthread_mutex_lock(&a->lock);
	ahead_stop(a, 0);
	(void)pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < a->thread_count; i++)
		(void)pthread_join(a->threads[i], NULL);
	if (a->has_walker)
		(void)pthread_join(a->walker, NULL);
	(void)pthread_mutex_lock(&a->lock);
	while (a->ring && a->packed < a->emitted) {
		a->is_out = true;
		release(a);
	}
	(void)pthread_mutex_unlock(&a->lock);
}

void ahead_free(struct ahead *a)
{
	if (!a)
		return;
	join(a);
	while (a->folders) {
		struct folder *f = a->folders;

		a->folders = f->next;
		ahead_drop_folder(f);
	}
	ahead_drop_folder(a->root);
	for (unsigned i = 0; i < a->window_count; i++)
		free(a->windows[i].buf);
	digest_free(a->digest);
	free(a->windows);
	free(a->seen);
	free(a->ring);
	free(a->queue);
	free(a->threads);
	free(a->buf);
	(void)pthread_cond_destroy(&a->work);
	(void)pthread_cond_destroy(&a->ready);
	(void)pthread_cond_destroy(&a->room);
	(void)pthread_cond_destroy(&a->listed);
	(void)pthread_cond_destroy(&a->memory);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}
