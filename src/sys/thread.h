/* SPDX-License-Identifier: Apache-2.0 */
/* Private to sys: threads of the archive stage.  They never see a signal; the main thread does. */
#pragma once

#include <pthread.h>

/* 0 or a negative errno. */
int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg);
/*
 * Waits a moment for c, whose mutex is held, and returns also without a signal: the caller tests
 * its condition, and whether the user wants it all to stop, again.
 */
void thread_wait(pthread_cond_t *c, pthread_mutex_t *held);
/* Processors that this process may use, at least 1. */
unsigned thread_cores(void);
