/* SPDX-License-Identifier: Apache-2.0 */
/* Documents printed from the tables. */
#include <stdio.h>
#include <string.h>

#include "cfg.h"
#include "command.h"
#include "log.h"
#include "scope.h"

/* clang-format off: one line of text a line */
static const char recovery[] =
	".SH RECOVERY\n"
	"Before a snapshot exists, an entry of the ledger names it, its pool and the\n"
	"devices of its origin.\n"
	".B thinark recover\n"
	"resumes these devices, if the entry is of this boot, removes the snapshot's\n"
	"device, deletes the snapshot and then the entry.\n"
	"What is not there counts as done; it may be repeated and interrupted.\n"
	"Each run starts with the same work.\n"
	".PP\n"
	".B thinark recover \\-\\-resume\n"
	"is for what watches over a run: the unit's ExecStopPost, a timer, cron.\n"
	"It waits for nobody:\n"
	".IP \\(bu 2\n"
	"Without an entry it does nothing and takes no lock: 0.\n"
	".IP \\(bu 2\n"
	"What a live run uses is left to it, since it undoes its own work: 0.\n"
	".IP \\(bu 2\n"
	"If the run is dead but a process of it still takes a snapshot, it resumes what\n"
	"the entries of this boot name and does no more: 21. Repeat it.\n"
	".IP \\(bu 2\n"
	"Else it takes the lock of the pool, resumes first the origins of all entries of this "
	"boot,\n"
	"and then undoes the rest as above. A snapshot in a pool that is not active harms\n"
	"nobody and may stay: 0. What could not be undone: 21.\n"
	".PP\n"
	"A device that no entry of this boot names is never resumed.\n";

static const char units[] =
	".SH SYSTEMD\n"
	".I thinark@JOB.service\n"
	"archives one job,\n"
	".I thinark.service\n"
	"all of them; each has a timer of its name.\n"
	"Both run in a sandbox in which of the host's folders only /srv/backup,\n"
	"/var/lib/docker and thinark's own can be written. A destination elsewhere, or\n"
	"another data root of a stopped engine, needs a drop\\-in, here for one job:\n"
	".PP\n"
	".nf\n"
	".RS\n"
	"systemctl edit thinark@nightly.service\n"
	"\n"
	"[Service]\n"
	"ReadWritePaths=/mnt/backup\n"
	".RE\n"
	".fi\n"
	".PP\n"
	"A stopped engine's pool on other devices than files needs DeviceAllow= of both.\n"
	"A run that needs a pool or a destination that another uses waits for lock_wait,\n"
	"then ends with 11.\n"
	".PP\n"
	".I thinark\\-recover.timer\n"
	"looks every minute whether the ledger has an entry, and only then starts\n"
	".BR \"thinark recover \\-\\-resume\" .\n";

static const char mounts[] =
	".SH MOUNTS\n"
	".B thinark mount\n"
	"shows a snapshot of a container, which may run, on a folder of the host:\n"
	"read\\-only, without devices and programs, below the folder that it prints.\n"
	"With\n"
	".B \\-\\-rw\n"
	"it is the container's own device, for repair; nobody may have it active then.\n"
	"It is activated under the engine's name for it, so that an engine that starts\n"
	"the container shares the mounted file system.\n"
	".PP\n"
	".B thinark umount\n"
	"unmounts, and removes device, snapshot and a pool assembled for it: 11 while a\n"
	"process uses the files, 10 if the ledger has no mount on this folder.\n"
	"While it is mounted\n"
	".B recover\n"
	"and runs leave it alone; afterwards they remove what a mount ended in another\n"
	"way has left.\n"
	"LVM's volumes are mounted with LVM's own programs.\n";

static const char into[] =
	".SH RESTORE INTO A CONTAINER\n"
	".B thinark restore ARCHIVE [PATH...] \\-\\-into CONTAINER\n"
	"puts all of an archive, or these paths, back where the container has them. The\n"
	"container must not run, nothing may have its device active, the pool must have\n"
	"room for all that is to be written, and volumes of LVM are refused.\n"
	".PP\n"
	"A file of the archive takes the place of the container's in one step, when it is\n"
	"complete. What the archive does not have stays. A folder never gives way to a\n"
	"file, nor a file or link to a folder; such a path is named, and the exit code is 3.\n"
	"With paths, the folders above them are made if they are missing and otherwise\n"
	"left as they are.\n"
	".PP\n"
	"Before, a safety snapshot of the container's device is taken. It is dropped\n"
	"when all was restored, unless\n"
	".B \\-\\-keep\\-snapshot\n"
	"is given; when anything went wrong, or the process was killed, it stays. It takes\n"
	"space in the pool as the container changes.\n"
	".BR recover ,\n"
	"and each run, say that it is there and leave it alone.\n"
	"Until one of these ended it, the container is not restored into again:\n"
	".PP\n"
	".nf\n"
	".RS\n"
	"thinark rollback web           # the device is what it was before the restore\n"
	"thinark rollback \\-\\-drop web    # the device stays as it is now\n"
	".RE\n"
	".fi\n"
	".PP\n"
	"What the container itself has written since is lost by a rollback, too.\n"
	"It makes the container's thin device anew from the snapshot, under the same\n"
	"id. Killed between the two steps, it is completed by\n"
	".BR recover ,\n"
	"also with\n"
	".BR \\-\\-resume .\n"
	"A restore that was killed may leave files called .thinark\\-* beside those that it was\n"
	"writing.\n";
