/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to run: the programs of "commands".  In one stage they run one after the other, in the
 * order of the file.  What the container is called reaches them by their environment only.
 */
#pragma once

#include "job.h"

/* Are the programs of the selected jobs there and trusted?  Kind ERR_CONFIG. */
int hook_check(const struct run_options *o, struct err *e);
/*
 * 0: go on; 1: skip the job or container, *e says why (its kind is ERR_NONE); negative: the job
 * or container has failed.
 */
int hook_before_job(const struct run_options *o, const struct cfg_job *job, struct err *e);
int hook_before_container(const struct job *j, struct err *e);
/*
 * Due once the stage before was, whatever came of it.  result: "good", "incomplete", "failed" or
 * "skipped"; code: the exit code it alone would lead to.  Logs failures; returns EXIT_GOOD or
 * EXIT_INCOMPLETE.
 */
int hook_after_job(
	const struct run_options *o, const struct cfg_job *job, const char *result, int code);
int hook_after_container(const struct job *j, const char *result, int code);
