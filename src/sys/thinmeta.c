/* SPDX-License-Identifier: Apache-2.0 */
/* Superblocks, and opening metadata; the trees are in thinbtree, thinruns and thinusage. */
#include "thinmeta.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "scope.h"
#include "thinbtree.h"

#define MAGIC 27022010u
#define SUPERBLOCK_SALT 160774u
#define METADATA_BLOCKS_MAX (255u * 16320u) /* what its space map can count */

/*
 * Slicing by 8.  Row k, column j is the register after the byte 1 << j and k zero bytes, for the
 * reflected polynomial 0x82F63B78; CRC is linear, so all other bytes are exclusive ors of these.
 */
#define BITS(i, a, b, c, d, e, f, g, h)                                                            \
	(((i)&1 ? a : 0u) ^ ((i)&2 ? b : 0u) ^ ((i)&4 ? c : 0u) ^ ((i)&8 ? d : 0u) ^               \
		((i)&16 ? e : 0u) ^ ((i)&32 ? f : 0u) ^ ((i)&64 ? g : 0u) ^ ((i)&128 ? h : 0u))
#define BYTES_4(i, ...)                                                                            \
	BITS((i), __VA_ARGS__), BITS((i) + 1, __VA_ARGS__), BITS((i) + 2, __VA_ARGS__),            \
		BITS((i) + 3, __VA_ARGS__)
#define BYTES_16(i, ...)                                                                           \
	BYTES_4((i), __VA_ARGS__), BYTES_4((i) + 4, __VA_ARGS__), BYTES_4((i) + 8, __VA_ARGS__),   \
		BYTES_4((i) + 12, __VA_ARGS__)
#define BYTES_64(i, ...)                                                                           \
	BYTES_16((i), __VA_ARGS__), BYTES_16((i) + 16, __VA_ARGS__),                               \
		BYTES_16((i) + 32, __VA_ARGS__), BYTES_16((i) + 48, __VA_ARGS__)
#define ROW(...)                                                                                   \
	{                                                                                          \
		BYTES_64(0, __VA_ARGS__), BYTES_64(64, __VA_ARGS__), BYTES_64(128, __VA_ARGS__),   \
			BYTES_64(192, __VA_ARGS__)                                                 \
	}

/* clang-format off */
static const uint32_t crc_table[8][256] = {
	ROW(0xF26B8303u, 0xE13B70F7u, 0xC79A971Fu, 0x8AD958CFu,
	    0x105EC76Fu, 0x20BD8EDEu, 0x417B1DBCu, 0x82F63B78u),
	ROW(0x13A29877u, 0x274530EEu, 0x4E8A61DCu, 0x9D14C3B8u,
	    0x3FC5F181u, 0x7F8BE302u, 0xFF17C604u, 0xFBC3FAF9u),
	ROW(0xA541927Eu, 0x4F6F520Du, 0x9EDEA41Au, 0x38513EC5u,
	    0x70A27D8Au, 0xE144FB14u, 0xC76580D9u, 0x8B277743u),
	ROW(0xDD45AAB8u, 0xBF672381u, 0x7B2231F3u, 0xF64463E6u,
	    0xE964B13Du, 0xD725148Bu, 0xABA65FE7u, 0x52A0C93Fu),
	ROW(0x38116FACu, 0x7022DF58u, 0xE045BEB0u, 0xC5670B91u,
	    0x8F2261D3u, 0x1BA8B557u, 0x37516AAEu, 0x6EA2D55Cu),
	ROW(0xEF306B19u, 0xDB8CA0C3u, 0xB2F53777u, 0x6006181Fu,
	    0xC00C303Eu, 0x85F4168Du, 0x0E045BEBu, 0x1C08B7D6u),
	ROW(0x68032CC8u, 0xD0065990u, 0xA5E0C5D1u, 0x4E2DFD53u,
	    0x9C5BFAA6u, 0x3D5B83BDu, 0x7AB7077Au, 0xF56E0EF4u),
	ROW(0x493C7D27u, 0x9278FA4Eu, 0x211D826Du, 0x423B04DAu,
	    0x847609B4u, 0x0D006599u, 0x1A00CB32u, 0x34019664u),
};
/* clang-format on */

