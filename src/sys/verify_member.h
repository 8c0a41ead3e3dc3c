/* SPDX-License-Identifier: Apache-2.0 */
/* Private to verify: one member of the tar against its entry of the index. */
#pragma once

#include "reader.h"

struct member_sums {
	unsigned char content[DIGEST_LEN], xattrs[DIGEST_LEN];
	bool has_xattrs;
};

/* Reads the content.  Errors as reader_content's. */
int member_sums(
	struct reader *r, const struct tar_member *m, struct member_sums *ret, struct err *e);
/* What differs, as static text; NULL: nothing. */
const char *member_differs(
	const struct tar_member *m, const struct member_sums *sums, const struct index_entry *want);
