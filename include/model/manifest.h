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

/* Of a thin device that was read without device mapper (VOLUME_OFFLINE). */
struct manifest_salvage {
	const char *metadata, *data; /* the pool's files */
	uint64_t lost_bytes, losses; /* of the device; in ranges */
	const char *check_command;   /* of the file system's own checker; NULL: it did not run */
	const char *check_finding;   /* the first thing that it found; NULL or "": nothing */
	int check_code;              /* its exit code; -1: it did not end by itself */
	bool check_is_sound;
};

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
	const char *consistency; /* "pause": no process of the container ran; else "freeze" */
	double paused_ms;        /* how long we paused it; 0 if we did not */
	const char *fs_type;     /* "xfs", "ext4" */
	const char *mount_mode; /* what was needed to mount, e.g. "read-only", "journal replayed" */
	const struct manifest_salvage *salvage; /* NULL: it was not salvaged */
	/* archive */
	const char *compression;
	char sha256[65];       /* of the whole file */
	char index_sha256[65]; /* of the skippable frames of the index */
	uint64_t file_bytes;   /* of the .tar.zst */
	uint64_t tar_bytes;    /* uncompressed */
	uint64_t entries, files, dirs, symlinks, hardlinks, devices, fifos;
	uint64_t sockets_skipped, excluded;
	uint64_t content_bytes;        /* of regular files */
	const struct trouble *trouble; /* files that could not be read; makes it incomplete */
};

/* Writes the manifest, still unsealed, as pretty-printed JSON with a final newline; deterministic.
 */
int manifest_write(const struct manifest *m, struct strbuf *out, struct err *e);

/* How many bytes of an unsealed manifest its digest covers; 0: it is none. */
size_t manifest_covered(const struct strbuf *text);
/* Adds the hex SHA-256 of those bytes as the last key. */
int manifest_seal(struct strbuf *text, const char sha256[65], struct err *e);

/* What a reader needs of a manifest. */
struct manifest_facts {
	size_t covered; /* bytes of the text that seal is the digest of; 0: it is not sealed */
	char seal[65], sha256[65], index_sha256[65];
	char container[256], created[32]; /* "": not known */
	uint64_t file_bytes, tar_bytes, entries, files, dirs, symlinks, hardlinks, devices, fifos;
	uint64_t content_bytes;
	bool is_complete;
};

/* Reads NAME.json.  Errors (kind ERR_DAMAGED) name the place or the key. */
int manifest_read(
	const char *text, size_t len, const char *name, struct manifest_facts *ret, struct err *e);
