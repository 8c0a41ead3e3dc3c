/* SPDX-License-Identifier: Apache-2.0 */
/* Where compressed bytes go: given by a destination, or a file. */
#pragma once

#include <stddef.h>

#include "err.h"

struct sink {
	/* Writes all of data or fails with kind ERR_DEST; a failure is final. */
	int (*write)(void *state, const void *data, size_t len, struct err *e);
	void *state;
};
