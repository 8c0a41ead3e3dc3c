/* SPDX-License-Identifier: Apache-2.0 */
#include "stop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

static volatile sig_atomic_t stop_flag;

/* Written once by whoever takes it from NONE to WRITING, read once it is SET. */
enum { NONE, WRITING, SET };
static atomic_int reason_state;
static struct err reason;

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

void stop_cancel(const struct err *why)
{
	int expected = NONE;

	if (!atomic_compare_exchange_strong(&reason_state, &expected, WRITING))
		return;
	reason = *why;
	atomic_store(&reason_state, SET);
}

void stop_clear(void)
{
	atomic_store(&reason_state, NONE);
}

int stop_check(struct err *e)
{
	if (stop_flag)
		return err_set(
			e, ERR_INTERRUPTED, -ECANCELED, "interrupted by signal %d", (int)stop_flag);
	if (atomic_load(&reason_state) != SET)
		return 0;
	*e = reason;
	return reason.code;
}
