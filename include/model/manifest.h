/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME.json, the manifest: written last; an archive without one is not an archive.
 * Format "thinark-manifest" version 1, a JSON object; the keys are listed in manifest.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "container.h"
#include "err.h"
#include "str.h"
#include "trouble.h"

struct manifest {
	const struct container *container;
	const char *job, *hostname, *created; /* RFC 3339, UTC: the time of the snapshot */
	const char *archive;                  /* file name without folder */
	/* pool and snapshot */
	const char *pool_name;
	uint32_t origin_thin_id, snap_thin_id;
	uint64_t pool_transaction, pool_block_bytes, mapped_bytes;
	int64_t pool_time; /* the pool's time counter T at the snapshot; -1: unknown */
	bool was_active;
	double window_ms; /* how long the origin was suspended; 0 if it was not */
	/*
	 * "frozen": the file system was; "crash-consistent": it was not, or a guest has it mounted,
	 * where freezing does not reach; "idle": the device was active, but nobody used it;
	 * "inactive": it was not active.
	 */
	const char *freeze;
	const char *fs_type;    /* "xfs", "ext4" */
	const char *mount_mode; /* what was needed to mount, e.g. "read-only", "journal replayed" */
	/* archive */
	const char *compression;
	char sha256[65];     /* of the whole file */
	uint64_t file_bytes; /* of the .tar.zst */
	uint64_t tar_bytes;  /* uncompressed */
	uint64_t entries, files, dirs, symlinks, hardlinks, devices, fifos;
	uint64_t sockets_skipped, excluded;
	uint64_t content_bytes;        /* of regular files */
	const struct trouble *trouble; /* files that could not be read; makes it incomplete */
};

/* Writes the manifest as pretty-printed JSON with a final newline; deterministic. */
int manifest_write(const struct manifest *m, struct strbuf *out, struct err *e);
