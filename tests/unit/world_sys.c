/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of the program, by the linker's --wrap: each may fail. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "view.h"
#include "world.h"

struct world *world;
static _Thread_local bool is_main_thread;

void world_init(void)
{
	world = mmap(
		NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (world == MAP_FAILED)
		abort();
	is_main_thread = true; /* inherited by children */
}

const char *op_name(enum op kind)
{
	static const char *const names[OP_COUNT] = {"open", "folder", "stat", "read", "xattr",
		"write", "fsync", "close", "rename", "link", "unlink", "mkdir", "fcntl", "lock",
		"memory", "fork", "mount", "unmount", "dm", "ioctl"};

	return names[kind];
}

bool op_has_effect(enum op kind)
{
	return kind == OP_READ || kind == OP_WRITE || kind == OP_RENAME || kind == OP_LINK ||
	       kind == OP_UNLINK || kind == OP_MKDIR || kind == OP_MOUNT || kind == OP_UNMOUNT ||
	       kind == OP_DM || kind == OP_IOCTL || kind == OP_SYNC || kind == OP_OPEN ||
	       kind == OP_LOCK;
}

void violation(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!world->violation[0])
		(void)vsnprintf(world->violation, sizeof(world->violation), fmt, ap);
	va_end(ap);
}

static int pick_error(enum op kind)
{
	static const int errors[] = {EIO, ENOSPC, ENOMEM, EBUSY, EDQUOT, EINTR};
	/* A loop around a call that is interrupted for ever would be right. */
	const unsigned count = world->mode == FAULT_KIND ? 5 : 6;

	if (kind == OP_MEMORY)
		return ENOMEM;
	if (kind == OP_RENAME && (world->fail_at + world->pass) % 2)
		return EINVAL; /* "not supported here" */
	return errors[(world->fail_at + world->pass) % count];
}

static bool is_armed(void)
{
	return world && world->armed;
}

/* Operations of the watching thread come at any time. */
static bool is_counted(void)
{
	return is_armed() && is_main_thread;
}

static void shoot(bool in_child)
{
	if (in_child && world->mode != FAULT_KILL)
		(void)kill(world->main_pid, SIGKILL);
	if (!in_child || world->mode != FAULT_PARENT) {
		(void)kill(getpid(), SIGKILL);
		for (;;)
			(void)pause();
	}
}

bool fault(enum op kind)
{
	if (!is_counted())
		return false;
	world->late = false;
	const unsigned n = __atomic_add_fetch(&world->ops, 1, __ATOMIC_SEQ_CST);
	const bool in_child = getpid() != world->main_pid;
	const bool hit = world->mode != FAULT_NONE && n == world->fail_at;

	if (n < WORLD_OPS) {
		world->kinds[n] = (unsigned char)kind;
		world->child_op[n] = in_child;
	}
	if (hit) {
		world->kind = kind;
		world->error = pick_error(kind);
		world->in_child = in_child;
		world->in_batch = world->lists >= 2;
	}
	if (!hit && !(world->mode == FAULT_KIND && world->fired && kind == world->kind))
		return false;
	world->fired++;
	if (world->mode == FAULT_LATE) {
		world->late = true;
		return false;
	}
	if (world->mode >= FAULT_KILL) {
		shoot(in_child);
		return false;
	}
	errno = world->error;
	return true;
}

bool fault_late(void)
{
	if (!is_counted() || !world->late)
		return false;
	world->late = false;
	errno = world->error;
	return true;
}

#define WRAP(ret, name, ...)                                                                       \
	ret __real_##name(__VA_ARGS__);                                                            \
	ret __wrap_##name(__VA_ARGS__);                                                            \
	ret __wrap_##name(__VA_ARGS__)

/* Result of a call with effect, which may have to fail behind it. */
static int late(int rc)
{
	return rc == 0 && fault_late() ? -1 : rc;
}

static int late_fd(int fd)
{
	if (fd >= 0 && fault_late()) {
		int keep = errno;

		(void)close(fd);
		errno = keep;
		return -1;
	}
	return fd;
}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & O_CREAT ? va_arg(ap, mode_t) : 0;
}

WRAP(int, open64, const char *path, int flags, ...)
{
	char real[128];
	va_list ap;

	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	if (fault(OP_OPEN))
		return -1;
	return late_fd(__real_open64(is_armed() ? model_node(path, real) : path, flags, mode));
}

/* What open becomes with flags that the compiler does not know. */
WRAP(int, __open64_2, const char *path, int flags)
{
	char real[128];

	if (fault(OP_OPEN))
		return -1;
	return late_fd(__real___open64_2(is_armed() ? model_node(path, real) : path, flags));
}

WRAP(int, openat64, int dir, const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	return fault(OP_OPEN) ? -1 : late_fd(__real_openat64(dir, path, flags, mode));
}

WRAP(int, __openat64_2, int dir, const char *path, int flags)
{
	return fault(OP_OPEN) ? -1 : late_fd(__real_openat64(dir, path, flags));
}

