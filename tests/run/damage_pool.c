/* SPDX-License-Identifier: Apache-2.0 */
/*
 * damage-pool ROOT NUMBER NAME:HEX:THIN...: does one thing to the state folder that make-pool and a
 * test have made; the number decides which, and is the seed of its details.  Prints one line:
 *   KIND  TARGET  FILE  BYTE
 * TARGET is the name of the only container that can suffer, or "pool".  BYTE is that of a metadata
 * block whose checksum is wrong from now on, else "-".
 */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "thin_image.h"

struct victim {
	const char *name, *hex;
	uint32_t thin_id;
};

struct context {
	const char *root;
	struct random random;
	struct victim all[8], one;
	size_t count;
	struct image m;
	char metadata[4096], data[4096], file[4096]; /* file: what was damaged */
	const char *target;
	long long block; /* metadata block left with a wrong checksum; -1: none */
};

static uint64_t roll(struct context *c, uint64_t below)
{
	return random_below(&c->random, below);
}

static void load(struct context *c)
{
	image_load(&c->m, c->metadata);
	(void)snprintf(c->file, sizeof(c->file), "%s", c->metadata);
}

static void save(struct context *c)
{
	image_save(&c->m, c->metadata);
}

static uint32_t count_of(const struct image *m, uint64_t block)
{
	return (uint32_t)get_le(image_block(m, block) + 16, 4);
}

static uint8_t *value_of(const struct image *m, uint64_t block, uint32_t i)
{
	uint8_t *b = image_block(m, block);
	const uint64_t max = get_le(b + 20, 4), size = get_le(b + 24, 4);

	return b + NODE_HEADER + 8 * max + i * size;
}

static int is_leaf(const struct image *m, uint64_t block)
{
	return get_le(image_block(m, block) + 4, 4) == 2;
}

/* Node blocks of a tree, the root first. */
static size_t collect(const struct image *m, uint64_t root, uint64_t *blocks, size_t n, size_t cap)
{
	if (n == cap)
		return n;
	blocks[n++] = root;
	for (uint32_t i = 0; !is_leaf(m, root) && i < count_of(m, root); i++)
		n = collect(m, get_le(value_of(m, root, i), 8), blocks, n, cap);
	return n;
}

/* The value of a key in a tree. */
static uint8_t *find(const struct image *m, uint64_t root, uint64_t key)
{
	for (;;) {
		const uint8_t *b = image_block(m, root);
		uint32_t i = 0;

		while (i + 1 < count_of(m, root) &&
			get_le(b + NODE_HEADER + 8 * (size_t)(i + 1), 8) <= key)
			i++;
		if (is_leaf(m, root))
			return value_of(m, root, i);
		root = get_le(value_of(m, root, i), 8);
	}
}

#define ROOT_OFFSET 320u    /* in the superblock */
#define DETAILS_OFFSET 328u /* in the superblock */

static uint64_t root_at(const struct image *m, unsigned offset)
{
	return get_le(image_block(m, 0) + offset, 8);
}

/* A node of one of the upper trees, or of a device's; *target is set for the latter. */
static uint64_t pick_node(struct context *c)
{
	uint64_t blocks[512];
	size_t n;

	switch (roll(c, 4)) {
	case 0:
		n = collect(&c->m, root_at(&c->m, ROOT_OFFSET), blocks, 0, 512);
		break;
	case 1:
		n = collect(&c->m, root_at(&c->m, DETAILS_OFFSET), blocks, 0, 512);
		break;
	default:
		n = collect(&c->m,
			get_le(find(&c->m, root_at(&c->m, ROOT_OFFSET), c->one.thin_id), 8), blocks,
			0, 512);
		c->target = c->one.name;
		break;
	}
	return blocks[roll(c, n)];
}

/* Bit flips in any node; the checksum tells. */
static void flip_node(struct context *c)
{
	load(c);
	const uint64_t block = pick_node(c);

	for (uint64_t i = 0, n = 1 + roll(c, 3); i < n; i++)
		image_block(&c->m, block)[roll(c, THINMETA_BLOCK)] ^= (uint8_t)(1u << roll(c, 8));
	c->block = (long long)block;
	save(c);
}

