/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of an index: what is read encodes to a part that reads the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct index x = {0}, again = {0};
	AUTO_STRBUF part = {0};
	struct err e = {0};
	int rc = index_part_read(data, size, &x, &e);

	check(rc == 0 || (e.kind == ERR_DAMAGED && e.text[0]));
	index_part_begin(&part);
	for (size_t i = 0; i < x.count; i++) {
		check(x.entries[i].header <= x.entries[i].data);
		check(x.entries[i].data <= x.entries[i].end);
		check(x.entries[i].path[0] != '\0');
		index_put_entry(&part, &x.entries[i]);
	}
	for (size_t i = 0; i < x.frame_count; i++)
		index_put_frame(&part, &x.frames[i]);
	check(index_part_read(part.data, part.len, &again, &e) == 0);
	check(again.count == x.count && again.frame_count == x.frame_count);
	for (size_t i = 0; i < x.count; i++) {
		check(strcmp(x.entries[i].path, again.entries[i].path) == 0);
		check(x.entries[i].end == again.entries[i].end);
	}
	(void)index_check(&x, &e);
	index_done(&x);
	index_done(&again);
	return 0;
}
