/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a foreign folder: no symbolic link on the way is ever followed, sizes are capped. */
#pragma once

#include <stddef.h>

#include "err.h"

/*
 * Opens path below dirfd one component at a time.  A negative errno: -ELOOP or -ENOTDIR at a
 * symbolic link.  flags are those of the last component, without O_CLOEXEC and O_NOFOLLOW.
 */
int foreign_open(int dirfd, const char *path, int flags);
/*
 * The whole regular file, at most max bytes, with a NUL behind, owned by the caller; name is for
 * messages.  Kind ERR_STORE; -EFBIG when it is larger.
 */
int foreign_read(int fd, const char *name, size_t max, char **ret, size_t *ret_len, struct err *e);
