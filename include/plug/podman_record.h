/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of containers/storage, the library of Podman, Buildah and CRI-O, as text in memory:
 * no path is opened here, so that every parser of foreign text can be fuzzed.  Layout:
 * containers/storage 1.0 to 1.53, containers.go; libpod/boltdb_state.go.  Errors are of kind
 * ERR_STORE (ERR_FATAL without memory).
 */
#pragma once

#include "bolt.h"
#include "container.h"
#include "err.h"
#include "str.h"

/*
 * containers.json: appends its containers in the order of their ids, with names, image and record;
 * the sandbox of a pod is none.  prefix: of the driver's devices, so that pool.device_name ends
 * with the layer, whose record tells the device.
 */
int podman_parse(const char *text, size_t len, const char *name, const char *store,
	const char *prefix, struct container_list *list, struct err *e);
/* State and labels of a container from libpod's database; what is not there stays unknown. */
int podman_parse_state(struct bolt *b, struct container *c, struct err *e);
