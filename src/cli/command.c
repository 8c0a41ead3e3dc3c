/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "log.h"
#include "run.h"
#include "scope.h"

#define CONFIG_PATH "/etc/thinark/thinark.yaml"

const struct option_row option_rows[] = {
	{'c', "config", "FILE", "Read FILE, not " CONFIG_PATH},
	{'n', "dry-run", NULL, "Show what would be done, change nothing"},
	{'j', "json", NULL, "Print one JSON object a line on standard output"},
	{'r', "resume", NULL, "With recover: resume what is suspended, at once"},
	{'v', "verbose", NULL, "Log details"},
	{'q', "quiet", NULL, "Log warnings and errors only"},
	{0, "to", "PATH", "restore, salvage: the folder; export: the image"},
	{0, "into", "NAME", "restore: the own device of this stopped container"},
	{0, "keep-snapshot", NULL, "restore --into: always keep the state before"},
	{0, "drop", NULL, "rollback: give the state before up, change nothing"},
	{0, "usage", NULL, "ps: also what would be free without the container"},
	{0, "no-devices", NULL, "restore: leave device nodes out"},
	{0, "deep", NULL, "verify: decode everything too"},
	{0, "rw", NULL, "mount: the own device, writable; it must not be in use"},
	{0, "thin-id", "N", "export: the thin device, instead of a container"},
	{0, "metadata", "FILE", "export, salvage: the pool's metadata, file or device"},
	{0, "data", "FILE", "export, salvage: the pool's data"},
	{0, "size", "N", "export: bytes of the image; else up to the last block"},
	{0, "root", "DIR", "salvage: state folder, or disk with it"},
	{0, "store", "TYPE", "salvage: docker, containerd or podman; else found"},
	{0, "exclude", "NAME", "salvage: leave these out; may be repeated"},
	{'h', "help", NULL, "Show help"},
	{'V', "version", NULL, "Show the version"},
	{0, NULL, NULL, NULL},
};

enum {
	OPTION_TO = 256,
	OPTION_INTO,
	OPTION_KEEP,
	OPTION_DROP,
	OPTION_USAGE,
	OPTION_NO_DEVICES,
	OPTION_DEEP,
	OPTION_RW,
	OPTION_THIN_ID,
	OPTION_METADATA,
	OPTION_DATA,
	OPTION_SIZE,
	OPTION_ROOT,
	OPTION_STORE,
	OPTION_EXCLUDE
};

static int read_config(const char *path, char **ret, size_t *ret_len, struct err *e)
{
	AUTO_CLOSE int fd = -1;
	size_t len = 0;
	int r = file_open_trusted(path, &fd, e);

	if (r < 0)
		return err_add(e, "configuration");
	AUTO_FREE char *text = malloc(CFG_FILE_MAX + 2);
	if (!text)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", path);
	for (ssize_t n = 1; n > 0 && len <= CFG_FILE_MAX; len += (size_t)n) {
		n = read(fd, text + len, CFG_FILE_MAX + 1 - len);
		if (n < 0)
			return err_sys(e, ERR_CONFIG, -errno, "%s", path);
	}
	*ret_len = len;
	*ret = TAKE_PTR(text);
	return 0;
}

static int usage(const struct cli *c, const char *fmt, const char *what)
{
	struct err e = {0};

	(void)err_set(&e, ERR_USAGE, -EINVAL, fmt, what);
	(void)fprintf(stderr, "thinark: %s\nTry 'thinark --help'.\n", e.text);
	if (c->json) {
		AUTO_STRBUF b = {0};

		strbuf_json(&b, e.text);
		(void)printf("{\"v\":1,\"type\":\"error\",\"code\":2,\"message\":%s}\n",
			b.data ? b.data : "\"\"");
	}
	return EXIT_USAGE;
}

