/* SPDX-License-Identifier: Apache-2.0 */
/* Time: monotonic for durations, UTC for names and manifests. */
#pragma once

#include <stdint.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t clock_ns(void);
/* "2026-11-25T020000Z" (names: no colon, sorts by time); out holds 24 bytes. */
const char *clock_name(time_t t, char out[24]);
/* "2026-11-25T02:00:00Z" (RFC 3339); out holds 24 bytes. */
const char *clock_rfc3339(time_t t, char out[24]);
void clock_sleep_ms(unsigned ms);