WRAP(int, setpriority, int which, unsigned who, int nice)
{
	(void)__real_setpriority;
	return which == 0 && who == 0 && nice < 20 ? 0 : -1;
}

WRAP(int, fanotify_init, unsigned flags, unsigned event_flags)
{
	(void)__real_fanotify_init;
	errno = ENOSYS;
	return flags || event_flags ? -1 : -2;
}

WRAP(long, syscall, long number, ...)
{
	long a[4];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_getdents64)
		return fault(OP_READ) ? -1 : __real_syscall(number, a[0], a[1], a[2], a[3]);
	if (number != SYS_openat2)
		return 0;
	return fault(OP_OPEN) ? -1 : late_fd((int)__real_syscall(number, a[0], a[1], a[2], a[3]));
}

WRAP(FILE *, fopen64, const char *path, const char *mode)
{
	char real[128];

	if (fault(OP_OPEN))
		return NULL;
	FILE *f = __real_fopen64(is_armed() ? model_node(path, real) : path, mode);
	if (f && fault_late()) {
		(void)fclose(f);
		return NULL;
	}
	return f;
}

WRAP(DIR *, opendir, const char *path)
{
	char real[128];

	if (fault(OP_FOLDER))
		return NULL;
	return __real_opendir(is_armed() ? model_node(path, real) : path);
}

WRAP(DIR *, fdopendir, int fd)
{
	return fault(OP_FOLDER) ? NULL : __real_fdopendir(fd);
}

WRAP(struct dirent *, readdir64, DIR *d)
{
	return fault(OP_FOLDER) ? NULL : (void *)__real_readdir64(d);
}

WRAP(int, scandirat64, int dir, const char *path, struct dirent ***list,
	int (*filter)(const struct dirent *),
	int (*order)(const struct dirent **, const struct dirent **))
{
	return fault(OP_FOLDER) ? -1 : __real_scandirat64(dir, path, list, filter, order);
}

WRAP(int, fstat64, int fd, struct stat *st)
{
	struct stat loop;

	if (fault(OP_STAT))
		return -1;
	int rc = __real_fstat64(fd, st);
	for (unsigned i = 0; rc == 0 && is_armed() && i < 2; i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), WORLD_DIR "/loop%u", i);
		if (lstat(path, &loop) == 0 && loop.st_ino == st->st_ino &&
			loop.st_dev == st->st_dev) {
			st->st_mode = S_IFBLK | 0600;
			st->st_rdev = makedev(7, i);
		}
	}
	return rc;
}

WRAP(int, fstatat64, int dir, const char *path, struct stat *st, int flags)
{
	return fault(OP_STAT) ? -1 : __real_fstatat64(dir, path, st, flags);
}

WRAP(int, stat64, const char *path, struct stat *st)
{
	return fault(OP_STAT) ? -1 : __real_stat64(path, st);
}

WRAP(int, fstatfs64, int fd, void *st)
{
	return fault(OP_STAT) ? -1 : __real_fstatfs64(fd, st);
}

/* A short one is no failure. */
static size_t shorter(size_t len)
{
	return fault_late() && len > 1 ? len / 2 : len;
}

WRAP(ssize_t, read, int fd, void *buf, size_t len)
{
	return fault(OP_READ) ? -1 : __real_read(fd, buf, shorter(len));
}

WRAP(ssize_t, pread64, int fd, void *buf, size_t len, off_t at)
{
	return fault(OP_READ) ? -1 : __real_pread64(fd, buf, shorter(len), at);
}

WRAP(ssize_t, readlinkat, int dir, const char *path, char *buf, size_t len)
{
	return fault(OP_XATTR) ? -1 : __real_readlinkat(dir, path, buf, len);
}

WRAP(ssize_t, flistxattr, int fd, char *list, size_t len)
{
	return fault(OP_XATTR) ? -1 : __real_flistxattr(fd, list, len);
}

WRAP(ssize_t, llistxattr, const char *path, char *list, size_t len)
{
	return fault(OP_XATTR) ? -1 : __real_llistxattr(path, list, len);
}

WRAP(ssize_t, fgetxattr, int fd, const char *name, void *value, size_t len)
{
	return fault(OP_XATTR) ? -1 : __real_fgetxattr(fd, name, value, len);
}

WRAP(ssize_t, lgetxattr, const char *path, const char *name, void *value, size_t len)
{
	return fault(OP_XATTR) ? -1 : __real_lgetxattr(path, name, value, len);
}

WRAP(ssize_t, write, int fd, const void *data, size_t len)
{
	return fault(OP_WRITE) ? -1 : __real_write(fd, data, shorter(len));
}

WRAP(ssize_t, pwrite64, int fd, const void *data, size_t len, off_t at)
{
	return fault(OP_WRITE) ? -1 : __real_pwrite64(fd, data, shorter(len), at);
}

WRAP(int, ftruncate64, int fd, off_t len)
{
	if (fault(OP_WRITE))
		return -1;
	(void)fault_late();
	return __real_ftruncate64(fd, len);
}

WRAP(int, fsync, int fd)
{
	return fault(OP_SYNC) ? -1 : late(__real_fsync(fd));
}

