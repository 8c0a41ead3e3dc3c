/* SPDX-License-Identifier: Apache-2.0 */
#include "fscheck.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "program.h"
#include "scope.h"
#include "str.h"

#define TIMEOUT_MS (4u * 3600 * 1000)

static const struct checker {
	const char *type, *program, *option, *command;
} checkers[] = {
	{"ext4", "e2fsck", "-fn", "e2fsck -fn"},
	{"xfs", "xfs_repair", "-n", "xfs_repair -n"},
};

bool fscheck_is_finding(const char *line, size_t len)
{
	/* What both print of a sound file system: headings, steps (indented by xfs_repair), a
	 * summary of numbers. */
	static const char *const chat[] = {
		"Pass ", "Phase ", "e2fsck ", "No modify flag", "Warning"};

	if (len == 0 || isspace((unsigned char)line[0]))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(chat); i++)
		if (len >= strlen(chat[i]) && memcmp(line, chat[i], strlen(chat[i])) == 0)
			return false;
	return true;
}

static void take_line(void *arg, const char *text, size_t len)
{
	struct fscheck *c = arg;

	if (!c->finding[0] && fscheck_is_finding(text, len))
		(void)str_escape(text, len, c->finding, sizeof(c->finding));
}

static bool find_program(const char *name, char *ret, size_t size)
{
	static const char *const folders[] = {"/usr/sbin", "/sbin", "/usr/bin", "/bin"};

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		(void)snprintf(ret, size, "%s/%s", folders[i], name);
		if (access(ret, X_OK) == 0)
			return true;
	}
	return false;
}

int fscheck_run(const char *node, const char *type, struct fscheck *ret, struct err *e)
{
	static char *const env[] = {(char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		(char *)(uintptr_t) "LC_ALL=C", NULL};
	const struct checker *k = NULL;
	struct program_result result;
	char path[64];

	*ret = (struct fscheck){.code = -1};
	for (size_t i = 0; i < ARRAY_LEN(checkers); i++)
		if (strcmp(checkers[i].type, type) == 0)
			k = &checkers[i];
	if (!k || !find_program(k->program, path, sizeof(path)))
		return 0;
	char *const argv[] = {path, (char *)(uintptr_t)k->option, (char *)(uintptr_t)node, NULL};
	const struct program p = {
		.argv = argv, .env = env, .timeout_ms = TIMEOUT_MS, .line = take_line, .arg = ret};
	ret->command = k->command;
	int r = program_run(&p, &result, e);
	if (r < 0)
		return err_add(e, "%s", k->command);
	if (result.end == PROGRAM_EXITED)
		ret->code = result.code;
	ret->is_sound = ret->code == 0;
	/* Of a sound one the numbers at the end may look like a finding. */
	if (ret->is_sound)
		ret->finding[0] = '\0';
	return 0;
}
