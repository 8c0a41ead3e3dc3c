/* SPDX-License-Identifier: Apache-2.0 */
/*
 * measure SECONDS PROGRAM [ARGUMENT...]: runs it, killed after so many seconds, and prints one line
 * at the end: its exit code (128 + signal), milliseconds, and the most memory it had, in KiB.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;

static void end(int number)
{
	(void)number;
	(void)kill(child, SIGKILL);
}

int main(int argc, char **argv)
{
	struct rusage usage;
	int status = 0;

	if (argc < 3)
		return 2;
	child = fork();
	if (child == 0) {
		(void)execv(argv[2], argv + 2);
		_exit(127);
	}
	(void)signal(SIGALRM, end);
	(void)alarm((unsigned)atoi(argv[1]));
	if (child < 0 || wait4(child, &status, 0, &usage) < 0)
		return 1;
	printf("%d %ld %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
		(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
			(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000,
		usage.ru_maxrss);
	return 0;
}