/* 0, or the exit code: what is wrong was reported then. */
static int load_config(const struct cli *c, struct cfg *cfg)
{
	AUTO_FREE char *text = NULL;
	AUTO_STRBUF mistakes = {0};
	size_t len = 0;
	struct err e = {0};
	int r = read_config(c->config, &text, &len, &e);

	if (r == 0)
		r = cfg_load(text, len, c->config, cfg, &mistakes, &e);
	if (r < 0) {
		if (mistakes.data)
			(void)fputs(mistakes.data, stderr);
		log_error("%s", e.text);
		if (c->json) {
			AUTO_STRBUF b = {0};

			strbuf_printf(&b, "{\"v\":1,\"type\":\"error\",\"code\":%d,\"message\":",
				err_exit_code(e.kind));
			strbuf_json(&b, mistakes.data ? mistakes.data : e.text);
			(void)printf("%s}\n", b.data ? b.data : "{");
		}
		return err_exit_code(e.kind);
	}
	return EXIT_GOOD;
}

static int with_config(const struct cli *c, int (*run)(const struct run_options *))
{
	struct cfg cfg = {0};
	struct run_options o = {.cfg = &cfg,
		.jobs = c->args,
		.job_count = c->arg_count,
		.dry_run = c->dry_run,
		.json = c->json,
		.usage = c->usage};
	int code = load_config(c, &cfg);

	if (code == EXIT_GOOD) {
		code = run(&o);
		cfg_done(&cfg);
	}
	return code;
}

static int cmd_run(const struct cli *c)
{
	return with_config(c, run_batch);
}

static int cmd_ps(const struct cli *c)
{
	return with_config(c, run_ps);
}

static int cmd_archives(const struct cli *c)
{
	return with_config(c, run_archives);
}

static int cmd_check(const struct cli *c)
{
	return with_config(c, run_check);
}

/* Archives given as files are read on any host, without a configuration. */
static int with_archives(
	const struct cli *c, size_t min, size_t archives, int (*run)(const struct read_options *))
{
	struct cfg cfg = {0};
	struct read_options o = {.args = c->args,
		.arg_count = c->arg_count,
		.to = c->to,
		.into = c->into,
		.json = c->json,
		.deep = c->deep,
		.no_devices = c->no_devices,
		.keep_snapshot = c->keep};

	if (c->arg_count < min)
		return usage(c, "%s is missing", c->arg_count ? "PATH" : "ARCHIVE");
	for (size_t i = 0; i < archives && i < c->arg_count && !o.cfg; i++)
		if (!run_is_path(c->args[i]) || c->into)
			o.cfg = &cfg;
	int code = o.cfg ? load_config(c, &cfg) : EXIT_GOOD;
	if (code == EXIT_GOOD) {
		code = run(&o);
		cfg_done(&cfg);
	}
	return code;
}

static int cmd_ls(const struct cli *c)
{
	return with_archives(c, 1, 1, run_ls);
}

static int cmd_cat(const struct cli *c)
{
	return with_archives(c, 2, 1, run_cat);
}

static int cmd_restore(const struct cli *c)
{
	if (!c->to && !c->into)
		return usage(c, "%s is missing", "--to DIR or --into CONTAINER");
	if (c->to && c->into)
		return usage(c, "%s: which of both?", "--to and --into");
	if (c->keep && !c->into)
		return usage(c, "%s is missing", "--into CONTAINER");
	return with_archives(c, 1, 1, run_restore);
}

static int cmd_verify(const struct cli *c)
{
	return with_archives(c, 1, c->arg_count, run_verify);
}