static const char usage[] =
	".SH USAGE OF A POOL\n"
	".B thinark ps\n"
	"lists how many bytes of each thin device are mapped.\n"
	"Containers share the blocks of their image, so that their sum says little; with\n"
	".B \\-\\-usage\n"
	"the columns\n"
	".B EXCLUSIVE\n"
	"(blocks that no other thin device of the pool has: at least these would be free\n"
	"without the container) and\n"
	".B SHARED\n"
	"(the rest) follow;\n"
	".IR mapped_bytes ,\n"
	".I exclusive_bytes\n"
	"and\n"
	".I shared_bytes\n"
	"with\n"
	".BR \\-\\-json .\n"
	"Snapshots that a run has taken count as other thin devices.\n"
	".PP\n"
	"All of the pool's metadata is read for it, of pools that are active and that are\n"
	"not; nothing is written and no lock is taken.\n"
	"Only of a pool whose metadata keeps changing meanwhile the kernel is asked for a\n"
	"metadata snapshot, under the pool's lock and within the pool guard's limits, and\n"
	"that is released at once: the ledger has an entry for it, and\n"
	".B recover\n"
	"releases what a killed\n"
	".B ps\n"
	"left.\n"
	"One that somebody else holds is let alone.\n"
	"What cannot be found out is \\(dq\\-\\(dq, or null: the reason is said, and the exit code "
	"is 3.\n";

static const char salvage[] =
	".SH SALVAGE\n"
	".B thinark salvage\n"
	"archives what a failed host's disk still gives. It needs root, loop devices, and\n"
	"xfs and ext4 in the kernel, but no device mapper and no configuration:\n"
	".PP\n"
	".nf\n"
	".RS\n"
	"losetup \\-r \\-f \\-\\-show disk.img; mount \\-o ro,noload /dev/loop0 /mnt\n"
	"thinark salvage \\-\\-root /mnt \\-\\-to /srv/salvaged \\-n\n"
	"thinark salvage \\-\\-root /mnt \\-\\-to /srv/salvaged\n"
	".RE\n"
	".fi\n"
	".PP\n"
	".B \\-\\-root\n"
	"is an engine's state folder, such as /var/lib/docker, or a disk with it; the pool is\n"
	"what the engine has there, or\n"
	".B \\-\\-metadata\n"
	"and\n"
	".BR \\-\\-data ;\n"
	"these two are enough where no engine's state is left.\n"
	"Containers are named as in\n"
	".I containers\n"
	"of thinark.yaml(5); none: all.\n"
	".PP\n"
	"The evidence is read\\-only for the process, access times included. Each thin device\n"
	"is copied as a sparse file without a name in\n"
	".BR \\-\\-to ,\n"
	"where its journal is replayed; then it is mounted read\\-only, archived as\n"
	"NAME.tar.zst with its manifest, and checked with\n"
	".B e2fsck \\-fn\n"
	"or\n"
	".BR \"xfs_repair \\-n\" ,\n"
	"where installed.\n"
	"Thin devices that no record of the engine names are archived as orphans/thin\\-ID.\n"
	"Interrupted or killed, it goes on where it was when it is started again.\n"
	".PP\n"
	"The table at the end (with\n"
	".BR \\-\\-json :\n"
	"one object for each) says of everything whether it was\n"
	".B archived,\n"
	".B damaged\n"
	"(archived, and what is missing),\n"
	".B lost\n"
	"(the evidence does not give it), or\n"
	".B failed\n"
	"(the destination or this host was in the way: try again).\n"
	"0: all archived; 3: something was not; 10: nothing there.\n"
	".SH EXPORT\n"
	"On a host whose engine no longer starts,\n"
	".B thinark export\n"
	"reads a pool's metadata and data itself, without device mapper and without\n"
	"writing to them, and writes one thin device as a new sparse image:\n"
	".PP\n"
	".nf\n"
	".RS\n"
	"thinark export web \\-\\-to web.img\n"
	"thinark export \\-\\-metadata META \\-\\-data DATA \\-\\-thin\\-id 7 \\-\\-to 7.img\n"
	".RE\n"
	".fi\n"
	".PP\n"
	"The metadata does not know how large a device is; a file system wants its full\n"
	"size, which a store or \\-\\-size tells.\n"
	"What damaged metadata or bad sectors hide is left as a hole and named, and the\n"
	"exit code is 3. The pool must not be active.\n";
