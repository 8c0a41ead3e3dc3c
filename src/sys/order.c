/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk: parents before children, byte order of names in each folder.  Folders that will be
 * entered are known in their order as soon as their parents are listed, so readers list them
 * beforehand.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "ahead_state.h"
#include "scope.h"
#include "thread.h"

#define FOLDERS_AHEAD 64 /* listed and not entered */
#define LOOK_AT 256      /* of the folders to come, for one to list */
#define OPEN_LEVELS 32   /* folders on the way kept open; a deeper walk comes back by ".." */

struct level {
	struct folder *folder;
	size_t next;
	bool is_user; /* of the folder's descriptor */
};

struct walker {
	struct ahead *a;
	struct level *levels;
	size_t depth;
};

struct folder *order_pick(struct ahead *a)
{
	unsigned looked = 0;

	if (a->listed_ahead >= FOLDERS_AHEAD)
		return NULL;
	for (struct folder *f = a->folders; f && looked < LOOK_AT; f = f->next, looked++) {
		/* A far one may have its parent closed; the walk opens it when it comes there. */
		if (f->state != FOLDER_NEW || f->parent->users == 0)
			continue;
		f->state = FOLDER_BUSY;
		f->refs++;
		f->parent->users++;
		a->listed_ahead++;
		return f;
	}
	return NULL;
}

/* Its sub-folders, in order, each with a reference of the list. */
static int make_chain(
	struct ahead *a, struct folder *f, struct folder **first, struct folder **last)
{
	for (size_t i = 0; i < f->names.count; i++) {
		struct folder *sub;

		if (f->names.items[i].type != DT_DIR || f->names.items[i].is_excluded)
			continue;
		(void)pthread_mutex_lock(&a->lock);
		sub = folder_new(f, folder_name(f, i));
		if (sub)
			sub->id = ++a->folder_ids;
		(void)pthread_mutex_unlock(&a->lock);
		if (!sub)
			return -ENOMEM;
		if (*last)
			(*last)->next = sub;
		else
			*first = sub;
		*last = sub;
	}
	return 0;
}

void order_list(struct ahead *a, struct folder *f)
{
	struct folder *first = NULL, *last = NULL;
	int rc = folder_list(&a->tree, f);

	if (rc == 0)
		rc = make_chain(a, f, &first, &last);
	(void)pthread_mutex_lock(&a->lock);
	if (last) {
		last->next = f->next;
		f->next = first;
	}
	f->users = f->fd >= 0;
	f->state = FOLDER_LISTED;
	if (f->parent)
		ahead_drop_user(f->parent);
	ahead_drop_folder(f);
	if (rc < 0)
		ahead_stop(a, rc);
	(void)pthread_cond_signal(&a->listed);
	(void)pthread_mutex_unlock(&a->lock);
}

/* Waits for a place in the ring and returns it, or NULL when it is all over.  Lock held. */
static struct entry *next_place(struct ahead *a)
{
	while (a->emitted - a->packed == a->cap && !a->is_stopped) {
		ahead_offer(a);
		a->walker_waits = true;
		(void)pthread_cond_wait(&a->room, &a->lock);
		a->walker_waits = false;
	}
	if (a->is_stopped)
		return NULL;
	struct entry *e = &a->ring[a->emitted % a->cap];
	*e = (struct entry){.ahead = a, .seq = a->emitted, .fd = -1};
	return e;
}

static void emitted(struct ahead *a)
{
	a->emitted++;
	if (a->emitted - a->offered >= a->cap / 4)
		ahead_offer(a);
	if (a->packer_waits)
		(void)pthread_cond_signal(&a->ready);
}

/* name of folder, which only a reader knows more of. */
static bool emit_name(struct ahead *a, struct folder *folder, const struct name *n)
{
	(void)pthread_mutex_lock(&a->lock);
	struct entry *e = next_place(a);

	if (e) {
		e->folder = folder;
		folder->refs++;
		folder->users++;
		e->name = folder->names.text.data + n->at;
		e->type = n->type;
		e->ino = n->ino;
		emitted(a);
	}
	(void)pthread_mutex_unlock(&a->lock);
	return e != NULL;
}

/* A listed folder as an entry of its parent. */
static bool emit_folder(struct ahead *a, struct folder *f)
{
	(void)pthread_mutex_lock(&a->lock);
	struct entry *e = next_place(a);

	if (e) {
		e->folder = f->parent;
		if (f->parent) {
			f->parent->refs++;
			f->parent->users++;
		}
		e->name = f->name;
		e->type = DT_DIR;
		e->state = WORK_DONE;
		e->found = f->found;
		f->found = (struct found){0};
		emitted(a);
	}
	(void)pthread_mutex_unlock(&a->lock);
	return e != NULL;
}

/* The first of the folders to come, listed, with the list's reference; NULL: all over. */
static struct folder *take_folder(struct ahead *a)
{
	(void)pthread_mutex_lock(&a->lock);
	struct folder *f = a->folders;