/* With the files of a pool at hand no configuration is needed. */
static int cmd_export(const struct cli *c)
{
	struct cfg cfg = {0};
	struct export_options x = {.cfg = &cfg,
		.container = c->arg_count ? c->args[0] : NULL,
		.thin_id = c->thin_id,
		.size = c->size,
		.metadata = c->metadata,
		.data = c->data,
		.to = c->to,
		.json = c->json};

	if (!c->to)
		return usage(c, "%s is missing", "--to PATH");
	if (!x.container && (!c->thin_id || !c->metadata || !c->data))
		return usage(c, "%s is missing", "CONTAINER, or --thin-id, --metadata and --data");
	if (x.container && c->thin_id)
		return usage(c, "%s: which of both?", "CONTAINER and --thin-id");
	int code = x.container ? load_config(c, &cfg) : EXIT_GOOD;
	if (code == EXIT_GOOD) {
		code = run_export(&x);
		cfg_done(&cfg);
	}
	return code;
}

static int cmd_mount(const struct cli *c)
{
	struct cfg cfg = {0};
	struct mount_options x = {.cfg = &cfg, .read_write = c->read_write, .json = c->json};

	if (c->arg_count < 2)
		return usage(c, "%s is missing", c->arg_count ? "DIR" : "CONTAINER");
	x.container = c->args[0];
	x.dir = c->args[1];
	int code = load_config(c, &cfg);
	if (code == EXIT_GOOD) {
		code = run_mount(&x);
		cfg_done(&cfg);
	}
	return code;
}

static int cmd_umount(const struct cli *c)
{
	const struct run_options o = {.json = c->json};

	return c->arg_count ? run_umount(&o, c->args[0]) : usage(c, "%s is missing", "DIR");
}

static int cmd_rollback(const struct cli *c)
{
	struct cfg cfg = {0};
	struct rollback_options x = {.cfg = &cfg, .drop = c->drop, .json = c->json};

	if (!c->arg_count)
		return usage(c, "%s is missing", "CONTAINER");
	x.container = c->args[0];
	int code = load_config(c, &cfg);
	if (code == EXIT_GOOD) {
		code = run_rollback(&x);
		cfg_done(&cfg);
	}
	return code;
}

/* Needs no configuration: it is another host's. */
static int cmd_salvage(const struct cli *c)
{
	const struct salvage_options x = {.root = c->root,
		.store = c->store,
		.metadata = c->metadata,
		.data = c->data,
		.to = c->to,
		.names = c->args,
		.name_count = c->arg_count,
		.excluded = c->excluded,
		.excluded_count = c->excluded_count,
		.dry_run = c->dry_run,
		.json = c->json};

	if (!c->to)
		return usage(c, "%s is missing", "--to DIR");
	if (!c->metadata != !c->data)
		return usage(c, "%s is missing", c->data ? "--metadata FILE" : "--data FILE");
	if (!c->root && !c->metadata)
		return usage(c, "%s is missing", "--root DIR, or --metadata and --data");
	return run_salvage(&x);
}

/* Needs no configuration: a wrong one must not keep leftovers alive. */
static int cmd_recover(const struct cli *c)
{
	const struct run_options o = {.json = c->json, .resume = c->resume};

	return run_recover(&o);
}

const struct command commands[] = {
	{"run", cmd_run, "[JOB...]", 1000, "Archive the containers that the jobs select"},
	{"ps", cmd_ps, "", 0, "List the containers of all stores"},
	{"archives", cmd_archives, "", 0, "List the archives of all destinations"},
	{"ls", cmd_ls, "ARCHIVE [PATH...]", 1000, "List what is in an archive"},
	{"cat", cmd_cat, "ARCHIVE PATH", 2, "Write a file of an archive to standard output"},
	{"restore", cmd_restore, "ARCHIVE [PATH...]", 1000,
		"Restore an archive, or parts, --to or --into"},
	{"rollback", cmd_rollback, "CONTAINER", 1, "Undo a restore --into, by its safety snapshot"},
	{"verify", cmd_verify, "ARCHIVE...", 1000, "Read archives back and check every byte"},
	{"export", cmd_export, "[CONTAINER]", 1, "Write a thin device of an inactive pool to --to"},
	{"mount", cmd_mount, "CONTAINER DIR", 2, "Show a container's files on a folder"},
	{"umount", cmd_umount, "DIR", 1, "End a mount, and all that was set up for it"},
	{"salvage", cmd_salvage, "[CONTAINER...]", 1000,
		"Archive a failed host's state, --root, to --to"},
	{"check", cmd_check, "", 0, "Check configuration, stores, pools, destinations"},
	{"recover", cmd_recover, "", 0, "Undo what an interrupted run left behind"},
	{"doc", cmd_doc, "WHAT", 1, "Print man, man5, schema, sample or completion"},
	{NULL, NULL, NULL, 0, NULL},
};

