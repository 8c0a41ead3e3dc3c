/* SPDX-License-Identifier: Apache-2.0 */
#include "world_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger.h"
#include "run.h"
#include "scope.h"
#include "store.h"
#include "thinmeta.h"
#include "world.h"

struct cfg fixture_cfg;
bool fixture_is_apart;
struct model fixture_initial;

void fixture_put(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

void fixture_put_text(const char *text, const char *fmt, ...)
{
	char path[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
		*p = '/';
	}
	fixture_put(path, text, strlen(text));
}

static void make_container(char digit, unsigned thin)
{
	char id[65] = {0}, text[512];

	memset(id, digit, 64);
	(void)snprintf(text, sizeof(text),
		"{\"ID\":\"%s\",\"Name\":\"/%c\",\"Driver\":\"devicemapper\"}", id, digit);
	fixture_put_text(text, WORLD_ROOT "/containers/%s/config.v2.json", id);
	fixture_put_text("{}", WORLD_ROOT "/containers/%s/hostconfig.json", id);
	fixture_put_text(id, WORLD_ROOT "/image/devicemapper/layerdb/mounts/%s/mount-id", id);
	(void)snprintf(text, sizeof(text), "{\"device_id\":%u,\"size\":1073741824}", thin);
	fixture_put_text(text, WORLD_ROOT "/devicemapper/metadata/%s", id);
}

static void make_trees(void)
{
	static char big[60000];
	const int size = (int)sizeof(big);

	for (int i = 0; i < size; i++)
		big[i] = (char)(i * 7 + i / 255);
	fixture_put_text("root:x:0:0\n", WORLD_DIR "/image-4.tree/rootfs/etc/passwd");
	fixture_put(WORLD_DIR "/image-4.tree/rootfs/big", big, sizeof(big));
	fixture_put_text("y", WORLD_DIR "/image-4.tree/rootfs/usr/share/doc/y");
	assert_int_equal(symlink("big", WORLD_DIR "/image-4.tree/rootfs/link"), 0);
	assert_int_equal(
		link(WORLD_DIR "/image-4.tree/rootfs/big", WORLD_DIR "/image-4.tree/rootfs/hard"),
		0);
	assert_int_equal(mkfifo(WORLD_DIR "/image-4.tree/rootfs/fifo", 0600), 0);
	/* Inside a user namespace there may be none. */
	(void)setxattr(WORLD_DIR "/image-4.tree/rootfs/big", "trusted.t", "1", 1, 0);
	fixture_put_text("x", WORLD_DIR "/image-5.tree/rootfs/x");
}

/* Superblocks: what view_probe and thinmeta look at. */
static void make_images(void)
{
	uint8_t b[THINMETA_BLOCK] = {0};

	b[0x438] = 0x53;
	b[0x439] = 0xEF;
	fixture_put(WORLD_DIR "/image-4", b, sizeof(b));
	memset(b, 0, sizeof(b));
	memcpy(b, "XFSB", 4);
	fixture_put(WORLD_DIR "/image-5", b, sizeof(b));
	memset(b, 0, sizeof(b));
	const uint32_t magic = 27022010;
	const uint32_t version = 2, sectors = 128;
	const uint64_t blocks = 4096, meta = 16;
	memcpy(b + 32, &magic, 4);
	memcpy(b + 40, &version, 4);
	memcpy(b + 64, &blocks, 8);
	memcpy(b + 192, &meta, 8);
	memcpy(b + 336, &sectors, 4);
	const uint32_t sum = ~thinmeta_crc32c(b + 4, sizeof(b) - 4) ^ 160774u;
	memcpy(b, &sum, 4);
	fixture_put(WORLD_DIR "/superblock", b, sizeof(b));
}

static void write_map(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail_msg("%s: %s", file, strerror(errno));
	(void)close(fd);
}

static void enter_namespace(void)
{
	const unsigned uid = geteuid(), gid = getegid();
	char map[64], before[64] = "", after[64] = "";

	assert_true(readlink("/proc/self/ns/mnt", before, sizeof(before) - 1) > 0);
	if (unshare(CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0)) < 0)
		fail_msg("needs root or user namespaces: %s", strerror(errno));
	if (uid) {
		write_map("/proc/self/setgroups", "deny");
		(void)snprintf(map, sizeof(map), "0 %u 1", uid);
		write_map("/proc/self/uid_map", map);
		(void)snprintf(map, sizeof(map), "0 %u 1", gid);
		write_map("/proc/self/gid_map", map);
	}
	/* What follows must never reach the host: no mount before this is certain. */
	assert_true(readlink("/proc/self/ns/mnt", after, sizeof(after) - 1) > 0);
	if (strcmp(before, after) == 0)
		fail_msg("still in the host's mount namespace");
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("tmpfs", "/var/lib", "tmpfs", 0, NULL), 0);
	assert_int_equal(mount("tmpfs", "/run", "tmpfs", 0, NULL), 0);
	fixture_is_apart = true;
}

