/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an archive is what was written: every byte of the file is read; deep decodes it too and
 * compares each member with the index.  Without an index it is always deep.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "manifest.h"

struct verify_options {
	const struct manifest_facts *facts; /* of its manifest; NULL: there is none */
	bool deep;
	/* Each thing that is wrong; path: the entry, NULL for the archive itself. */
	void (*problem)(void *arg, const char *path, const char *text);
	void *arg;
};

struct verify_result {
	uint64_t problems, frames, bad_frames, entries, bad_entries, file_bytes;
	bool was_deep, has_index;
};

/* fd: the .tar.zst.  0: it was checked, *ret tells; errors are those of reading it. */
int verify_archive(
	int fd, const struct verify_options *o, struct verify_result *ret, struct err *e);
/* Checks the seal of a manifest's text; problems as above. */
int verify_manifest(const char *text, const struct manifest_facts *facts,
	const struct verify_options *o, struct verify_result *ret, struct err *e);