static void print_help(FILE *to)
{
	(void)fprintf(to,
		"Usage: thinark [OPTION...] COMMAND [ARGUMENT...]\n"
		"Archives containers that live on device-mapper thin pools.\n\nCommands:\n");
	for (const struct command *c = commands; c->name; c++)
		(void)fprintf(to, "  %-8s %-17s %s\n", c->name, c->args, c->help);
	(void)fprintf(to, "\nOptions:\n");
	for (const struct option_row *o = option_rows; o->name; o++)
		(void)fprintf(to, "  %c%c%c --%-10s %-5s %s\n", o->letter ? '-' : ' ',
			o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name,
			o->arg ? o->arg : "", o->help);
	(void)fprintf(to, "\nExit codes: 0 good, 1 fatal, 2 usage or configuration, 3 incomplete,\n"
			  "10 nothing matched, 11 locked, 20 the pool guard refused, 21 leftovers\n"
			  "remain, 22 an archive is damaged, 130 interrupted.\n");
}

static const struct command *find_command(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

/* What an option without an argument sets; NULL: it is none of these. */
static bool *flag_of(struct cli *c, int opt)
{
	return opt == 'n'                 ? &c->dry_run
	       : opt == 'j'               ? &c->json
	       : opt == 'r'               ? &c->resume
	       : opt == 'h'               ? &c->help
	       : opt == OPTION_KEEP       ? &c->keep
	       : opt == OPTION_DROP       ? &c->drop
	       : opt == OPTION_USAGE      ? &c->usage
	       : opt == OPTION_NO_DEVICES ? &c->no_devices
	       : opt == OPTION_DEEP       ? &c->deep
	       : opt == OPTION_RW         ? &c->read_write
					  : NULL;
}

/* Where the argument of an option goes; NULL: it is none of these. */
static const char **text_of(struct cli *c, int opt)
{
	return opt == 'c'               ? &c->config
	       : opt == OPTION_TO       ? &c->to
	       : opt == OPTION_INTO     ? &c->into
	       : opt == OPTION_THIN_ID  ? &c->thin_id
	       : opt == OPTION_METADATA ? &c->metadata
	       : opt == OPTION_DATA     ? &c->data
	       : opt == OPTION_SIZE     ? &c->size
	       : opt == OPTION_ROOT     ? &c->root
	       : opt == OPTION_STORE    ? &c->store
					: NULL;
}

/* Returns -1 to go on, or an exit code. */
static int parse_options(int argc, char **argv, struct cli *c, enum log_level *level)
{
	static const struct option longs[] = {{"config", 1, NULL, 'c'}, {"dry-run", 0, NULL, 'n'},
		{"json", 0, NULL, 'j'}, {"resume", 0, NULL, 'r'}, {"verbose", 0, NULL, 'v'},
		{"quiet", 0, NULL, 'q'}, {"to", 1, NULL, OPTION_TO}, {"into", 1, NULL, OPTION_INTO},
		{"keep-snapshot", 0, NULL, OPTION_KEEP}, {"drop", 0, NULL, OPTION_DROP},
		{"usage", 0, NULL, OPTION_USAGE}, {"no-devices", 0, NULL, OPTION_NO_DEVICES},
		{"deep", 0, NULL, OPTION_DEEP}, {"rw", 0, NULL, OPTION_RW},
		{"thin-id", 1, NULL, OPTION_THIN_ID}, {"metadata", 1, NULL, OPTION_METADATA},
		{"data", 1, NULL, OPTION_DATA}, {"size", 1, NULL, OPTION_SIZE},
		{"root", 1, NULL, OPTION_ROOT}, {"store", 1, NULL, OPTION_STORE},
		{"exclude", 1, NULL, OPTION_EXCLUDE}, {"help", 0, NULL, 'h'},
		{"version", 0, NULL, 'V'}, {NULL, 0, NULL, 0}};

	opterr = 0;
	for (int opt; (opt = getopt_long(argc, argv, "c:njrvqhV", longs, NULL)) != -1;) {
		bool *flag = flag_of(c, opt);
		const char **text = text_of(c, opt);

		if (flag) {
			*flag = true;
		} else if (text) {
			*text = optarg;
		} else if (opt == 'v' || opt == 'q') {
			*level = opt == 'v' ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING;
		} else if (opt == OPTION_EXCLUDE) {
			c->excluded[c->excluded_count++] = optarg;
		} else if (opt == 'V') {
			(void)printf("thinark %s\n", THINARK_VERSION);
			return EXIT_GOOD;
		} else {
			return usage(c, "unknown or incomplete option '%s'", argv[optind - 1]);
		}
	}
	return -1;
}

/* What is wrong with the options that only some commands have, for usage; NULL: nothing. */
static const char *option_of_another(const struct cli *c, const struct command *command)
{
	const bool is_export = command->run == cmd_export, is_salvage = command->run == cmd_salvage;

	if ((c->into || c->keep) && command->run != cmd_restore)
		return "options '--into' and '--keep-snapshot' are none of '%s'";
	if (c->drop && command->run != cmd_rollback)
		return "option '--drop' is none of '%s'";
	if ((c->thin_id || c->size) && !is_export)
		return "options '--thin-id' and '--size' are none of '%s'";
	if ((c->metadata || c->data) && !is_export && !is_salvage)
		return "options '--metadata' and '--data' are none of '%s'";
	if (c->usage && command->run != cmd_ps)
		return "option '--usage' is none of '%s'";
	if ((c->root || c->store || c->excluded_count) && !is_salvage)
		return "options '--root', '--store' and '--exclude' are none of '%s'";
	return NULL;
}

int command_main(int argc, char **argv)
{
	/* There are never more exclusions than arguments. */
	AUTO_FREE char **excluded = calloc((size_t)argc + 1, sizeof(*excluded));
	struct cli c = {.config = CONFIG_PATH, .excluded = excluded};
	enum log_level level = LOG_LEVEL_INFO;

	/* A UTF-8 locale, or libarchive would convert names; numbers stay as in C. */
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)umask(0077);
	/* Ignored, as some supervisors leave it, the kernel would drop our children's exit codes.
	 */
	(void)signal(SIGCHLD, SIG_DFL);
	for (int i = 1; i < argc; i++)
		c.json |= strcmp(argv[i], "--json") == 0;
	if (!excluded)
		return EXIT_FATAL;
	int r = parse_options(argc, argv, &c, &level);
	if (r >= 0)
		return r;
	log_init(level);
	if (c.help) {
		print_help(stdout);
		return EXIT_GOOD;
	}
	if (optind >= argc) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	const struct command *command = find_command(argv[optind]);
	if (!command)
		return usage(&c, "unknown command '%s'", argv[optind]);
	if (c.resume && command->run != cmd_recover)
		return usage(&c, "option '--resume' is no option of '%s'", command->name);
	const char *wrong = option_of_another(&c, command);
	if (wrong)
		return usage(&c, wrong, command->name);
	c.args = argv + optind + 1;
	c.arg_count = (size_t)(argc - optind - 1);
	if (c.arg_count > command->max_args)
		return usage(&c, "too many arguments: '%s'", c.args[command->max_args]);
	return command->run(&c);
}
