/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of an engine. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Is a Docker daemon running?  dockerd, dockerd-current (RHEL 7), or before 1.12 "docker daemon"
 * and "docker -d".  The first one's arguments go to buf, each ended by NUL, cut at size; *ret_len
 * may be 0 for one that cannot be read.  buf may be NULL.
 */
bool proc_find_docker(char *buf, size_t size, size_t *ret_len);
