/* SPDX-License-Identifier: Apache-2.0 */
/* SIGINT, SIGTERM and SIGHUP only set a flag; loops test it and unwinding is the normal one. */
#pragma once

#include <stdbool.h>

#include "err.h"

void stop_init(void);
bool stop_asked(void);
/* 0, or -ECANCELED with *e of kind ERR_INTERRUPTED. */
int stop_check(struct err *e);
