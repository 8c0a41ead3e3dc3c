/* SPDX-License-Identifier: Apache-2.0 */
#include "store_suite.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "plan.h"
#include "scope.h"

#define THIN_ID_MAX 0xFFFFFF
#define FILES_MAX 256

static const struct suite_fixture *fixture; /* of the group that runs */

int suite_setup(void **state)
{
	struct suite *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	(void)strcpy(f->root, "/tmp/test-store-XXXXXX");
	*state = f;
	(void)alarm(200); /* a store that opens a fifo would wait for ever */
	return mkdtemp(f->root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void clear(struct suite *f)
{
	container_list_done(&f->list);
	strbuf_free(&f->notes);
	f->e = (struct err){0};
}

int suite_teardown(void **state)
{
	struct suite *f = *state;

	(void)nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	clear(f);
	free(f);
	(void)alarm(0);
	return 0;
}

const char *suite_place(const struct suite *f, const char *path)
{
	static char full[PATH_MAX];

	(void)snprintf(full, sizeof(full), "%s/%s", f->root, path);
	for (char *p = full + strlen(f->root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		assert_true(mkdir(full, 0700) == 0 || errno == EEXIST);
		*p = '/';
	}
	return full;
}

void suite_put(const struct suite *f, const void *data, size_t len, const char *path)
{
	FILE *out = fopen(suite_place(f, path), "w");

	assert_non_null(out);
	assert_int_equal(fwrite(data, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
}

void suite_text(const struct suite *f, const char *text, const char *fmt, ...)
{
	char path[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	suite_put(f, text, strlen(text), path);
}

void suite_list(struct suite *f, const struct store_ops *ops, const char *pool)
{
	struct cfg_store cfg = {.name = (char *)"s",
		.type = (char *)ops->type,
		.root = f->root,
		.config_dir = f->root,
		.graphroot = f->root,
		.pool = (char *)pool};

	clear(f);
	f->ret = ops->list(&cfg, &f->list, &f->notes, &f->e);
	assert_true(f->ret == 0 || (f->ret < 0 && f->e.kind && f->e.text[0]));
}

size_t suite_problems(const struct suite *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->list.count; i++)
		n += f->list.items[i].problem != NULL;
	return n;
}

void suite_expect_notes(const struct suite *f, size_t lines, const char *part)
{
	size_t n = 0;

	for (const char *p = f->notes.data; p && (p = strchr(p, '\n')); p++)
		n++;
	if (n != lines || (part && (!f->notes.data || !strstr(f->notes.data, part))))
		fail_msg("%zu lines, expected %zu with '%s': '%s'", n, lines, part ? part : "",
			f->notes.data ? f->notes.data : "");
}

void suite_expect_problem(const struct suite *f, const char *part)
{
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, 1);
	if (!f->list.items[0].problem || !strstr(f->list.items[0].problem, part))
		fail_msg("'%s' lacks '%s'", f->list.items[0].problem, part);
}

static void list(struct suite *f)
{
	suite_list(f, fixture->ops, fixture->pool);
}

static struct suite_spec good(unsigned n)
{
	return (struct suite_spec){.n = n, .thin_id = n + 3, .size_bytes = 1 << 30};
}

/* As one text, in order: what of a listing matters. */
static char *in_words(const struct suite *f)
{
	struct strbuf b = {0};

	for (size_t i = 0; i < f->list.count; i++) {
		const struct container *c = &f->list.items[i];

		strbuf_printf(&b, "%s|%s|%s|%s|%s|%s|%u|%llu|%s|%s|%s\n", c->store, c->id, c->name,
			c->state ? c->state : "", c->image ? c->image : "", c->subdir, c->thin_id,
			(unsigned long long)c->size_bytes, c->pool.dm_name ? c->pool.dm_name : "",
			c->pool.device_name ? c->pool.device_name : "",
			c->problem ? c->problem : "");
	}
	strbuf_puts(&b, f->notes.data ? f->notes.data : "");
	return b.data;
}

static void is_sorted_and_stable(void **state)
{
	static const unsigned order[] = {9, 2, 14, 1, 7, 4, 12, 3, 10};
	struct suite *f = *state;
	struct suite_spec specs[ARRAY_LEN(order)];

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		specs[i] = good(order[i]);
	fixture->write(f, specs, ARRAY_LEN(order));
	list(f);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, ARRAY_LEN(order));
	assert_int_equal(suite_problems(f), 0);
	for (size_t i = 0; i < f->list.count; i++) {
		const struct container *c = &f->list.items[i];

		assert_string_equal(c->store, "s");
		assert_true(c->id && c->name && c->state && c->subdir && c->pool.dm_name);
		assert_true(c->config_json && !c->pool.device_name == fixture->is_lvm);
		assert_int_equal(c->volume, VOLUME_THIN);
		assert_true(i == 0 || strcmp(c[-1].id, c->id) < 0);
	}
	AUTO_FREE char *first = in_words(f);
	list(f);
	AUTO_FREE char *second = in_words(f);
	assert_string_equal(first, second);
}

/* What other stores listed before stays. */
static void appends(void **state)
{
	struct suite *f = *state;
	const struct suite_spec specs[] = {good(1), good(2)};
	struct cfg_store cfg = {.name = (char *)"t",
		.type = (char *)fixture->ops->type,
		.root = f->root,
		.config_dir = f->root,
		.graphroot = f->root,
		.pool = (char *)fixture->pool};

	fixture->write(f, specs, 2);
	list(f);
	assert_int_equal(fixture->ops->list(&cfg, &f->list, &f->notes, &f->e), 0);
	assert_int_equal(f->list.count, 4);
	assert_string_equal(f->list.items[1].store, "s");
	assert_string_equal(f->list.items[2].store, "t");
	assert_string_equal(f->list.items[0].id, f->list.items[2].id);
	assert_string_equal(f->list.items[0].name, f->list.items[2].name);
}

static void broken_records_are_problems(void **state)
{
	struct suite *f = *state;
	struct suite_spec specs[] = {good(1), good(2), good(3), good(4)};

	specs[1].kind = specs[3].kind = SUITE_BROKEN;
	fixture->write(f, specs, 4);
	list(f);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, 4);
	for (size_t i = 0; i < 4; i++) {
		const struct container *c = &f->list.items[i];

		assert_int_equal(c->problem != NULL, i % 2);
		assert_true(c->id && c->name && c->store);
		/* It says where. */
		assert_true(!c->problem || strstr(c->problem, f->root));
	}
}

static void ids_and_sizes_are_in_range(void **state)
{
	static const struct {
		long long id, size;
		bool good;
	} rows[] = {{0, 512, true}, {THIN_ID_MAX, 1ll << 40, true}, {THIN_ID_MAX + 1, 512, false},
		{-1, 512, false}, {INT64_MAX, 512, false}, {4, 0, false}, {4, -512, false},
		{4, 511, false}, {4, 513, false}, {4, INT64_MAX - 511, false}};
	struct suite *f = *state;
	struct suite_spec specs[ARRAY_LEN(rows)];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		specs[i] = (struct suite_spec){
			.n = (unsigned)i, .thin_id = rows[i].id, .size_bytes = rows[i].size};
	fixture->write(f, specs, ARRAY_LEN(rows));
	list(f);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, ARRAY_LEN(rows));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct container *c = &f->list.items[i];

		if (rows[i].good != !c->problem)
			fail_msg("thin %lld of %lld bytes: %s", rows[i].id, rows[i].size,
				c->problem ? c->problem : "taken");
		if (!rows[i].good)
			continue;
		assert_int_equal(c->thin_id, rows[i].id);
		assert_int_equal(c->size_bytes, rows[i].size);
	}
}

