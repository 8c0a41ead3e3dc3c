/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one const table of commands and one of options, from which help, the man page
 * and completion are printed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "str.h"

struct cli {
	const char *config;                           /* path */
	const char *to;                               /* folder, or file of export */
	const char *into;                             /* container of restore */
	const char *thin_id, *size, *metadata, *data; /* of export */
	const char *root, *store;                     /* of salvage */
	char **excluded;                              /* of salvage */
	size_t excluded_count;
	bool dry_run, json, help, resume, usage, deep, no_devices, read_write, keep, drop;
	char **args; /* behind the command */
	size_t arg_count;
};

struct command {
	const char *name;
	int (*run)(const struct cli *c);
	const char *args; /* for the synopsis */
	size_t max_args;
	const char *help;
};

struct option_row {
	char letter; /* '\0': it has only a long name */
	const char *name, *arg, *help;
};

extern const struct command commands[];       /* ends with a NULL name */
extern const struct option_row option_rows[]; /* ends with a NULL name */

int command_main(int argc, char **argv);
int cmd_doc(const struct cli *c);