static inline uint32_t crc_eight(uint32_t crc, const uint8_t *p)
{
	crc ^= thinbtree_le32(p);
	return crc_table[7][crc & 255] ^ crc_table[6][crc >> 8 & 255] ^
	       crc_table[5][crc >> 16 & 255] ^ crc_table[4][crc >> 24] ^ crc_table[3][p[4]] ^
	       crc_table[2][p[5]] ^ crc_table[1][p[6]] ^ crc_table[0][p[7]];
}

uint32_t thinmeta_crc32c(const uint8_t *data, size_t len)
{
	uint32_t crc = ~0u;

	for (; len >= 64; data += 64, len -= 64)
		for (unsigned i = 0; i < 64; i += 8)
			crc = crc_eight(crc, data + i);
	for (; len; data++, len--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *data) & 255];
	return ~crc;
}

/* doubtful: what its checksum and place would tell is left open, as long as it looks like one. */
static int parse(const uint8_t *b, uint64_t block, bool doubtful, struct thinmeta_superblock *ret,
	struct err *e)
{
	const struct thinmeta_superblock s = {
		.checksum = thinbtree_le32(b),
		.flags = thinbtree_le32(b + 4),
		.version = thinbtree_le32(b + 40),
		.time = thinbtree_le32(b + 44),
		.transaction = thinbtree_le64(b + 48),
		.held_root = thinbtree_le64(b + 56),
		.data_blocks = thinbtree_le64(b + 64),
		.metadata_blocks = thinbtree_le64(b + 192),
		.mapping_root = thinbtree_le64(b + 320),
		.details_root = thinbtree_le64(b + 328),
		.block_sectors = thinbtree_le32(b + 336),
	};
	const uint32_t features = thinbtree_le32(b + 360);
	const bool is_magic = thinbtree_le64(b + 32) == MAGIC;
	const char *why = NULL;

	if (!is_magic)
		why = "no thin-pool metadata (bad magic)";
	else if ((~thinmeta_crc32c(b + 4, THINMETA_BLOCK - 4) ^ SUPERBLOCK_SALT) !=
		 thinbtree_le32(b))
		why = "checksum does not match";
	else if (thinbtree_le64(b + 8) != block)
		why = "it says that it is another block";
	else if (s.version < 1 || s.version > 2 || features != 0)
		why = "version or features are unknown";
	if (why && !(doubtful && is_magic))
		return err_set(e, ERR_POOL, -EBADMSG,
			"superblock: block %" PRIu64 " (byte %" PRIu64 "): %s", block,
			block * THINMETA_BLOCK, why);
	if (s.block_sectors < 128 || s.block_sectors > 2097152 || s.block_sectors % 128)
		return err_set(e, ERR_POOL, -EBADMSG,
			"superblock: block %" PRIu64 " (byte %" PRIu64
			"): a block size of %u sectors",
			block, block * THINMETA_BLOCK, s.block_sectors);
	*ret = s;
	return 0;
}

static bool sizes_are_possible(const struct thinmeta_superblock *s)
{
	return s->data_blocks && s->data_blocks <= UINT64_MAX / 512 / s->block_sectors &&
	       s->metadata_blocks && s->metadata_blocks <= METADATA_BLOCKS_MAX;
}

int thinmeta_superblock_parse(
	const uint8_t b[THINMETA_BLOCK], struct thinmeta_superblock *ret, struct err *e)
{
	struct thinmeta_superblock s;
	int r = parse(b, 0, false, &s, e);

	if (r < 0)
		return r;
	if (!sizes_are_possible(&s))
		return err_set(e, ERR_POOL, -EBADMSG,
			"superblock: block 0 (byte 0): sizes are out of range");
	*ret = s;
	return 0;
}

int thinmeta_superblock_read(const char *path, struct thinmeta_superblock *ret, struct err *e)
{
	_Alignas(THINMETA_BLOCK) uint8_t block[THINMETA_BLOCK];
	struct stat st;
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, ERR_POOL, -errno, "metadata '%s'", path);
	if (S_ISBLK(st.st_mode) && fcntl(fd, F_SETFL, O_DIRECT) < 0)
		return err_sys(e, ERR_POOL, -errno, "metadata '%s': O_DIRECT", path);
	ssize_t n = pread(fd, block, sizeof(block), 0);
	if (n != (ssize_t)sizeof(block))
		return err_sys(e, ERR_POOL, n < 0 ? -errno : -EIO, "metadata '%s': read", path);
	int r = thinmeta_superblock_parse(block, ret, e);
	if (r < 0)
		return err_add(e, "metadata '%s'", path);
	return 0;
}

