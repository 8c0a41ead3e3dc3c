/* SPDX-License-Identifier: Apache-2.0 */
#include "thread.h"

#include <sched.h>
#include <signal.h>
#include <time.h>

#define STACK (512u << 10) /* bytes; paths and small buffers are on it */
#define MOMENT_NS 100000000

int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, before;

	(void)sigfillset(&all);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(ret, &attr, run, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	return -rc;
}

void thread_wait(pthread_cond_t *c, pthread_mutex_t *held)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += MOMENT_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void)pthread_cond_timedwait(c, held, &until);
}

unsigned thread_cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return n < 1 ? 1 : (unsigned)n;
}
