/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program and kills it before its Nth call that changes the world, or lets that call fail.
 *
 *   killpoint [-ax] [-n N] [-e ERRNO] [-w main|child|both] -o REPORT -- PROGRAM [ARG...]
 *
 * -w main (usual): counts and kills the program itself; child: a process it forked; both: counts
 * the children's calls and kills everybody at once.  -e: the call is not made and fails with this
 * number instead.  -a: every call counts.  -x: LOOP_CONFIGURE fails, as on kernels that do not have
 * it.  REPORT gets one line for each call counted, "N who call", and last "killed" (or "failed") or
 * "not reached".  The calls are chosen by a seccomp filter, so that all others run at full speed,
 * and the kernel's own view counts: no call of any library escapes.  Returns the program's exit
 * code, 137 if it was killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/dm-ioctl.h>
#include <linux/filter.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Calls with a condition (ioctl, openat, write) are in the filter itself. */
static const struct call {
	long nr;
	const char *name;
} calls[] = {
	{SYS_ioctl, "ioctl"},
	{SYS_openat, "openat O_CREAT"},
	{SYS_write, "write"},
	{SYS_mount, "mount"},
	{SYS_umount2, "umount2"},
	{SYS_unshare, "unshare"},
	{SYS_setns, "setns"},
	{SYS_clone, "clone"},
	{SYS_clone3, "clone3"},
	{SYS_fork, "fork"},
	{SYS_vfork, "vfork"},
	{SYS_execve, "execve"},
	{SYS_kill, "kill"},
	{SYS_flock, "flock"},
	{SYS_fsync, "fsync"},
	{SYS_fdatasync, "fdatasync"},
	{SYS_syncfs, "syncfs"},
	{SYS_ftruncate, "ftruncate"},
	{SYS_fallocate, "fallocate"},
	{SYS_pwrite64, "pwrite64"},
	{SYS_writev, "writev"},
	{SYS_copy_file_range, "copy_file_range"},
	{SYS_rename, "rename"},
	{SYS_renameat, "renameat"},
	{SYS_renameat2, "renameat2"},
	{SYS_link, "link"},
	{SYS_linkat, "linkat"},
	{SYS_unlink, "unlink"},
	{SYS_unlinkat, "unlinkat"},
	{SYS_rmdir, "rmdir"},
	{SYS_mkdir, "mkdir"},
	{SYS_mkdirat, "mkdirat"},
	{SYS_mknod, "mknod"},
	{SYS_mknodat, "mknodat"},
	{SYS_symlink, "symlink"},
	{SYS_symlinkat, "symlinkat"},
	{SYS_fchmod, "fchmod"},
	{SYS_exit_group, "exit_group"},
};

/* Device-mapper requests that only look. */
static const unsigned looks[] = {
	DM_VERSION_CMD,
	DM_LIST_DEVICES_CMD,
	DM_DEV_STATUS_CMD,
	DM_DEV_WAIT_CMD,
	DM_TABLE_DEPS_CMD,
	DM_TABLE_STATUS_CMD,
	DM_LIST_VERSIONS_CMD,
	DM_GET_TARGET_VERSION_CMD,
};

enum who { MAIN, CHILD, BOTH };

static struct {
	enum who who;
	bool every, is_old;
	unsigned long at, count;
	int error; /* 0: kill */
	pid_t main;
	pid_t pids[64];
	size_t pid_count;
	bool killed;
	FILE *report;
} k;

static void die(const char *what)
{
	perror(what);
	exit(99);
}

/* -- the filter ---------------------------------------------------------------------------- */

static struct sock_filter code[256];
static unsigned short length;

static void put(unsigned op, uint8_t yes, uint8_t no, uint32_t value)
{
	if (length == COUNT(code))
		exit(99);
	code[length++] = (struct sock_filter){(uint16_t)op, yes, no, value};
}

static void load_arg(unsigned n)
{
	put(BPF_LD | BPF_W | BPF_ABS, 0, 0,
		(uint32_t)(offsetof(struct seccomp_data, args) + 8u * n));
}