int fixture_setup(void **state)
{
	static const char yaml[] =
		"stores:\n  - {name: docker, type: docker, root: " WORLD_ROOT "}\n"
		"destinations:\n  - {name: local, type: directory, path: " WORLD_DEST "}\n"
		"jobs:\n  - name: all\n    stores: [docker]\n"
		"    destination: local\n"
		"    archive_name_format: \"{container}/{time}\"\n"
		"    compression: zstd,1\n";
	AUTO_STRBUF mistakes = {0};
	struct err e;

	(void)state;
	world_init();
	enter_namespace();
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	fixture_put_text("", WORLD_DIR "/proc/none");
	fixture_put_text("", WORLD_DIR "/loop0");
	fixture_put_text("", WORLD_DIR "/loop1");
	for (int i = 0; i < 64; i++) {
		char line[64];

		(void)snprintf(line, sizeof(line), "MAJOR=253\nDEVNAME=model-%d\n", i);
		fixture_put_text(line, WORLD_DIR "/uevent-%d", i);
	}
	make_container('a', 4);
	make_container('b', 5);
	make_trees();
	make_images();
	assert_int_equal(mkdir(WORLD_DEST, 0700), 0);
	return cfg_load(yaml, sizeof(yaml) - 1, "yaml", &fixture_cfg, &mistakes, &e);
}

/* Reads a whole file; "" if there is none. */
const char *fixture_text(const char *path)
{
	static char text[1 << 16];
	FILE *f = fopen(path, "r");
	size_t len = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[len] = '\0';
	if (f)
		(void)fclose(f);
	return text;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	return at->level ? remove(path) : 0;
}

void fixture_wipe(const char *path)
{
	assert_true(fixture_is_apart);
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int count_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		(void)closedir(d);
	return n;
}

static void main_process(int (*what)(const struct run_options *), bool armed)
{
	const struct run_options o = {.cfg = &fixture_cfg, .usage = true};

	if (!freopen(FIXTURE_LOG, "w", stderr) || !freopen(FIXTURE_OUT, "w", stdout))
		_exit(1);
	(void)alarm(30);
	world->main_pid = getpid();
	world->fds_before = count_open();
	if (!armed)
		world->mode = FAULT_NONE;
	world->armed = true;
	world->code = what(&o);
	world->armed = false;
	world->fds_after = count_open();
	world->was_mounted = world->m.view_count > 0;
	world->ended = true;
	exit(0);
}

/* Runs it in a process of its own and waits for all that it leaves behind. */
int fixture_run(int (*what)(const struct run_options *), bool armed)
{
	const enum fault_mode mode = world->mode;
	int status = 0, other;

	world->ended = false;
	world->code = -1;
	world->lists = 0;
	world->late = false;
	world->ops = 0;
	(void)fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		main_process(what, armed);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	while (waitpid(-1, &other, 0) > 0)
		continue;
	world->armed = false;
	world->mode = mode;
	while (world->m.view_count) /* its namespace is gone */
		model_unmount();
	return status;
}

/* All of the ledger in one text. */
const char *fixture_ledger(void)
{
	static char all[8192];
	DIR *d = opendir(LEDGER_STATE_DIR "/ledger");

	all[0] = '\0';
	for (const struct dirent *x; d && (x = readdir(d));) {
		char path[512];

		(void)snprintf(path, sizeof(path), LEDGER_STATE_DIR "/ledger/%s", x->d_name);
		if (x->d_name[0] != '.')
			(void)strncat(all, fixture_text(path), sizeof(all) - strlen(all) - 1);
	}
	if (d)
		(void)closedir(d);
	return all;
}

void fixture_pool(void)
{
	char name[160];
	struct container_list list = {0};
	AUTO_STRBUF notes = {0};
	struct err e;

	memset(&world->m, 0, sizeof(world->m));
	assert_int_equal(store_docker.list(&fixture_cfg.stores[0], &list, &notes, &e), 0);
	assert_int_equal(list.count, 2);
	(void)snprintf(name, sizeof(name), "%s", list.items[0].pool.dm_name);
	(void)model_add(name, "thin-pool", "253:40 253:41 128 1024 1 skip_block_zeroing", 1 << 21);
	/* a runs, b does not */
	(void)model_add(list.items[0].pool.device_name, "thin", "253:0 4", 1 << 21);
	model_add_id(4, 4);
	model_add_id(5, 5);
	fixture_initial = world->m;
	container_list_done(&list);
}

/* The world as the scenario has it, and the fault that is to come. */
void fixture_reset(enum fault_mode mode, unsigned n, unsigned pass)
{
	fixture_wipe(WORLD_DEST);
	fixture_wipe("/var/lib/thinark");
	fixture_wipe("/run/thinark");
	(void)rmdir("/var/lib/thinark");
	(void)rmdir("/run/thinark");
	world->m = fixture_initial;
	model_commit();
	world->mode = mode;
	world->fail_at = n;
	world->pass = pass;
	world->fired = 0;
	world->violation[0] = '\0';
}
