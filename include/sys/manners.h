/* SPDX-License-Identifier: Apache-2.0 */
/* How much the host feels of us. */
#pragma once

#include <stdbool.h>

/*
 * Niceness, and the class of disk I/O: idle, or best-effort whose level follows the niceness.  Only
 * a help: what the kernel refuses is left as it is.
 */
void manners_apply(int nice, bool is_idle);
/* The opposite, for the few milliseconds in which others wait for us; async-signal-safe. */
void manners_urgent(void);
