/* SPDX-License-Identifier: Apache-2.0 */
#include "manners.h"

#include <linux/ioprio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

void manners_apply(int nice, bool is_idle)
{
	/* Who started us with more of it meant that. */
	if (getpriority(PRIO_PROCESS, 0) < nice)
		(void)setpriority(PRIO_PROCESS, 0, nice);
	if (is_idle)
		(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
			IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
}

void manners_urgent(void)
{
	(void)setpriority(PRIO_PROCESS, 0, -18);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 0));
}