#define TRACE put(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRACE)
#define ALLOW put(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW)

static void build_filter(void)
{
	if (k.every) {
		TRACE;
		return;
	}
	put(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
	for (size_t i = 3; i < COUNT(calls); i++) {
		put(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)calls[i].nr);
		TRACE;
	}
	/* openat with O_CREAT */
	put(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, SYS_openat);
	load_arg(2);
	put(BPF_JMP | BPF_JSET | BPF_K, 0, 1, O_CREAT);
	TRACE;
	ALLOW;
	/* write to anything but the terminal */
	put(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, SYS_write);
	load_arg(0);
	put(BPF_JMP | BPF_JGT | BPF_K, 0, 1, 2);
	TRACE;
	ALLOW;
	/* ioctl of device mapper, loop (type 'L') and block devices (0x12) */
	put(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYS_ioctl);
	ALLOW;
	load_arg(1);
	put(BPF_ALU | BPF_RSH | BPF_K, 0, 0, 8);
	put(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xff);
	put(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'L');
	TRACE;
	put(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, 0x12);
	load_arg(1);
	put(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x1261); /* BLKFLSBUF; the others look */
	TRACE;
	ALLOW;
	put(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, DM_IOCTL);
	ALLOW;
	load_arg(1);
	put(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xff);
	for (size_t i = 0; i < COUNT(looks); i++) {
		put(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, looks[i]);
		ALLOW;
	}
	TRACE;
}

static void start(char **argv)
{
	const struct sock_fprog program = {.len = length, .filter = code};

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		die("ptrace");
	(void)raise(SIGSTOP);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		die("seccomp");
	(void)execvp(argv[0], argv);
	die(argv[0]);
}

/* -- the tracer ---------------------------------------------------------------------------- */

static bool is_main(pid_t pid)
{
	char path[64], line[128];
	int tgid = pid;

	if (pid == k.main)
		return true;
	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %d", &tgid) == 1)
			break;
	if (f)
		(void)fclose(f);
	return tgid == k.main;
}

static void describe(pid_t pid, char *out, size_t size)
{
	static const char *const dm[] = {"VERSION", "REMOVE_ALL", "LIST_DEVICES", "DEV_CREATE",
		"DEV_REMOVE", "DEV_RENAME", "DEV_SUSPEND", "DEV_STATUS", "DEV_WAIT", "TABLE_LOAD",
		"TABLE_CLEAR", "TABLE_DEPS", "TABLE_STATUS", "LIST_VERSIONS", "TARGET_MSG"};
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		die("registers");
	long nr = (long)regs.orig_rax;
	unsigned request = (unsigned)regs.rsi;
	(void)snprintf(out, size, "call %ld", nr);
	for (size_t i = 0; i < COUNT(calls); i++)
		if (calls[i].nr == nr)
			(void)snprintf(out, size, "%s", calls[i].name);
	if (nr == SYS_ioctl && (request >> 8 & 0xff) == DM_IOCTL && (request & 0xff) < COUNT(dm))
		(void)snprintf(out, size, "ioctl DM_%s", dm[request & 0xff]);
	else if (nr == SYS_ioctl)
		(void)snprintf(out, size, "ioctl 0x%x", request);
}

static void refuse(pid_t pid, int error)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		die("registers");
	regs.orig_rax = (unsigned long long)-1;
	regs.rax = (unsigned long long)-error;
	if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0)
		die("registers");
}

static void refuse_loop_configure(pid_t pid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		die("registers");
	if (regs.orig_rax == SYS_ioctl && (unsigned)regs.rsi == LOOP_CONFIGURE)
		refuse(pid, EINVAL);
}