static void zero_node(struct context *c)
{
	load(c);
	const uint64_t block = pick_node(c);

	memset(image_block(&c->m, block), 0, THINMETA_BLOCK);
	c->block = (long long)block;
	save(c);
}

/* A stale or misdirected write: a whole, sound block at another's place. */
static void misplace_node(struct context *c)
{
	load(c);
	const uint64_t to = pick_node(c);
	const char *target = c->target;
	uint64_t from = pick_node(c);

	c->target = target;
	if (from == to)
		from = root_at(&c->m, DETAILS_OFFSET) == to ? root_at(&c->m, ROOT_OFFSET)
							    : root_at(&c->m, DETAILS_OFFSET);
	memcpy(image_block(&c->m, to), image_block(&c->m, from), THINMETA_BLOCK);
	c->block = (long long)to;
	save(c);
}

/* From here on the checksum is right: the kernel itself wrote nonsense, or somebody who can. */
static void header_field(struct context *c)
{
	load(c);
	const uint64_t block = pick_node(c);
	uint8_t *b = image_block(&c->m, block);
	const unsigned at[] = {4, 8, 16, 20, 24};

	put_le(b + at[roll(c, 5)], 4, roll(c, 2) ? roll(c, 1000) : random_next(&c->random));
	image_seal(&c->m, block, NODE_SALT);
	save(c);
}

static void any_key(struct context *c)
{
	load(c);
	const uint64_t block = pick_node(c);
	const uint32_t n = count_of(&c->m, block);

	if (n)
		put_le(image_block(&c->m, block) + NODE_HEADER + 8 * roll(c, n), 8,
			roll(c, 2) ? roll(c, 200) : random_next(&c->random));
	image_seal(&c->m, block, NODE_SALT);
	save(c);
}

static void any_value(struct context *c)
{
	load(c);
	const uint64_t block = pick_node(c);
	const uint32_t n = count_of(&c->m, block);

	/* Another device's tree, a block behind the end, anything. */
	if (n)
		put_le(value_of(&c->m, block, (uint32_t)roll(c, n)), 8,
			roll(c, 2) ? roll(c, 1100) : random_next(&c->random));
	image_seal(&c->m, block, NODE_SALT);
	/* Two devices that share a tree read the same data: not even that is this one's alone. */
	save(c);
}

static void cycle(struct context *c)
{
	load(c);
	uint64_t blocks[512];
	const uint64_t root = get_le(find(&c->m, root_at(&c->m, ROOT_OFFSET), c->one.thin_id), 8);
	const size_t n = collect(&c->m, root, blocks, 0, 512);
	uint64_t block = root;

	for (size_t i = 0; i < n; i++)
		if (!is_leaf(&c->m, blocks[i]) && roll(c, 2))
			block = blocks[i];
	if (is_leaf(&c->m, block)) /* it has one node only: make it its own child */
		put_le(image_block(&c->m, block) + 4, 4, 1);
	put_le(value_of(&c->m, block, (uint32_t)roll(c, count_of(&c->m, block))), 8,
		roll(c, 2) ? root : block);
	image_seal(&c->m, block, NODE_SALT);
	c->target = c->one.name;
	save(c);
}

static void superblock_flip(struct context *c)
{
	load(c);
	image_block(&c->m, 0)[roll(c, 400)] ^= (uint8_t)(1u << roll(c, 8));
	c->block = 0;
	save(c);
}

static void superblock_field(struct context *c)
{
	load(c);
	const unsigned at[] = {4, 32, 40, 44, 48, 56, 64, 192, 320, 328, 336, 340, 344, 352};

	put_le(image_block(&c->m, 0) + at[roll(c, 14)], roll(c, 2) ? 4 : 8,
		roll(c, 3) ? roll(c, 2000) : random_next(&c->random));
	image_seal(&c->m, 0, SUPERBLOCK_SALT);
	save(c);
}

