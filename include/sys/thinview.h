/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of one thin device, put together from a pool's metadata and data in user space: no
 * device mapper, no root, nothing is written.  Only for pools that are not active: whoever uses
 * one overwrites blocks in place.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "thinmeta.h"

struct thinview;

/*
 * Opens device id of m, which must outlive the view, with the pool's data file or device; a
 * device is opened exclusively (-EBUSY) and read with O_DIRECT.  Kind ERR_POOL.
 */
int thinview_open(struct thinmeta *m, uint32_t id, const char *data_path, struct thinview **ret,
	struct err *e);
void thinview_close(struct thinview *v); /* NULL does nothing */
/*
 * Reads len bytes at offset; what is not mapped is zero.  -EIO if the metadata of any of it is
 * lost or its data cannot be read: then nothing in buf counts.
 */
int thinview_pread(struct thinview *v, void *buf, size_t len, uint64_t offset, struct err *e);

struct thinview_copied {
	uint64_t size;         /* of the image */
	uint64_t mapped_bytes; /* written */
	uint64_t lost_bytes;   /* left as holes */
	uint64_t losses;       /* ranges */
};

/* Called while it copies; each may be NULL. */
struct thinview_events {
	/* A range that is lost, with its cause. */
	void (*lost)(void *arg, uint64_t offset, uint64_t len, const char *why);
	/* About once each MiB: so much was written. */
	void (*progress)(void *arg, uint64_t mapped_bytes);
	void *arg;
};

/*
 * Writes the mapped blocks to fd, a new file of size bytes (0: as far as blocks are mapped), so
 * that all else are holes.  What is lost is a hole too.  Only what cannot be written is an error
 * (ERR_DEST), or ERR_INTERRUPTED.
 */
int thinview_copy(struct thinview *v, int fd, uint64_t size, const struct thinview_events *events,
	struct thinview_copied *ret, struct err *e);