int thinmeta_read_block(const struct thinmeta *m, uint64_t block, uint8_t *buf)
{
	const uint64_t at = block * THINMETA_BLOCK;

	if (at + THINMETA_BLOCK > m->bytes)
		return -ENODATA;
	if (m->image) {
		memcpy(buf, m->image + at, THINMETA_BLOCK);
		return 0;
	}
	for (;;) {
		ssize_t n = pread(m->fd, buf, THINMETA_BLOCK, (off_t)at);

		if (n == (ssize_t)THINMETA_BLOCK)
			return 0;
		if (n >= 0 || errno != EINTR)
			return n < 0 ? -errno : -EIO;
	}
}

static int read_superblock(
	const struct thinmeta *m, uint64_t block, struct thinmeta_superblock *ret, struct err *e)
{
	_Alignas(THINMETA_BLOCK) uint8_t buf[THINMETA_BLOCK];
	int r = thinmeta_read_block(m, block, buf);

	if (r < 0)
		return err_sys(e, ERR_POOL, r == -ENODATA ? -EIO : r,
			"superblock: block %" PRIu64 " (byte %" PRIu64 "): read", block,
			block * THINMETA_BLOCK);
	return block ? parse(buf, block, false, ret, e) : thinmeta_superblock_parse(buf, ret, e);
}

/* Impossible sizes are replaced by what the files allow; they only bound what is read. */
static int find_doubtful(struct thinmeta *m, struct err *e)
{
	_Alignas(THINMETA_BLOCK) uint8_t buf[THINMETA_BLOCK];
	struct thinmeta_superblock s;
	int r = thinmeta_read_block(m, 0, buf);

	if (r < 0)
		return err_sys(e, ERR_POOL, r == -ENODATA ? -EIO : r, "superblock: read");
	r = parse(buf, 0, true, &s, e);
	if (r < 0)
		return r;
	if (!sizes_are_possible(&s)) {
		const uint64_t blocks = m->bytes / THINMETA_BLOCK;

		s.data_blocks = (uint64_t)INT64_MAX / 512 / s.block_sectors;
		s.metadata_blocks = blocks < METADATA_BLOCKS_MAX ? blocks : METADATA_BLOCKS_MAX;
	}
	m->sb = s;
	m->blocks = s.metadata_blocks;
	return 0;
}

static int find_root(struct thinmeta *m, uint64_t root, struct err *e)
{
	struct thinmeta_superblock main_sb, held;
	if (root == THINMETA_DOUBTFUL)
		return find_doubtful(m, e);
	int r = read_superblock(m, 0, &main_sb, e);

	if (r < 0)
		return r;
	m->sb = main_sb;
	m->blocks = main_sb.metadata_blocks;
	if (root == THINMETA_MAIN || root == THINMETA_LIVE)
		return 0;
	if (root == THINMETA_HELD)
		root = main_sb.held_root;
	if (root == 0)
		return err_set(e, ERR_POOL, -ENODATA, "there is no metadata snapshot");
	if (root >= m->blocks)
		return err_set(e, ERR_POOL, -EBADMSG,
			"the metadata snapshot's block %" PRIu64 " is none of %" PRIu64, root,
			m->blocks);
	r = read_superblock(m, root, &held, e);
	if (r == 0 && held.block_sectors != main_sb.block_sectors)
		r = err_set(e, ERR_POOL, -EBADMSG, "superblock: block size differs from block 0's");
	if (r < 0)
		return err_add(e, "metadata snapshot at block %" PRIu64, root);
	/* The copy has no space maps, and so no sizes. */
	held.data_blocks = main_sb.data_blocks;
	held.metadata_blocks = main_sb.metadata_blocks;
	m->sb = held;
	m->root_block = root;
	return 0;
}

static void scope_meta(struct thinmeta **m)
{
	thinmeta_close(*m);
}
#define AUTO_META __attribute__((cleanup(scope_meta))) struct thinmeta

static struct thinmeta *new_meta(const char *name)
{
	struct thinmeta *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->fd = -1;
	m->name = strdup(name);
	return m;
}

