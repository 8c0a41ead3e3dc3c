/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's databases and configuration as bytes in memory: no path is opened here, so that
 * every parser of foreign bytes can be fuzzed.  The layout is that of containerd 1.3 to 2.x:
 * metadata/buckets.go, snapshots/storage/bolt.go, snapshots/devmapper/metadata.go.
 * All errors are of kind ERR_STORE (ERR_FATAL without memory).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bolt.h"
#include "container.h"
#include "err.h"
#include "str.h"

#define CONTAINERD_SNAPSHOTTER "devmapper"

struct containerd_db {
	struct bolt meta;      /* namespaces, containers, images, names of snapshots */
	struct bolt snapshots; /* metadata.db: the snapshotter's own numbers of them */
	struct bolt devices;   /* POOL.db: thin devices */
	const char *pool;      /* dm name of the pool */
	const char *store;     /* name of the store in the configuration */
};

/*
 * Appends the containers whose root is a snapshot of the devmapper snapshotter, in the order of
 * their namespaces and ids; a pod's sandbox is none.  Their state is not known here.  *ret_torn:
 * something that one database names is missing in the next, perhaps since they were not read at
 * the same time.
 */
int containerd_parse(struct containerd_db *db, struct container_list *list, struct strbuf *notes,
	bool *ret_torn, struct err *e);

/* A record of a thin device, borrowed for the call. */
struct containerd_device {
	const char *name; /* POOL-snap-NUMBER, escaped */
	uint32_t thin_id;
	uint64_t size_bytes; /* 0: not said */
	bool is_deleted;     /* it is being removed, or is */
	const char *problem; /* NULL, or why nothing but its name is known */
};

typedef int containerd_device_fn(void *arg, const struct containerd_device *d, struct err *e);
/* All records of db->devices; ends with the first negative value of fn. */
int containerd_each_device(
	struct containerd_db *db, containerd_device_fn *fn, void *arg, struct err *e);

/* What /etc/containerd/config.toml says; NULL where it says nothing. */
struct containerd_config {
	char *root;      /* absolute */
	char *root_path; /* folder of the snapshotter, absolute */
	char *pool_name; /* dm name */
};

/*
 * Finds the plug-in's keys in the tables where containerd's documentation puts them; what is
 * written in another way counts as not said.
 */
int containerd_parse_config(const char *text, size_t len, const char *name,
	struct containerd_config *ret, struct err *e);
void containerd_config_done(struct containerd_config *c);

/*
 * Sets c->name from its id, namespace and labels: NAMESPACE_POD_CONTAINER for Kubernetes, as its
 * log files have it; else nerdctl's name or the id, behind its namespace unless that is one where
 * engines keep theirs.
 */
int containerd_name(struct container *c, struct err *e);
/* A namespace's or container's name as containerd allows it: no '/', at most 76 characters. */
bool containerd_is_id(const char *s);
/* Is it the database of a pool?  Its length without ".db", else 0. */
size_t containerd_pool_db(const char *file);
