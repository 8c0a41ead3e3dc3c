/* SPDX-License-Identifier: Apache-2.0 */
/* Private to restore: owners, modes, attributes and times, by descriptor only. */
#pragma once

#include "untar.h"
#include "trouble.h"

/*
 * fd: O_PATH, or open for reading or writing (is_path false, which saves system calls).
 * Each failure is trouble.
 */
void restore_meta(int fd, bool is_path, const struct tar_member *m, struct trouble *t);
