/* SPDX-License-Identifier: Apache-2.0 */
/* Private to restore: owners, modes, attributes and times, by descriptor only. */
#pragma once

#include "untar.h"
#include "trouble.h"

/*
 * fd: O_PATH, or open for reading or writing (is_path false, which saves system calls).
 * with_owner: only root can give files away.  Each failure is trouble.
 */
void restore_meta(
	int fd, bool is_path, bool with_owner, const struct tar_member *m, struct trouble *t);
