/* SPDX-License-Identifier: Apache-2.0 */
#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "scope.h"

static size_t read_proc(const char *pid, const char *file, char *buf, size_t size)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "/proc/%s/%s", pid, file);
	AUTO_FCLOSE FILE *f = fopen(path, "re");
	size_t n = f ? fread(buf, 1, size - 1, f) : 0;
	buf[n] = '\0';
	return n;
}

static bool has_argument(const char *args, size_t len, const char *wanted)
{
	for (size_t at = 0; at < len; at += strlen(args + at) + 1)
		if (strcmp(args + at, wanted) == 0)
			return true;
	return false;
}

bool proc_find_docker(char *buf, size_t size, size_t *ret_len)
{
	AUTO_DIR DIR *proc = opendir("/proc");
	const struct dirent *d;

	while (proc && (d = readdir(proc))) {
		char comm[32], args[4096];

		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		(void)read_proc(d->d_name, "comm", comm, sizeof(comm));
		if (strncmp(comm, "docker", 6) != 0)
			continue;
		size_t len = read_proc(d->d_name, "cmdline", args, sizeof(args));
		if (strncmp(comm, "dockerd", 7) != 0 && !has_argument(args, len, "daemon") &&
			!has_argument(args, len, "-d"))
			continue;
		if (buf) {
			*ret_len = len < size ? len : size;
			memcpy(buf, args, *ret_len);
		}
		return true;
	}
	return false;
}