static void cut(struct context *c, const char *path, int whole_blocks)
{
	struct stat st;

	(void)snprintf(c->file, sizeof(c->file), "%s", path);
	if (stat(path, &st) != 0)
		die(path);
	off_t to = (off_t)roll(c, (uint64_t)st.st_size);
	/* Most of a metadata file is unused. */
	if (whole_blocks && roll(c, 4))
		to = (off_t)(roll(c, 200) * THINMETA_BLOCK + (roll(c, 2) ? roll(c, 4096) : 0));
	if (truncate(path, to) != 0)
		die(path);
}

static void cut_metadata(struct context *c)
{
	cut(c, c->metadata, 1);
}

static void cut_data(struct context *c)
{
	cut(c, c->data, 0);
}

static void remove_pool_file(struct context *c)
{
	(void)snprintf(c->file, sizeof(c->file), "%s", roll(c, 2) ? c->metadata : c->data);
	if (remove(c->file) != 0)
		die(c->file);
}

/* Bytes of one device's own data block are random. */
static void flip_data(struct context *c)
{
	load(c);
	uint64_t blocks[512];
	const uint64_t root = get_le(find(&c->m, root_at(&c->m, ROOT_OFFSET), c->one.thin_id), 8);
	uint64_t leaf = root;
	const size_t n = collect(&c->m, root, blocks, 0, 512);

	do
		leaf = blocks[roll(c, n)];
	while (!is_leaf(&c->m, leaf));
	const uint64_t place =
		get_le(value_of(&c->m, leaf, (uint32_t)roll(c, count_of(&c->m, leaf))), 8) >> 24;
	FILE *f = fopen(c->data, "r+b");
	if (!f || fseek(f, (long)(place * 65536 + roll(c, 60000)), SEEK_SET) != 0)
		die(c->data);
	for (uint64_t i = 0, len = 1 + roll(c, 5000); i < len; i++)
		(void)fputc((int)roll(c, 256), f);
	(void)fclose(f);
	(void)snprintf(c->file, sizeof(c->file), "%s", c->data);
	c->target = c->one.name;
}

/* One of the engine's own files about the container. */
static const char *engine_file(struct context *c, uint64_t which)
{
	static const char *const names[] = {"containers/%s/config.v2.json",
		"image/devicemapper/layerdb/mounts/%s/mount-id", "devicemapper/metadata/%s",
		"containers/%s/hostconfig.json"};
	char id[65], below[256];

	memset(id, c->one.hex[0], 64);
	id[64] = '\0';
	(void)snprintf(below, sizeof(below), names[which % 4], id);
	(void)snprintf(c->file, sizeof(c->file), "%s/%s", c->root, below);
	c->target = c->one.name;
	return c->file;
}

static void remove_record(struct context *c)
{
	if (remove(engine_file(c, roll(c, 4))) != 0)
		die(c->file);
}

static void cut_record(struct context *c)
{
	struct stat st;

	if (stat(engine_file(c, roll(c, 4)), &st) != 0 ||
		truncate(c->file, (off_t)roll(c, (uint64_t)st.st_size)) != 0)
		die(c->file);
}

static void flip_record(struct context *c)
{
	struct stat st;
	FILE *f = fopen(engine_file(c, roll(c, 4)), "r+b");

	if (!f || fstat(fileno(f), &st) != 0)
		die(c->file);
	for (uint64_t i = 0, n = 1 + roll(c, 3); i < n; i++) {
		const long at = (long)roll(c, (uint64_t)st.st_size);

		(void)fseek(f, at, SEEK_SET);
		const int was = fgetc(f);
		(void)fseek(f, at, SEEK_SET);
		(void)fputc(was ^ (1 << roll(c, 8)), f);
	}
	(void)fclose(f);
}

