/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An archive opened for reading: the compressed stream, the index if there is one, and the tar.
 * Members come in order, or any one through the index; behind a damaged one reading goes on at the
 * next that the index knows.
 */
#pragma once

#include "index.h"
#include "untar.h"
#include "unframe.h"

struct reader {
	struct unframe *stream;
	struct index index;       /* what could be read of it */
	bool has_index;           /* all of it, and it fits the frames */
	struct err index_problem; /* code 0: none */
	struct tar tar;
	const struct index_entry **by_path; /* sorted on the first search */
};

/* fd: the .tar.zst, borrowed.  r must not be moved. */
int reader_open(int fd, unsigned threads, struct reader *r, struct err *e);
/* The same for one path, which is borrowed: of the index only its entries are kept. */
int reader_open_path(int fd, const char *path, struct reader *r, struct err *e);
void reader_close(struct reader *r);
/* As tar_next: 1, 0 at the end, or an error; after one of kind ERR_DAMAGED see reader_resume. */
int reader_next(struct reader *r, struct tar_member *m, struct err *e);
/*
 * After reader_next failed: *ret is what the index says about the member that failed (NULL: it
 * says nothing).  Returns whether there is another one to go on with.
 */
bool reader_resume(struct reader *r, const struct index_entry **ret);
/* The member of an entry of the index; reading in order goes on behind it. */
int reader_at(
	struct reader *r, const struct index_entry *entry, struct tar_member *m, struct err *e);
/* The last entry with that path; NULL: none, or no index. */
const struct index_entry *reader_find(struct reader *r, const char *path);
/* Calls fn with the bytes of the file in order, without its holes; its failure ends the reading. */
int reader_content(struct reader *r, const struct tar_member *m,
	int (*fn)(void *arg, uint64_t at, const void *data, size_t len, struct err *e), void *arg,
	struct err *e);
