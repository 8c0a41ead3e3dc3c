/* SPDX-License-Identifier: Apache-2.0 */
/* Private to restore: owners, modes, attributes and times, by descriptor only. */
#pragma once

#include "untar.h"
#include "trouble.h"

enum meta_how {
	META_OWNER = 1, /* only root can give files away */
	META_PLAIN = 2, /* ACLs that the member does not have go: a folder may pass its own on */
};

/*
 * fd: O_PATH, or open for reading or writing (is_path false, which saves system calls).
 * how: of meta_how.  Each failure is trouble.
 */
void restore_meta(
	int fd, bool is_path, unsigned how, const struct tar_member *m, struct trouble *t);