/* Neither a file nor what it should be. */
static void replace_record(struct context *c)
{
	const char *path = engine_file(c, roll(c, 4));

	if (remove(path) != 0)
		die(path);
	switch (roll(c, 4)) {
	case 0:
		(void)!symlink("/etc/passwd", path);
		break;
	case 1:
		(void)mkdir(path, 0700);
		break;
	case 2:
		(void)mkfifo(path, 0600);
		break;
	default:
		(void)!symlink("/dev/zero", path);
	}
}

/* Whole JSON, with numbers that are another's, nobody's or none. */
static void wrong_record(struct context *c)
{
	static const char *const texts[] = {"{\"device_id\":%d,\"size\":8388608}",
		"{\"device_id\":%d0,\"size\":8388608}", "{\"device_id\":%d,\"size\":512}",
		"{\"device_id\":%d,\"size\":9223372036854775296}", "{\"device_id\":-%d,\"size\":1}",
		"{\"device_id\":%d,\"size\":0}",
		"{\"device_id\":%d,\"size\":8388608,\"deleted\":true}",
		"{\"device_id\":16777216%d,\"size\":8388608}"};
	FILE *f = fopen(engine_file(c, 2), "w");
	const struct victim *v = &c->all[roll(c, c->count)];

	if (!f)
		die(c->file);
	(void)fprintf(f, texts[roll(c, sizeof(texts) / sizeof(texts[0]))], (int)v->thin_id);
	(void)fclose(f);
}

static void remove_folder(struct context *c)
{
	static const char *const names[] = {"containers", "image", "devicemapper/metadata"};
	char to[4200];

	(void)snprintf(c->file, sizeof(c->file), "%s/%s", c->root, names[roll(c, 3)]);
	(void)snprintf(to, sizeof(to), "%s.gone", c->root);
	if (rename(c->file, to) != 0)
		die(c->file);
}

static const struct kind {
	const char *name;
	void (*fn)(struct context *c);
} kinds[] = {
	{"flip-node", flip_node},
	{"zero-node", zero_node},
	{"misplace-node", misplace_node},
	{"header-field", header_field},
	{"any-key", any_key},
	{"any-value", any_value},
	{"cycle", cycle},
	{"superblock-flip", superblock_flip},
	{"superblock-field", superblock_field},
	{"cut-metadata", cut_metadata},
	{"cut-data", cut_data},
	{"remove-pool-file", remove_pool_file},
	{"flip-data", flip_data},
	{"remove-record", remove_record},
	{"cut-record", cut_record},
	{"flip-record", flip_record},
	{"replace-record", replace_record},
	{"wrong-record", wrong_record},
	{"remove-folder", remove_folder},
};

int main(int argc, char **argv)
{
	static struct context c;

	if (argc < 4)
		return 2;
	c.root = argv[1];
	const unsigned long number = strtoul(argv[2], NULL, 10);
	c.random.state = number * 2654435761u + 88172645463325252u;
	for (int i = 0; i < 8; i++)
		(void)random_next(&c.random);
	for (int i = 3; i < argc && c.count < 8; i++) {
		struct victim *v = &c.all[c.count++];

		v->name = strtok(argv[i], ":");
		v->hex = strtok(NULL, ":");
		v->thin_id = (uint32_t)strtoul(strtok(NULL, ":"), NULL, 10);
	}
	c.one = c.all[roll(&c, c.count)];
	c.target = "pool";
	c.block = -1;
	(void)snprintf(
		c.metadata, sizeof(c.metadata), "%s/devicemapper/devicemapper/metadata", c.root);
	(void)snprintf(c.data, sizeof(c.data), "%s/devicemapper/devicemapper/data", c.root);
	const struct kind *k = &kinds[number % (sizeof(kinds) / sizeof(kinds[0]))];
	k->fn(&c);
	printf("%s %s %s ", k->name, c.target, c.file);
	if (c.block < 0)
		printf("-\n");
	else
		printf("%lld\n", c.block * (long long)THINMETA_BLOCK);
	free(c.m.data);
	return 0;
}