/* The kernel never refuses these; the C library ends the process if it does. */
static bool cannot_fail(pid_t pid)
{
	static const long never[] = {SYS_futex, SYS_rt_sigreturn, SYS_rt_sigprocmask,
		SYS_rt_sigaction, SYS_exit, SYS_exit_group, SYS_getpid, SYS_gettid, SYS_getppid,
		SYS_sched_yield, SYS_set_robust_list, SYS_rseq, SYS_restart_syscall, SYS_munmap,
		SYS_madvise, SYS_geteuid, SYS_brk};
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		die("registers");
	for (size_t i = 0; i < COUNT(never); i++)
		if ((long)regs.orig_rax == never[i])
			return true;
	return false;
}

static void at_call(pid_t pid)
{
	const bool mine = is_main(pid);
	char what[64];

	if (k.killed || mine != (k.who == MAIN) || (k.error && cannot_fail(pid)))
		return;
	k.count++;
	describe(pid, what, sizeof(what));
	(void)fprintf(k.report, "%lu %s %s\n", k.count, mine ? "main" : "child", what);
	if (k.count != k.at)
		return;
	k.killed = true;
	if (k.error) {
		refuse(pid, k.error);
		return;
	}
	if (k.who != BOTH) {
		(void)kill(pid, SIGKILL);
		return;
	}
	for (size_t i = 0; i < k.pid_count; i++)
		(void)kill(k.pids[i], SIGKILL);
}

static bool is_new(pid_t pid)
{
	for (size_t i = 0; i < k.pid_count; i++)
		if (k.pids[i] == pid)
			return false;
	if (k.pid_count == COUNT(k.pids))
		exit(99);
	k.pids[k.pid_count++] = pid;
	return true;
}

static void forget(pid_t pid)
{
	for (size_t i = 0; i < k.pid_count; i++)
		if (k.pids[i] == pid)
			k.pids[i] = k.pids[--k.pid_count];
}

/* Until the last process is gone; a call of an abandoned one would fail with ENOSYS. */
static int trace(void)
{
	int result = 0, status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		long signal = 0;

		if (pid <= 0)
			continue;
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			forget(pid);
			if (pid == k.main)
				result = WIFEXITED(status) ? WEXITSTATUS(status)
							   : 128 + WTERMSIG(status);
			continue;
		}
		const bool fresh = is_new(pid);
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
			at_call(pid);
			if (k.is_old && !k.killed)
				refuse_loop_configure(pid);
		} else if (status >> 16 == 0 && !(fresh && WSTOPSIG(status) == SIGSTOP))
			signal = WSTOPSIG(status);
		(void)ptrace(PTRACE_CONT, pid, NULL, signal);
	}
	return result;
}

int main(int argc, char **argv)
{
	const char *report = NULL;

	for (int opt; (opt = getopt(argc, argv, "+axn:e:w:o:")) != -1;) {
		if (opt == 'a')
			k.every = true;
		else if (opt == 'x')
			k.is_old = true;
		else if (opt == 'n')
			k.at = strtoul(optarg, NULL, 10);
		else if (opt == 'e')
			k.error = (int)strtol(optarg, NULL, 10);
		else if (opt == 'w')
			k.who = strcmp(optarg, "child") == 0  ? CHILD
				: strcmp(optarg, "both") == 0 ? BOTH
							      : MAIN;
		else if (opt == 'o')
			report = optarg;
		else
			return 99;
	}
	if (optind >= argc || !report)
		return 99;
	k.report = fopen(report, "we");
	if (!k.report)
		die(report);
	build_filter();
	k.main = fork();
	if (k.main < 0)
		die("fork");
	if (k.main == 0)
		start(argv + optind);
	int status;
	if (waitpid(k.main, &status, 0) != k.main || !WIFSTOPPED(status))
		die("start");
	(void)is_new(k.main);
	if (ptrace(PTRACE_SETOPTIONS, k.main, NULL,
		    PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			    PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC) < 0 ||
		ptrace(PTRACE_CONT, k.main, NULL, NULL) < 0)
		die("trace");
	int result = trace();
	(void)fprintf(k.report, "%s\n", !k.killed ? "not reached" : k.error ? "failed" : "killed");
	return fclose(k.report) == 0 ? result : 99;
}
