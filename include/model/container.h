/* SPDX-License-Identifier: Apache-2.0 */
/* What a store lists: one container and the volume that holds its root file system. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct label {
	char *key, *value;
};

/*
 * How the pool is reached.  A running engine's pool is an active dm device; a stopped engine's
 * may have to be assembled from its files by us (pool_open).
 */
struct pool_ref {
	char *dm_name;       /* name of the pool's dm device when active; NULL if unknown */
	char *data_path;     /* loop file or device for assembly; NULL: cannot be assembled */
	char *metadata_path; /* same */
	bool is_loop;        /* both paths are regular files */
	/*
	 * Expected dm name of the container's own device while it is active; a hint for finding the
	 * pool through its table when dm_name is only a guess.
	 */
	char *device_name;
};

/* What the root file system is on, and so what has to be done to read it. */
enum volume_kind {
	VOLUME_THIN, /* a thin device: pool, thin_id, size_bytes and subdir tell which */
	/* a thin device as above, of a pool that is not active: we read its files ourselves */
	VOLUME_OFFLINE,
	VOLUME_FOLDER, /* the folder at path, read as it is; it may change meanwhile */
};

/* All strings are owned by the container (container_done).  Unknown ones are NULL. */
struct container {
	char *store;     /* name of the store in the configuration */
	char *id;        /* engine's id: 64 hex digits for Docker */
	char *name;      /* what the user calls it, without leading '/' */
	char *namespace; /* the engine's: containerd keeps each client's containers in its own */
	char *image;     /* reference as the user typed it */
	char *image_id;
	char *state; /* created, running, paused, restarting, exited, stopped, dead, removing */
	struct label *labels;
	size_t label_count;
	char *config_json;     /* the engine's own configuration, verbatim: config.v2.json */
	char *hostconfig_json; /* hostconfig.json, verbatim */
	enum volume_kind volume;
	struct pool_ref pool;
	uint32_t thin_id;
	char *lv;            /* "VG/LV": LVM owns the pool and takes the snapshot; NULL: we do */
	uint64_t size_bytes; /* virtual size of the thin device */
	char *subdir;        /* folder in the file system that is the container's '/': "rootfs" */
	char *path;          /* VOLUME_FOLDER: absolute */
	char *problem;       /* why this container cannot be archived; NULL: it can */
};

void container_done(struct container *c);
/* Value of a label, or NULL; borrowed. */
const char *container_label(const struct container *c, const char *key);

struct container_list {
	struct container *items;
	size_t count, cap;
};

/* Appends a zeroed container and returns it (valid until the next add), NULL without memory. */
struct container *container_list_add(struct container_list *l);
void container_list_done(struct container_list *l);
