/* SPDX-License-Identifier: Apache-2.0 */
/* Private to tar: the records of a pax header. */
#pragma once

#include "untar.h"

#define TAR_EXTENTS_MAX (1u << 20)

struct tar_pax {
	char *path, *link;
	bool has_size, has_uid, has_gid, has_mtime, has_major, has_minor;
	uint64_t size;
	uint32_t uid, gid, rdev_major, rdev_minor;
	struct timespec mtime;
	struct tar_xattr *xattrs;
	size_t xattr_count, xattr_cap;
	/* GNU.sparse */
	bool is_sparse, map_in_data, has_real_size, has_pending;
	uint64_t real_size, pending;
	struct tar_extent *extents;
	size_t extent_count, extent_cap;
	const char *lost;
};

/* Decimal digits up to end, nothing else. */
bool tar_decimal(const char *s, size_t len, uint64_t max, uint64_t *ret);
/* Returns 0, -ENOMEM, or -EBADMSG with *why. */
int tar_pax_read(const char *data, size_t len, struct tar_pax *p, const char **why);
int tar_pax_extent(struct tar_pax *p, uint64_t at, uint64_t len);
void tar_pax_done(struct tar_pax *p);
