/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the index while entries are packed: begin, then xattr as they come, data, then end; finish
 * once after the last.  The first failure is kept and returned by end and finish.  Digests of
 * contents come from the threads of frames and are put in later.
 */
#pragma once

#include <stdbool.h>

#include "frames.h"
#include "pack.h"

struct index_build;

/* frames must outlive it. */
int index_build_new(struct frames *to, struct index_build **ret, struct err *e);
/* Just before the entry's header is written; first: the path it is a hard link to, or NULL. */
void index_build_begin(struct index_build *b, const struct pack_entry *entry, const char *first);
/* Attributes in byte order of their names. */
void index_build_xattr(struct index_build *b, const char *name, const void *value, size_t len);
/* The header is written; data: its content follows, NULL: none. */
void index_build_data(struct index_build *b, const struct pack_data *data);
/* Its content is written. */
int index_build_content_end(struct index_build *b, struct err *e);
/* The entry is written; is_whole: all of its content could be read. */
int index_build_end(struct index_build *b, bool is_whole, struct err *e);
/* Ends the data of frames, and hands it the rest of the index. */
int index_build_finish(struct index_build *b, struct err *e);
void index_build_free(struct index_build *b);
