/* SPDX-License-Identifier: Apache-2.0 */
/* How the archive stage divides its memory: a quarter for reading ahead, the rest for frames. */
#pragma once

#include <stddef.h>

#define MEMORY_DEFAULT (128u << 20) /* bytes */
#define MEMORY_MIN (32u << 20)

/* 0 stands for the default. */
static inline size_t memory_for_reading(size_t all)
{
	return (all ? all : MEMORY_DEFAULT) / 4;
}

static inline size_t memory_for_frames(size_t all)
{
	return (all ? all : MEMORY_DEFAULT) - memory_for_reading(all);
}