/* All but the descriptor or the image is still to be found out. */
static int open_trees(struct thinmeta *m, uint64_t root, struct err *e)
{
	int r = find_root(m, root, e);

	if (r < 0)
		return err_add(e, "metadata '%s'", m->name);
	m->verdicts = calloc(m->blocks, 1);
	if (!m->verdicts)
		return err_sys(e, ERR_FATAL, -ENOMEM, "metadata '%s'", m->name);
	return 0;
}

int thinmeta_open(const char *path, uint64_t root, struct thinmeta **ret, struct err *e)
{
	AUTO_META *m = new_meta(path);
	struct stat st;

	if (!m || !m->name)
		return err_sys(e, ERR_FATAL, -ENOMEM, "metadata '%s'", path);
	/* O_EXCL means something for block devices only. */
	m->fd = open(
		path, O_RDONLY | O_CLOEXEC | O_NONBLOCK |
			      (root == THINMETA_MAIN || root == THINMETA_DOUBTFUL ? O_EXCL : 0));
	if (m->fd < 0 && errno == EBUSY)
		return err_set(e, ERR_POOL, -EBUSY,
			"metadata '%s' is in use: only a metadata snapshot of it can be read",
			path);
	if (m->fd < 0 || fstat(m->fd, &st) < 0)
		return err_sys(e, ERR_POOL, -errno, "metadata '%s'", path);
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(e, ERR_POOL, -ENOTBLK,
			"metadata '%s': neither file nor block device", path);
	if (S_ISBLK(st.st_mode) && fcntl(m->fd, F_SETFL, O_DIRECT) < 0)
		return err_sys(e, ERR_POOL, -errno, "metadata '%s': O_DIRECT", path);
	off_t end = lseek(m->fd, 0, SEEK_END);
	if (end < 0)
		return err_sys(e, ERR_POOL, -errno, "metadata '%s': size", path);
	m->bytes = (uint64_t)end;
	int r = open_trees(m, root, e);
	if (r == 0)
		*ret = TAKE_PTR(m);
	return r;
}

int thinmeta_open_image(const uint8_t *image, size_t len, const char *name, uint64_t root,
	struct thinmeta **ret, struct err *e)
{
	AUTO_META *m = new_meta(name);

	if (!m || !m->name)
		return err_sys(e, ERR_FATAL, -ENOMEM, "metadata '%s'", name);
	m->image = image;
	m->bytes = len;
	int r = open_trees(m, root, e);
	if (r == 0)
		*ret = TAKE_PTR(m);
	return r;
}

void thinmeta_close(struct thinmeta *m)
{
	if (!m)
		return;
	if (m->fd >= 0)
		(void)close(m->fd);
	free(m->verdicts);
	free(m->name);
	free(m);
}

const struct thinmeta_superblock *thinmeta_superblock(const struct thinmeta *m)
{
	return &m->sb;
}

uint64_t thinmeta_block_bytes(const struct thinmeta *m)
{
	return (uint64_t)m->sb.block_sectors * 512;
}

int thinmeta_damage_text(
	const struct thinmeta *m, const struct thinmeta_damage *d, char *out, size_t cap)
{
	static const char *const texts[] = {
		[THINMETA_SOUND] = "is sound",
		[THINMETA_UNREADABLE] = "cannot be read",
		[THINMETA_CHECKSUM] = "checksum does not match",
		[THINMETA_PLACE] = "says it is another block",
		[THINMETA_SHAPE] = "is no such node",
		[THINMETA_ORDER] = "keys do not ascend",
		[THINMETA_RANGE] = "keys leave the parent's range",
		[THINMETA_CHILD] = "is outside the metadata",
		[THINMETA_CYCLE] = "is its own ancestor",
		[THINMETA_DEPTH] = "lies too deep",
		[THINMETA_EMPTY] = "has no keys",
		[THINMETA_VALUE] = "an entry's value is out of range",
	};
	char at[48] = "", parent[48] = "the superblock";

	if (d->block < UINT64_MAX / THINMETA_BLOCK)
		(void)snprintf(at, sizeof(at), " (byte %" PRIu64 ")", d->block * THINMETA_BLOCK);
	if (d->parent)
		(void)snprintf(parent, sizeof(parent), "block %" PRIu64, d->parent);
	return snprintf(out, cap,
		"'%s': block %" PRIu64 "%s, named by %s: %s: keys %" PRIu64 " to %" PRIu64
		" are unknown",
		m->name, d->block, at, parent, texts[d->reason], d->begin, d->end - 1);
}
