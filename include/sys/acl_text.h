/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX ACLs: from the text that archives hold to the kernel's attribute (linux/posix_acl_xattr.h).
 */
#pragma once

#include <stddef.h>

/*
 * Entries are TAG:QUALIFIER:PERMISSIONS[:ID], separated by ',' or newline.  The caller frees *ret.
 * -EINVAL: not understood, or users and groups by name only.
 */
int acl_from_text(const char *text, size_t len, unsigned char **ret, size_t *ret_len);