/* As Linux does: the descriptor is closed in any case. */
WRAP(int, close, int fd)
{
	bool fails = fault(OP_CLOSE);
	int keep = errno, rc = __real_close(fd);

	errno = fails ? keep : errno;
	return fails ? -1 : rc;
}

WRAP(int, renameat, int from, const char *a, int to, const char *b)
{
	return fault(OP_RENAME) ? -1 : late(__real_renameat(from, a, to, b));
}

WRAP(int, renameat2, int from, const char *a, int to, const char *b, unsigned flags)
{
	return fault(OP_RENAME) ? -1 : late(__real_renameat2(from, a, to, b, flags));
}

WRAP(int, linkat, int from, const char *a, int to, const char *b, int flags)
{
	return fault(OP_LINK) ? -1 : late(__real_linkat(from, a, to, b, flags));
}

WRAP(int, unlinkat, int dir, const char *path, int flags)
{
	return fault(OP_UNLINK) ? -1 : late(__real_unlinkat(dir, path, flags));
}

WRAP(int, mkdir, const char *path, mode_t mode)
{
	return fault(OP_MKDIR) ? -1 : late(__real_mkdir(path, mode));
}

WRAP(int, mkdirat, int dir, const char *path, mode_t mode)
{
	return fault(OP_MKDIR) ? -1 : late(__real_mkdirat(dir, path, mode));
}

WRAP(int, fcntl64, int fd, int what, ...)
{
	va_list ap;

	va_start(ap, what);
	long arg = va_arg(ap, long);
	va_end(ap);
	return fault(OP_FCNTL) ? -1 : __real_fcntl64(fd, what, arg);
}

WRAP(int, flock, int fd, int how)
{
	return fault(OP_LOCK) ? -1 : late(__real_flock(fd, how));
}

WRAP(ssize_t, getrandom, void *buf, size_t len, unsigned flags)
{
	return fault(OP_READ) ? -1 : __real_getrandom(buf, shorter(len), flags);
}

WRAP(void *, malloc, size_t n)
{
	return fault(OP_MEMORY) ? NULL : __real_malloc(n);
}

WRAP(void *, calloc, size_t n, size_t size)
{
	return fault(OP_MEMORY) ? NULL : __real_calloc(n, size);
}

WRAP(void *, realloc, void *p, size_t n)
{
	return fault(OP_MEMORY) ? NULL : __real_realloc(p, n);
}

WRAP(void *, reallocarray, void *p, size_t n, size_t size)
{
	return fault(OP_MEMORY) ? NULL : __real_reallocarray(p, n, size);
}

WRAP(int, pthread_create, pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	return fault(OP_FORK) ? errno : __real_pthread_create(t, attr, fn, arg);
}

WRAP(char *, strdup, const char *s)
{
	return fault(OP_MEMORY) ? NULL : __real_strdup(s);
}

WRAP(char *, strndup, const char *s, size_t n)
{
	return fault(OP_MEMORY) ? NULL : __real_strndup(s, n);
}

WRAP(void *, mmap64, void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	return fault(OP_MEMORY) ? MAP_FAILED : __real_mmap64(at, len, prot, flags, fd, off);
}

WRAP(pid_t, fork, void)
{
	return fault(OP_FORK) ? -1 : __real_fork();
}

WRAP(int, ioctl, int fd, unsigned long what, ...)
{
	va_list ap;

	va_start(ap, what);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	if (fault(OP_IOCTL))
		return -1;
	int rc = is_armed() ? model_ioctl(fd, what, arg) : __real_ioctl(fd, what, arg);
	return fault_late() && rc >= 0 ? -1 : rc;
}

WRAP(int, mlockall, int flags)
{
	(void)__real_mlockall;
	return flags ? 0 : -1;
}

WRAP(int, unshare, int flags)
{
	/* The test's own namespace is a real one. */
	if (!is_armed())
		return __real_unshare(flags);
	return fault(OP_MOUNT) || !flags || fault_late() ? -1 : 0;
}

/* Only the propagation is set so. */
WRAP(int, mount, const char *what, const char *at, const char *type, unsigned long flags,
	const void *data)
{
	if (!is_armed())
		return __real_mount(what, at, type, flags, data);
	return fault(OP_MOUNT) || !(flags & MS_SLAVE) || fault_late() ? -1 : 0;
}

WRAP(int, umount2, const char *at, int flags)
{
	(void)__real_umount2;
	if (fault(OP_UNMOUNT))
		return -1;
	if (strcmp(at, VIEW_DIR) != 0 || !(flags & UMOUNT_NOFOLLOW))
		violation("unmount of %s", at);
	if (!world->m.view_count) {
		errno = EINVAL;
		return -1;
	}
	model_unmount();
	return late(0);
}

/* Waits of the program cost no time; those for the suspender's end must let it run. */
WRAP(void, clock_sleep_ms, unsigned ms)
{
	const struct timespec ts = {.tv_nsec = 100000};

	(void)__real_clock_sleep_ms;
	if (ms <= 5)
		(void)nanosleep(&ts, NULL);
}
