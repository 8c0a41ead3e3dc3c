/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A destination keeps sealed archives.  begin -> write (through the sink) -> seal | abort.
 * Nothing is listed before seal; the manifest is written last.
 */
#pragma once

#include <stdint.h>

#include "cfg.h"
#include "err.h"
#include "sink.h"
#include "str.h"

struct dest_item {
	char *name;     /* archive name without ".tar.zst" */
	char *manifest; /* JSON text; NULL if it cannot be read, then problem tells */
	char *problem;
	uint64_t file_bytes;
};

struct dest_list {
	struct dest_item *items;
	size_t count;
};

struct dest_writer; /* one unfinished archive */

struct dest_ops {
	const char *type;
	const char *help;
	/* Says whether it is usable, without changing anything.  *note: free space etc., one line.
	 */
	int (*check)(const struct cfg_dest *cfg, struct strbuf *note, struct err *e);
	/* What is the same for all configurations that mean the same place; names its lock. */
	int (*identify)(const struct cfg_dest *cfg, struct strbuf *ret, struct err *e);
	/* -EEXIST if an archive of that name is there. */
	int (*begin)(const struct cfg_dest *cfg, const char *name, struct dest_writer **ret,
		struct err *e);
	struct sink *(*sink)(struct dest_writer *w);
	/* Publishes the archive, then the manifest.  On failure nothing is listed; call abort. */
	int (*seal)(struct dest_writer *w, const char *manifest, size_t len, struct err *e);
	/* Removes what is unfinished and frees w; also after seal, then only frees. */
	int (*abort)(struct dest_writer *w, struct err *e);
	/* All sealed archives, sorted by name.  Free with dest_list_done. */
	int (*list)(const struct cfg_dest *cfg, struct dest_list *ret, struct err *e);
	/* Opens the sealed archive of that name for reading, anywhere in it. */
	int (*open)(const struct cfg_dest *cfg, const char *name, int *ret_fd, struct err *e);
	/* Removes unfinished files that no run is writing (the caller holds the lock). Returns
	 * count or error. */
	int (*sweep)(const struct cfg_dest *cfg, struct err *e);
};

extern const struct dest_ops dest_directory;
const struct dest_ops *dest_find(const char *type);
void dest_list_done(struct dest_list *l);
