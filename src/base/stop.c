/* SPDX-License-Identifier: Apache-2.0 */
#include "stop.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t stop_flag;

static void on_signal(int sig)
{
	stop_flag = sig;
}

void stop_init(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction sa = {.sa_handler = on_signal};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &sa, NULL);
	sa.sa_handler = SIG_IGN; /* a closed pipe on stdout must not skip the teardown */
	(void)sigaction(SIGPIPE, &sa, NULL);
}

bool stop_asked(void)
{
	return stop_flag != 0;
}

int stop_check(struct err *e)
{
	if (!stop_flag)
		return 0;
	return err_set(e, ERR_INTERRUPTED, -ECANCELED, "interrupted by signal %d", (int)stop_flag);
}