	if (f->state == FOLDER_NEW) {
		f->state = FOLDER_BUSY;
		f->refs++;
		f->parent->users++;
		a->listed_ahead++;
		(void)pthread_mutex_unlock(&a->lock);
		order_list(a, f);
		(void)pthread_mutex_lock(&a->lock);
	}
	if (f->state != FOLDER_LISTED)
		ahead_offer(a);
	while (f->state != FOLDER_LISTED && !a->is_stopped)
		(void)pthread_cond_wait(&a->listed, &a->lock);
	const bool over = a->is_stopped;
	if (!over) {
		a->folders = f->next;
		f->next = NULL;
		a->listed_ahead--;
		ahead_wake(a, 1);
	}
	(void)pthread_mutex_unlock(&a->lock);
	return over ? NULL : f;
}

/* Goes into f, whose reference and descriptor it takes over. */
static void push(struct walker *w, struct folder *f)
{
	w->levels[w->depth++] = (struct level){.folder = f, .is_user = true};
	if (w->depth <= OPEN_LEVELS)
		return;
	struct level *old = &w->levels[w->depth - 1 - OPEN_LEVELS];

	if (old->is_user) {
		(void)pthread_mutex_lock(&w->a->lock);
		ahead_drop_user(old->folder);
		(void)pthread_mutex_unlock(&w->a->lock);
	}
	old->is_user = false;
}

/* Opens the parent through "..": the same folder, or it cannot be used. */
static int reopen(const struct folder *up, const struct folder *f)
{
	int fd = openat(f->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_dev != up->dev || st.st_ino != up->ino)) {
		(void)close(fd);
		return -ESTALE;
	}
	return fd < 0 ? -errno : fd;
}

static void return_to(struct walker *w, struct level *up, const struct folder *f)
{
	struct ahead *a = w->a;

	(void)pthread_mutex_lock(&a->lock);
	if (up->folder->users == 0) {
		int fd = reopen(up->folder, f);

		up->folder->fd = fd < 0 ? -1 : fd;
	}
	/* A closed one makes every name in it one that cannot be opened, which is noted. */
	up->folder->users++;
	up->is_user = true;
	(void)pthread_mutex_unlock(&a->lock);
}

static void pop(struct walker *w)
{
	struct level *l = &w->levels[w->depth - 1];

	if (w->depth > 1 && !w->levels[w->depth - 2].is_user && l->is_user)
		return_to(w, &w->levels[w->depth - 2], l->folder);
	(void)pthread_mutex_lock(&w->a->lock);
	if (l->is_user)
		ahead_drop_user(l->folder);
	ahead_drop_folder(l->folder);
	(void)pthread_mutex_unlock(&w->a->lock);
	w->depth--;
}

/* Emits f and goes into it; takes its reference over. */
static bool enter(struct walker *w, struct folder *f)
{
	const bool is_open = f->fd >= 0;
	bool go_on = true;

	if (f->is_tagged) {
		(void)pthread_mutex_lock(&w->a->lock);
		w->a->excluded++;
		(void)pthread_mutex_unlock(&w->a->lock);
	} else {
		go_on = emit_folder(w->a, f);
	}
	if (go_on && is_open) {
		push(w, f);
		return true;
	}
	(void)pthread_mutex_lock(&w->a->lock);
	if (is_open)
		ahead_drop_user(f);
	ahead_drop_folder(f);
	(void)pthread_mutex_unlock(&w->a->lock);
	return go_on;
}

static bool step(struct walker *w)
{
	struct level *l = &w->levels[w->depth - 1];

	if (l->next == l->folder->names.count) {
		pop(w);
		return true;
	}
	const struct name *n = &l->folder->names.items[l->next++];
	if (n->is_excluded) {
		(void)pthread_mutex_lock(&w->a->lock);
		w->a->excluded++;
		(void)pthread_mutex_unlock(&w->a->lock);
		return true;
	}
	if (n->type != DT_DIR)
		return emit_name(w->a, l->folder, n);
	struct folder *f = take_folder(w->a);
	return f && enter(w, f);
}

void *order_run(void *arg)
{
	struct ahead *a = arg;
	struct walker w = {.a = a, .levels = calloc(WALK_DEPTH_MAX + 1, sizeof(*w.levels))};
	struct folder *root = TAKE_PTR(a->root);
	bool go_on = w.levels != NULL;

	if (go_on)
		go_on = enter(&w, root);
	while (go_on && w.depth)
		go_on = step(&w);
	(void)pthread_mutex_lock(&a->lock);
	if (!w.levels) {
		ahead_drop_folder(root);
		ahead_stop(a, -ENOMEM);
	}
	while (w.depth) {
		struct level *l = &w.levels[--w.depth];

		if (l->is_user)
			ahead_drop_user(l->folder);
		ahead_drop_folder(l->folder);
	}
	ahead_offer(a);
	a->is_walked = true;
	(void)pthread_cond_signal(&a->ready);
	(void)pthread_mutex_unlock(&a->lock);
	free(w.levels);
	return NULL;
}
