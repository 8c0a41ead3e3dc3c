/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel tells as text: status and table lines, log records; and the probe of a file
 * system.  The first byte chooses which.  dm.c is left out: here its functions give the input.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "damage.h"
#include "pool.h"
#include "view.h"
#include "watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char line[2048];

int dmdev_each(dmdev_fn *fn, void *arg, struct err *e)
{
	const struct dmdev_info info = {.exists = true, .major = 253};
	const struct dmdev_target thin = {8, "thin", line}, pool = {8, "thin-pool", line};
	int r = fn(arg, "docker-8:1-5-pool", &info, &pool, e);

	return r ? r : fn(arg, "docker-8:1-5-x", &info, &thin, e);
}

int dmdev_each_name(dmdev_name_fn *fn, void *arg, struct err *e)
{
	return fn(arg, line, e);
}

int dmdev_status(const char *name, char *ret, size_t size, struct err *e)
{
	(void)name;
	(void)e;
	(void)snprintf(ret, size, "%s", line);
	return 0;
}

int dmdev_create(const char *name, const char *uuid, const struct dmdev_target *t, bool read_only,
	bool is_private, struct dmdev_info *ret, struct err *e)
{
	(void)uuid;
	(void)read_only;
	(void)is_private;
	*ret = (struct dmdev_info){0};
	return err_set(e, ERR_FATAL, -ENODATA, "%s %s", name, t->params);
}

int dmdev_remove(const char *name, struct err *e)
{
	/* Only names of probes reach this. */
	(void)e;
	if (strncmp(name, "thinark-probe-", 14) != 0)
		abort();
	return 0;
}

int dmdev_node(unsigned major, unsigned minor, char ret[64], struct err *e)
{
	(void)snprintf(ret, 64, "/dev/%u-%u", major, minor);
	return err_set(e, ERR_FATAL, -ENODEV, "%s", ret);
}

static void tables(void)
{
	struct pool_ref ref = {
		.dm_name = (char *)"docker-8:1-5-pool", .device_name = (char *)"docker-8:1-5-y"};
	struct pool pool = {.major = 253};
	char names[2][DM_NAME_MAX];
	struct err e = {0};
	uint64_t mapped;
	int n = pool_find_thin(&pool, 4, names, 2, &e);

	if (n > 2)
		abort();
	(void)pool_find(&ref, &pool, &e);
	(void)pool_drop_probes(&e);
	if (pool_thin_mapped("x", &mapped, &e) == 0 && mapped % 512 != 0)
		abort();
}

static void status(void)
{
	struct pool pool = {.name = "p", .limits = {10, 10}};
	struct pool_status s;
	struct err e = {0};

	if (pool_status_parse(line, &s, &e) < 0)
		return;
	/* More used than there is would pass every limit. */
	if (s.data_used > s.data_total || s.meta_used > s.meta_total)
		abort();
	(void)pool_guard(&pool, &e);
	(void)watch_judge(&pool, &s, 1e9, &e);
}

static void probe(const uint8_t *data, size_t size)
{
	static int fd = -1;
	char path[64];
	const char *type = NULL;
	struct err e = {0};

	if (fd < 0)
		fd = memfd_create("image", 0);
	if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (view_probe(path, &type, &e) == 0 && strcmp(type, "xfs") != 0 &&
		strcmp(type, "ext4") != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[64];

	if (!size)
		return 0;
	const size_t len = size - 1 < sizeof(line) - 1 ? size - 1 : sizeof(line) - 1;
	memcpy(line, data + 1, len);
	line[len] = '\0';
	switch (data[0]) {
	case 's':
		status();
		break;
	case 't':
		tables();
		break;
	case 'k':
		if (damage_is_about(line, "dm-7", text, sizeof(text)) && strlen(text) > 63)
			abort();
		break;
	case 'f':
		probe(data + 1, size - 1);
		break;
	default:
		break;
	}
	return 0;
}
