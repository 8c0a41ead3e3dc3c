/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why work has to stop.  SIGINT, SIGTERM and SIGHUP only set a flag, and a watcher beside the work
 * may give a reason of its own; loops test both and unwinding is the normal one.
 */
#pragma once

#include <stdbool.h>

#include "err.h"

void stop_init(void);
/* By a signal. */
bool stop_asked(void);
/* Ends the work at hand for the reason in *why; the first reason counts.  From any thread. */
void stop_cancel(const struct err *why);
/* Takes the reason back, for the next piece of work; signals stay. */
void stop_clear(void);
/* 0, or -ECANCELED with *e of kind ERR_INTERRUPTED, or the reason given to stop_cancel. */
int stop_check(struct err *e);
