/* SPDX-License-Identifier: Apache-2.0 */
/* pack-tree DIR NAME: archives DIR as NAME.tar.zst and NAME.json, through the program's own layers.
 */
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "digest.h"
#include "frames.h"
#include "manifest.h"
#include "pack.h"
#include "scope.h"
#include "walk.h"

static int out_write(void *state, const void *data, size_t len, struct err *e)
{
	if (fwrite(data, 1, len, state) == len)
		return 0;
	return err_sys(e, ERR_DEST, -errno, "write");
}

static int seal(const char *name, struct manifest *m, struct err *e)
{
	AUTO_STRBUF text = {0};
	char path[4096], hex[DIGEST_HEX];
	int rc = manifest_write(m, &text, e);

	if (rc == 0)
		rc = digest_text(text.data, manifest_covered(&text), hex, e);
	if (rc == 0)
		rc = manifest_seal(&text, hex, e);
	if (rc < 0)
		return rc;
	(void)snprintf(path, sizeof(path), "%s.json", name);
	AUTO_FCLOSE FILE *f = fopen(path, "w");
	if (!f || fwrite(text.data, 1, text.len, f) != text.len)
		return err_sys(e, ERR_DEST, -errno, "%s", path);
	return 0;
}

static int pack(int root, const char *name, FILE *to, struct trouble *t, struct err *e)
{
	static char store[] = "tree", id[] = "0", state[] = "exited";
	char container_name[] = "tree";
	struct container c = {.store = store, .id = id, .name = container_name, .state = state};
	struct sink sink = {out_write, to};
	const struct walk_options o = {0};
	struct frames *f = NULL;
	struct pack *p = NULL;
	int rc = frames_new(&sink, 1, &f, e);

	if (rc == 0)
		rc = pack_new(f, &p, e);
	if (rc == 0)
		rc = walk_tree(root, &o, p, t, e);
	if (rc == 0)
		rc = pack_finish(p, e);
	if (rc == 0)
		rc = frames_finish(f, e);
	if (rc == 0 && fflush(to) != 0)
		rc = err_sys(e, ERR_DEST, -errno, "write");
	if (rc == 0) {
		const struct pack_counts n = *pack_counts(p);
		struct manifest m = {.container = &c,
			.job = "test",
			.hostname = "test",
			.created = "2026-01-01T00:00:00Z",
			.archive = name,
			.pool_name = "none",
			.freeze = "inactive",
			.fs_type = "none",
			.mount_mode = "none",
			.compression = "zstd:1",
			.file_bytes = frames_bytes_out(f),
			.tar_bytes = frames_bytes_in(f),
			.entries = n.entries,
			.files = n.files,
			.dirs = n.dirs,
			.symlinks = n.symlinks,
			.hardlinks = n.hardlinks,
			.devices = n.devices,
			.fifos = n.fifos,
			.sockets_skipped = n.sockets_skipped,
			.content_bytes = n.content_bytes,
			.trouble = t};

		frames_sha256(f, m.sha256);
		frames_index_sha256(f, m.index_sha256);
		rc = seal(name, &m, e);
	}
	pack_free(p);
	frames_free(f);
	return rc;
}

int main(int argc, char **argv)
{
	struct trouble t = {0};
	struct err e = {0};
	char path[4096];

	if (argc != 3)
		return 2;
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	AUTO_CLOSE int root = open(argv[1], O_RDONLY | O_DIRECTORY);
	(void)snprintf(path, sizeof(path), "%s.tar.zst", argv[2]);
	AUTO_FCLOSE FILE *to = fopen(path, "w");
	if (root < 0 || !to) {
		perror(argv[1]);
		return 1;
	}
	int rc = pack(root, argv[2], to, &t, &e);
	if (rc < 0)
		(void)fprintf(stderr, "%s\n", e.text);
	for (size_t i = 0; i < t.kept; i++)
		(void)fprintf(stderr, "%s: %s: %s\n", t.items[i].path, t.items[i].what,
			strerror(t.items[i].error));
	rc = rc < 0 ? 1 : t.count ? 3 : 0;
	trouble_done(&t);
	return rc;
}
