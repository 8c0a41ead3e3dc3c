/* SPDX-License-Identifier: Apache-2.0 */
/* Loop devices that go away by themselves with their last user. */
#pragma once

#include <stdint.h>

#include "err.h"

#define LOOP_NODE_CAP 32

/*
 * Attaches a free loop device to the open file; *ret_fd keeps it until closed.  limit: its size in
 * bytes, 0: the file's.  path and owner (a pool) are for messages and the ledger, in which a loop
 * device is where it takes two steps to be set up (before Linux 5.8).  Kind ERR_STORE.
 */
int loop_attach(
	int file, const char *path, const char *owner, uint64_t limit, int *ret_fd, struct err *e);
/* "/dev/loop7" of such a descriptor. */
int loop_node(int fd, char ret[LOOP_NODE_CAP], struct err *e);