static bool is_printable(const char *s)
{
	for (; s && *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static void hostile_names_do_no_harm(void **state)
{
	struct suite *f = *state;
	struct suite_spec specs[] = {good(1), good(2), good(3)};

	specs[1].kind = SUITE_HOSTILE;
	fixture->write(f, specs, 3);
	list(f);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, 3);
	assert_int_equal(suite_problems(f), 1);
	for (size_t i = 0; i < 3; i++) {
		const struct container *c = &f->list.items[i];
		const struct naming n = {.job = "j", .hostname = "h", .container = c, .time = 1};
		AUTO_FREE char *path = NULL;

		assert_true(is_printable(c->name) && is_printable(c->id));
		assert_true(is_printable(c->problem));
		assert_null(strchr(c->name, '/'));
		assert_int_not_equal(c->name[0], '.');
		assert_int_equal(naming_expand("{container}/{time}", &n, &path, &f->e), 0);
		assert_ptr_equal(strchr(path, '/'), strrchr(path, '/'));
	}
	assert_true(!f->notes.data || !strchr(f->notes.data, '\x1b'));
}

/* -- the folder as a whole ----------------------------------------------------------------------
 */

static struct tree {
	char *paths[FILES_MAX]; /* files and folders, without the root itself */
	bool is_dir[FILES_MAX];
	size_t count;
	struct strbuf words; /* what a write would change */
} tree;

static int see(const char *path, const struct stat *st, int type, struct FTW *at)
{
	if (tree.count == FILES_MAX)
		return -1;
	/* The access time may change. */
	strbuf_printf(&tree.words, "%s %o %llu %lld %lld.%09ld %lld.%09ld\n", path, st->st_mode,
		(unsigned long long)st->st_ino, (long long)st->st_size,
		(long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
		st->st_ctim.tv_nsec);
	if (at->level == 0)
		return 0;
	tree.is_dir[tree.count] = type == FTW_D;
	tree.paths[tree.count++] = strdup(path);
	return 0;
}

static void look(const struct suite *f)
{
	for (size_t i = 0; i < tree.count; i++)
		free(tree.paths[i]);
	strbuf_free(&tree.words);
	tree = (struct tree){0};
	if (f)
		assert_int_equal(nftw(f->root, see, 16, FTW_PHYS), 0);
}

static void writes_nothing(void **state)
{
	struct suite *f = *state;
	struct suite_spec specs[] = {good(1), good(2), good(3)};

	specs[1].kind = SUITE_BROKEN;
	specs[2].kind = SUITE_HOSTILE;
	fixture->write(f, specs, 3);
	look(f);
	AUTO_FREE char *before = strdup(tree.words.data);
	list(f);
	look(f);
	assert_string_equal(tree.words.data, before);
	look(NULL);
}

/* Nobody may take such a folder for one that is whole. */
static void expect_noticed(struct suite *f, const char *whole, const char *what, const char *path)
{
	list(f);
	AUTO_FREE char *now = f->ret < 0 ? NULL : in_words(f);

	if (now && strcmp(now, whole) == 0)
		fail_msg("%s: %s: was followed", path, what);
	if (!now || suite_problems(f) || f->notes.len)
		return;
	/* Then a folder has to be missing as a whole. */
	if (f->list.count)
		fail_msg("%s: %s: nothing is said about it", path, what);
}

/* Every file and every folder in turn is a link to itself elsewhere; every file is a fifo. */
static void follows_no_link_and_waits_for_nothing(void **state)
{
	struct suite *f = *state;
	const struct suite_spec specs[] = {good(1)};
	char aside[128];
	size_t links = 0, fifos = 0;

	fixture->write(f, specs, 1);
	list(f);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, 1);
	AUTO_FREE char *whole = in_words(f);
	(void)snprintf(aside, sizeof(aside), "%s.aside", f->root);
	look(f);
	for (size_t i = 0; i < tree.count; i++) {
		const char *path = tree.paths[i];

		assert_int_equal(rename(path, aside), 0);
		assert_int_equal(symlink(aside, path), 0);
		expect_noticed(f, whole, "a link", path + strlen(f->root));
		assert_int_equal(unlink(path), 0);
		links++;
		if (!tree.is_dir[i]) {
			assert_int_equal(mkfifo(path, 0600), 0);
			expect_noticed(f, whole, "a fifo", path + strlen(f->root));
			assert_int_equal(unlink(path), 0);
			fifos++;
		}
		assert_int_equal(rename(aside, path), 0);
	}
	look(NULL);
	print_message("%s: %zu links, %zu fifos\n", fixture->ops->type, links, fifos);
	assert_true(links >= (fixture->is_lvm ? 2 : 5) && fifos >= (fixture->is_lvm ? 1 : 3));
	list(f);
	AUTO_FREE char *again = in_words(f);
	assert_string_equal(again, whole);
}

static void the_root_itself_may_be_a_link(void **state)
{
	struct suite *f = *state;
	const struct suite_spec specs[] = {good(1)};
	char real[80], root[64];

	fixture->write(f, specs, 1);
	(void)strcpy(root, f->root);
	(void)snprintf(real, sizeof(real), "%s.real", root);
	assert_int_equal(rename(root, real), 0);
	assert_int_equal(symlink(real, root), 0);
	list(f);
	assert_int_equal(unlink(root), 0);
	assert_int_equal(rename(real, root), 0);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, 1);
	assert_int_equal(suite_problems(f), 0);
}

static void other_folders_are_refused(void **state)
{
	struct suite *f = *state;
	char root[64];

	list(f);
	assert_int_equal(f->ret, -ENOENT);
	assert_int_equal(f->e.kind, ERR_STORE);
	assert_non_null(strstr(f->e.text, f->root));
	(void)strcpy(root, f->root);
	(void)strcat(f->root, "/none");
	list(f);
	(void)strcpy(f->root, root);
	assert_int_equal(f->ret, -ENOENT);
	assert_int_equal(f->e.kind, ERR_STORE);
}

int suite_run(const struct suite_fixture *x)
{
	const struct CMUnitTest tests[] = {
		SUITE_TEST(is_sorted_and_stable),
		SUITE_TEST(appends),
		SUITE_TEST(broken_records_are_problems),
		SUITE_TEST(ids_and_sizes_are_in_range),
		SUITE_TEST(hostile_names_do_no_harm),
		SUITE_TEST(writes_nothing),
		SUITE_TEST(follows_no_link_and_waits_for_nothing),
		SUITE_TEST(the_root_itself_may_be_a_link),
		SUITE_TEST(other_folders_are_refused),
	};

	fixture = x;
	return cmocka_run_group_tests_name(x->ops->type, tests, NULL, NULL);
}
