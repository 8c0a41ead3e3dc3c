/* SPDX-License-Identifier: Apache-2.0 */
/*
 * make-pool FOLDER SEED BLOCK_BYTES ENTRIES ID=IMAGE...: FOLDER/data and FOLDER/pool.xml (for
 * thin_restore) of a pool whose thin devices, by ascending ids, hold the images, their blocks in
 * random order.  Blocks of zeros are not mapped; "ID=" is a device that maps nothing.  With ENTRIES
 * not 0 also FOLDER/metadata, whose nodes hold no more than these, so that small trees are deep.
 */
#include <errno.h>
#include <unistd.h>

#include "thin_image.h"

#define BLOCKS_MAX 4000u
#define DEVICES_MAX 64

static uint64_t seed;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static FILE *must_open(const char *folder, const char *name, const char *mode)
{
	char path[4096];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s%s%s", folder, *folder ? "/" : "", name);
	f = fopen(path, mode);
	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

struct pool {
	FILE *data, *xml;
	uint8_t *block;
	size_t block_bytes;
	uint32_t places[BLOCKS_MAX]; /* the data blocks in random order */
	size_t used;
	struct mappings devices[DEVICES_MAX];
	uint64_t ids[DEVICES_MAX];
	size_t count;
};

/* A permutation of all data blocks, most of which stay unused, so that neighbours are rare. */
static void shuffle(struct pool *p)
{
	for (uint32_t i = 0; i < BLOCKS_MAX; i++)
		p->places[i] = i;
	for (uint32_t i = BLOCKS_MAX - 1; i > 0; i--) {
		const uint32_t k = (uint32_t)roll(i + 1), was = p->places[i];

		p->places[i] = p->places[k];
		p->places[k] = was;
	}
}

static int is_zero(const uint8_t *b, size_t len)
{
	return b[0] == 0 && memcmp(b, b + 1, len - 1) == 0;
}

static void add_device(struct pool *p, const char *id, const char *image)
{
	FILE *in = must_open("", *image ? image : "/dev/null", "rb");
	char *mappings = NULL;
	size_t len = 0, mapped = 0;
	FILE *text = open_memstream(&mappings, &len);
	struct mappings *m = &p->devices[p->count];

	if (p->count == DEVICES_MAX)
		exit(1);
	p->ids[p->count++] = strtoull(id, NULL, 10);
	mappings_new(m, BLOCKS_MAX);

	for (uint64_t at = 0;; at++) {
		const off_t data = lseek(fileno(in), (off_t)(at * p->block_bytes), SEEK_DATA);

		/* Over holes; behind the last of the data there is nothing more. */
		if (data >= 0 && (uint64_t)data / p->block_bytes > at)
			at = (uint64_t)data / p->block_bytes;
		if (data < 0 && errno == ENXIO)
			break;
		const ssize_t got =
			pread(fileno(in), p->block, p->block_bytes, (off_t)(at * p->block_bytes));
		const size_t n = got > 0 ? (size_t)got : 0;

		if (n == 0)
			break;
		memset(p->block + n, 0, p->block_bytes - n);
		if (is_zero(p->block, p->block_bytes))
			continue;
		if (p->used == BLOCKS_MAX)
			exit(1);
		const uint32_t place = p->places[p->used++];
		if (fseek(p->data, (long)(place * p->block_bytes), SEEK_SET) != 0 ||
			fwrite(p->block, p->block_bytes, 1, p->data) != 1)
			exit(1);
		(void)fprintf(text,
			"<single_mapping origin_block=\"%llu\" data_block=\"%u\" time=\"0\"/>\n",
			(unsigned long long)at, place);
		m->keys[mapped] = at;
		put_mapping(m->values + 8 * mapped, place, 0);
		m->count = ++mapped;
	}
	(void)fclose(text);
	(void)fclose(in);
	(void)fprintf(p->xml,
		"<device dev_id=\"%s\" mapped_blocks=\"%zu\" transaction=\"1\" "
		"creation_time=\"0\" snap_time=\"0\">\n%s</device>\n",
		id, mapped, mappings);
	free(mappings);
}

static void save_metadata(const struct pool *p, const char *folder, uint32_t max)
{
	uint8_t details[24 * DEVICES_MAX], roots[8 * DEVICES_MAX];
	struct image m;
	char path[4096];

	image_frame(&m, folder, 1024, BLOCKS_MAX, (unsigned)(p->block_bytes / 512));
	for (size_t i = 0; i < p->count; i++) {
		const struct mappings *d = &p->devices[i];

		put_le(roots + 8 * i, 8, image_tree(&m, d->keys, d->values, d->count, 8, max));
		put_details(details + 24 * i, d->count, 1, 0, 0);
	}
	const uint64_t root = image_tree(&m, p->ids, roots, p->count, 8, max);
	image_roots(&m, root, image_tree(&m, p->ids, details, p->count, 24, max < 126 ? max : 126));
	(void)snprintf(path, sizeof(path), "%s/metadata", folder);
	image_save(&m, path);
	free(m.data);
	for (const char *const *name = (const char *const[]){"frame", "f.xml", "out", NULL}; *name;
		name++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, *name);
		(void)remove(path);
	}
}

int main(int argc, char **argv)
{
	static struct pool p;

	if (argc < 6)
		return 2;
	seed = strtoull(argv[2], NULL, 10) * 2654435761u + 88172645463325252u;
	p.block_bytes = strtoull(argv[3], NULL, 10);
	p.block = malloc(p.block_bytes);
	p.data = must_open(argv[1], "data", "wb");
	p.xml = must_open(argv[1], "pool.xml", "w");
	if (!p.block)
		return 1;
	shuffle(&p);
	(void)fprintf(p.xml,
		"<superblock uuid=\"\" time=\"1\" transaction=\"9\" data_block_size=\"%zu\" "
		"nr_data_blocks=\"%u\">\n",
		p.block_bytes / 512, BLOCKS_MAX);
	for (int i = 5; i < argc; i++) {
		char *equals = strchr(argv[i], '=');

		if (!equals)
			return 2;
		*equals = '\0';
		add_device(&p, argv[i], equals + 1);
	}
	(void)fprintf(p.xml, "</superblock>\n");
	/* As long as a loop file is, down to the last block. */
	if (fseek(p.data, (long)(BLOCKS_MAX * p.block_bytes) - 1, SEEK_SET) != 0 ||
		fputc(0, p.data) == EOF || fclose(p.data) != 0 || fclose(p.xml) != 0)
		return 1;
	if (atoi(argv[4]) > 0)
		save_metadata(&p, argv[1], (uint32_t)atoi(argv[4]));
	printf("%zu blocks\n", p.used);
	for (size_t i = 0; i < p.count; i++)
		mappings_free(&p.devices[i]);
	free(p.block);
	return 0;
}
