/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory and descriptors die with their scope.  What outlives a process (snapshots, devices,
 * mounts, unfinished archives) belongs to the undo stack instead (undo.h).
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void scope_free(void *p)
{
	free(*(void **)p);
}

static inline void scope_close(const int *fd)
{
	int keep = errno;

	if (*fd >= 0)
		(void)close(*fd);
	errno = keep;
}

static inline void scope_fclose(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

static inline void scope_closedir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

#define AUTO_FREE __attribute__((cleanup(scope_free)))     /* freed at the end of the block */
#define AUTO_CLOSE __attribute__((cleanup(scope_close)))   /* int fd = -1 */
#define AUTO_FCLOSE __attribute__((cleanup(scope_fclose))) /* FILE * */
#define AUTO_DIR __attribute__((cleanup(scope_closedir)))  /* DIR * */

/* The one way ownership leaves a function: yields the pointer and clears the variable. */
#define TAKE_PTR(p)                                                                                \
	__extension__({                                                                            \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})
#define TAKE_FD(f)                                                                                 \
	__extension__({                                                                            \
		int taken_ = (f);                                                                  \
		(f) = -1;                                                                          \
		taken_;                                                                            \
	})
