/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an archive: seek table, index, frames, tar. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int nothing(void *arg, uint64_t at, const void *data, size_t len, struct err *e)
{
	(void)arg;
	(void)at;
	(void)data;
	(void)len;
	(void)e;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct index_entry *entry = NULL;
	struct reader r;
	struct tar_member m;
	struct err e = {0};
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	if (reader_open(fd, 0, &r, &e) == 0) {
		for (int i = 0; i < 100; i++) {
			int rc = reader_next(&r, &m, &e);

			if (rc == 0 || (rc < 0 && !reader_resume(&r, &entry)))
				break;
			if (rc < 0)
				continue;
			(void)reader_content(&r, &m, nothing, NULL, &e);
			tar_member_done(&m);
		}
		(void)reader_find(&r, "a");
		reader_close(&r);
	}
	(void)close(fd);
	return 0;
}