/* clang-format on */

static void man_option(struct strbuf *b, const struct option_row *o)
{
	strbuf_puts(b, ".TP\n.B ");
	if (o->letter)
		strbuf_printf(b, "\\-%c\\fR, \\fB", o->letter);
	strbuf_puts(b, "\\-\\-");
	for (const char *s = o->name; *s; s++)
		strbuf_printf(b, "%s%c", *s == '-' ? "\\" : "", *s);
	strbuf_printf(b, "%s%s\n%s.\n", o->arg ? "\\fR \\fI" : "", o->arg ? o->arg : "", o->help);
}

static void doc_man(struct strbuf *b)
{
	strbuf_puts(b,
		".TH THINARK 8 \"\" \"thinark " THINARK_VERSION "\" \"System Administration\"\n"
		".SH NAME\n"
		"thinark \\- archive containers that live on device\\-mapper thin pools\n"
		".SH SYNOPSIS\n");
	for (const struct command *c = commands; c->name; c++)
		strbuf_printf(b, "%s.B thinark\n.RI [ OPTION \\&...]\n.B %s\n%s%s%s",
			c == commands ? "" : ".br\n", c->name, *c->args ? ".I " : "", c->args,
			*c->args ? "\n" : "");
	strbuf_puts(b,
		".SH DESCRIPTION\n"
		"For each selected container,\n.B thinark\ntakes a thin snapshot of the live "
		"device, mounts it read\\-only where nobody else\nsees it, writes a\n.I "
		".tar.zst\nand undoes everything it set up.\n"
		"The container waits only while the snapshot is taken.\n"
		".SH COMMANDS\n");
	for (const struct command *c = commands; c->name; c++)
		strbuf_printf(
			b, ".TP\n.B %s%s%s\n%s.\n", c->name, *c->args ? " " : "", c->args, c->help);
	strbuf_puts(b, ".SH OPTIONS\n");
	for (const struct option_row *o = option_rows; o->name; o++)
		man_option(b, o);
	strbuf_puts(b, recovery);
	strbuf_puts(b, usage);
	strbuf_puts(b, mounts);
	strbuf_puts(b, into);
	strbuf_puts(b, salvage);
	strbuf_puts(b, units);
	strbuf_puts(b,
		".SH EXIT STATUS\n"
		"0 all good; 1 fatal; 2 usage or configuration; 3 finished, but some container or "
		"file\nis incomplete; 10 nothing matched; 11 another run uses the pool or "
		"the\ndestination; 20 the pool "
		"guard refused;\n21 leftovers remain, named in the ledger; 22 an archive is "
		"damaged;\n130 interrupted.\n"
		"Treat unknown codes as failures.\n"
		".SH FILES\n"
		".TP\n.I /etc/thinark/thinark.yaml\nThe configuration.\n"
		".TP\n.I /var/lib/thinark/ledger\nWhat exists on the host because of us.\n"
		".TP\n.I /run/thinark\nThe locks, and the mount point in our own namespace.\n"
		".SH SEE ALSO\n.BR thinark.yaml (5)\n");
}

static void doc_completion(struct strbuf *b)
{
	strbuf_puts(b, "# bash completion for thinark\n_thinark()\n{\n"
		       "\tlocal cur=${COMP_WORDS[COMP_CWORD]}\n\tCOMPREPLY=($(compgen -W '");
	for (const struct command *c = commands; c->name; c++)
		strbuf_printf(b, "%s ", c->name);
	for (const struct option_row *o = option_rows; o->name; o++)
		strbuf_printf(b, "--%s ", o->name);
	strbuf_puts(b, "' -- \"$cur\"))\n}\ncomplete -o default -F _thinark thinark\n");
}

static const struct {
	const char *name;
	void (*print)(struct strbuf *out);
} docs[] = {
	{"man", doc_man},
	{"man5", cfg_doc_man},
	{"schema", cfg_doc_schema},
	{"sample", cfg_doc_sample},
	{"completion", doc_completion},
};

int cmd_doc(const struct cli *c)
{
	for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
		AUTO_STRBUF b = {0};

		if (c->arg_count != 1 || strcmp(c->args[0], docs[i].name) != 0)
			continue;
		docs[i].print(&b);
		if (b.failed || !b.data || fputs(b.data, stdout) < 0 || fflush(stdout) != 0)
			return EXIT_FATAL;
		return EXIT_GOOD;
	}
	log_error("doc: one of man, man5, schema, sample, completion is expected");
	return EXIT_USAGE;
}
