/* SPDX-License-Identifier: Apache-2.0 */
/* Private to sys: where the data of a file lies, in the file and on its device. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "digest.h"
#include "pack.h"

#define EXTENTS_SUM 16 /* bytes of a fingerprint */

/*
 * The data extents of a file of that size, by SEEK_DATA and SEEK_HOLE; a map that makes no sense is
 * taken for data.  *ret stays NULL when it is one extent without holes.  -ENOMEM only.
 */
int extents_find(int fd, off_t size, struct pack_extent **ret, size_t *ret_count);
/* Fingerprint of the places on the device; false when the file system does not say or has not
 * decided.  d is used and left empty. */
bool extents_fingerprint(int fd, struct digest *d, unsigned char out[EXTENTS_SUM]);
bool extents_generation(int fd, uint32_t *ret);
