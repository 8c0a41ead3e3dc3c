/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of the world below sys, for the fault sweep: device mapper (libdevmapper and the raw
 * ioctls), libmount, loop devices; files are real ones.  Every operation of the program passes
 * fault(), which can make it fail, make it fail after it took effect, or kill the process.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define WORLD_DIR "/var/lib/model" /* on a tmpfs of the test's own */
#define WORLD_ROOT WORLD_DIR "/docker"
#define WORLD_DEST WORLD_DIR "/backup"
#define WORLD_DEVICES 12
#define WORLD_IDS 12
#define WORLD_OPS 8192
#define WORLD_VIEWS 4

enum op {
	OP_OPEN,
	OP_FOLDER, /* listing one */
	OP_STAT,
	OP_READ,
	OP_XATTR,
	OP_WRITE,
	OP_SYNC,
	OP_CLOSE,
	OP_RENAME,
	OP_LINK,
	OP_UNLINK,
	OP_MKDIR,
	OP_FCNTL,
	OP_LOCK,
	OP_MEMORY,
	OP_FORK,
	OP_MOUNT,
	OP_UNMOUNT,
	OP_DM,    /* one dm_task_run */
	OP_IOCTL, /* of the suspender, of loop devices */
	OP_COUNT
};

enum fault_mode {
	FAULT_NONE,
	FAULT_ONCE,   /* the operation fails once */
	FAULT_KIND,   /* from there on each of its kind fails */
	FAULT_LATE,   /* it takes effect and fails; a read or write is a short one */
	FAULT_KILL,   /* SIGKILL before it, of the process that does it */
	FAULT_PARENT, /* in the suspender: SIGKILL of the main process */
	FAULT_BOTH,   /* in the suspender: SIGKILL of both */
};

struct model_dev {
	char name[128], uuid[128], type[16], params[256];
	bool exists, live, loaded, suspended, read_only, deferred;
	char next_type[16], next_params[256]; /* the inactive table */
	bool next_read_only;
	unsigned minor;
	uint64_t length;
	int users;
};

struct model_id {
	bool exists;
	uint32_t id, root; /* root: the container's device it shows */
	uint32_t created;  /* the pool's time */
};

/* What a trial starts from and leaves, shared by all processes. */
struct model {
	struct model_dev devs[WORLD_DEVICES];
	struct model_id ids[WORLD_IDS];
	unsigned next_minor;
	uint32_t time; /* the pool's counter */
	/* the metadata snapshot: its block, 0: none; of when; and whether it is somebody else's */
	uint64_t held;
	uint32_t held_time, held_commits;
	bool is_held_by_others;
	bool is_busy;     /* each time somebody opens the metadata the pool commits something */
	uint32_t commits; /* while it is */
	struct {
		char tree[128];
		unsigned minor;
	} views[WORLD_VIEWS]; /* mounted on VIEW_DIR, one over the other */
	size_t view_count;
	bool was_replayed; /* the ext4's journal */
};

struct world {
	bool armed;
	enum fault_mode mode;
	unsigned fail_at, pass;
	unsigned ops, fired;
	enum op kind;    /* of the operation fail_at */
	int error;       /* the errno it failed with */
	bool late;       /* the operation at hand is to fail behind its effect */
	bool in_child;   /* the fault fired outside the main process */
	bool rolls_back; /* an origin may be deleted as long as it has a snapshot of ours */
	bool in_batch;   /* it fired after the first container was begun */
	unsigned lists;  /* of devices: the second is the search for the pool of the first */
	unsigned char kinds[WORLD_OPS];
	bool child_op[WORLD_OPS];
	pid_t main_pid;
	char violation[256]; /* what the kernel would have answered badly to; "" */
	struct model m;
	/* results of the main process */
	bool ended;
	bool was_mounted; /* at its end */
	int code, fds_before, fds_after;
};

extern struct world *world;

/* Makes world (shared memory). */
void world_init(void);
/* Counts one operation; true: it fails with errno. */
bool fault(enum op kind);
/* After the effect of an operation: true when it is to fail all the same, with errno. */
bool fault_late(void);
/* Whether an operation of the kind changes something. */
bool op_has_effect(enum op kind);
const char *op_name(enum op kind);
void violation(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The model of device mapper; negative errno. */
int model_message(const char *pool, const char *text);
int model_suspend(const char *name, bool suspend);
struct model_dev *model_find(const char *name);
struct model_dev *model_add(const char *name, const char *type, const char *params, uint64_t len);
void model_add_id(uint32_t id, uint32_t root);
/* Writes the pool's metadata as the model's state has it. */
void model_commit(void);
/* Messages about the metadata snapshot; -ENOSYS: it is another one. */
int model_hold(const char *message);
#define MODEL_MAPPED 3u /* blocks of each thin device, of which the first is its own */
/* What the name of a device's node leads to in the model: a file. */
const char *model_node(const char *path, char out[128]);
int model_ioctl(int fd, unsigned long what, void *arg);
/* Has the container's device a snapshot of ours? */
bool model_has_snapshot(uint32_t root);
/* The topmost mount is gone; so is its device, when marked for deferred removal. */
void model_unmount(void);
