/* SPDX-License-Identifier: Apache-2.0 */
/* The containerd store against roots with made databases, and against a real one's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "bolt_writer.h"
#include "containerd_record.h"
#include "scope.h"
#include "store_suite.h"

#define META "io.containerd.metadata.v1.bolt/meta.db"
#define SNAPSHOTTER "io.containerd.snapshotter.v1.devmapper"
#define GOLDEN SOURCE_DIR "/tests/golden/containerd/"

/* One container of the databases.  Names of the fields as in them; NULL and 0: as usual. */
struct one {
	const char *ns, *id, *snapshotter, *labels[10]; /* keys and values, NULL at the end */
	const char *spec, *device;                      /* JSON */
	long long thin_id, size_bytes;                  /* of the device's record */
	const char *cut;                                /* the link that is missing */
	uint8_t kind, created;
	unsigned number; /* the snapshotter's; set by write_all */
};

static int by_id(const void *pa, const void *pb)
{
	const struct one *a = pa, *b = pb;
	int r = strcmp(a->ns, b->ns);

	return r ? r : strcmp(a->id, b->id);
}

static bool is_cut(const struct one *x, const char *link)
{
	return x->cut && strcmp(x->cut, link) == 0;
}

static void write_container(struct bolt_writer *w, const struct one *x)
{
	const char *spec = x->spec ? x->spec : "{\"ociVersion\":\"1.0.2\"}";
	uint8_t any[300] = {0x0a, 1, 'u', 0x12}, time[15] = {1, 0, 0, 0, 14, 0, 0, 0, x->created};

	any[4] = (uint8_t)(strlen(spec) & 0x7f);
	memcpy(any + 5, spec, strlen(spec));
	writer_enter(w, x->id);
	writer_put(w, "createdat", time, sizeof(time));
	writer_text(w, "image", "example.org/busybox:1");
	if (x->labels[0]) {
		writer_enter(w, "labels");
		for (size_t i = 0; x->labels[i]; i += 2)
			writer_text(w, x->labels[i], x->labels[i + 1]);
		writer_leave(w, true);
	}
	writer_text(w, "snapshotKey", x->id);
	writer_text(w, "snapshotter", x->snapshotter ? x->snapshotter : "devmapper");
	writer_put(w, "spec", any, 5 + strlen(spec));
	writer_leave(w, x->labels[0] == NULL);
}

static void write_namespace(struct bolt_writer *w, const struct one *x, size_t count)
{
	char name[200];

	writer_enter(w, x->ns);
	writer_enter(w, "containers");
	for (size_t i = 0; i < count; i++)
		write_container(w, &x[i]);
	writer_leave(w, false);
	writer_enter(w, "images");
	writer_enter(w, "example.org/busybox:1");
	writer_enter(w, "target");
	writer_text(w, "digest", "sha256:00");
	writer_leave(w, true);
	writer_leave(w, false);
	writer_leave(w, false);
	writer_enter(w, "snapshots");
	writer_enter(w, "devmapper");
	for (size_t i = 0; i < count; i++) {
		if (is_cut(&x[i], "snapshot"))
			continue;
		(void)snprintf(name, sizeof(name), "key-%02u", x[i].number);
		writer_enter(w, x[i].id);
		writer_text(w, "name", name);
		writer_leave(w, true);
	}
	writer_leave(w, false);
	writer_leave(w, false);
	writer_leave(w, false);
}

static void end(const struct suite *f, struct bolt_writer *w, const char *path)
{
	size_t len;
	AUTO_FREE uint8_t *data = writer_end(w, &len);

	suite_put(f, data, len, path);
}

static void write_devices(const struct suite *f, const struct one *x, size_t count)
{
	struct bolt_writer w;
	char name[64], json[300];

	writer_begin(&w);
	writer_enter(&w, "devices");
	for (size_t i = 0; i < count; i++) {
		if (is_cut(&x[i], "device"))
			continue;
		(void)snprintf(name, sizeof(name), "pool-snap-%u", x[i].number);
		(void)snprintf(json, sizeof(json),
			"{\"device_id\":%lld,\"size\":%lld,\"name\":\"%s\",\"parent_name\":\"\","
			"\"state\":4,\"error\":\"\"%s",
			x[i].thin_id, x[i].size_bytes, name, is_cut(&x[i], "record") ? "" : "}");
		writer_text(&w, name, x[i].device ? x[i].device : json);
	}
	writer_leave(&w, false);
	end(f, &w, SNAPSHOTTER "/pool.db");
}

static void write_all(const struct suite *f, struct one *x, size_t count)
{
	struct bolt_writer w;
	size_t first = 0;

	qsort(x, count, sizeof(*x), by_id);
	writer_begin(&w);
	writer_enter(&w, "v1");
	for (size_t i = 1; i <= count; i++)
		if (i == count || strcmp(x[i].ns, x[first].ns) != 0) {
			for (size_t k = first; k < i; k++)
				x[k].number = 10 + (unsigned)k;
			write_namespace(&w, &x[first], i - first);
			first = i;
		}
	writer_put(&w, "version", "\x06", 1);
	end(f, &w, META);
	writer_begin(&w);
	writer_enter(&w, "v1");
	writer_enter(&w, "snapshots");
	for (size_t i = 0; i < count; i++) {
		const uint8_t kind = x[i].kind ? x[i].kind : 2, id = (uint8_t)x[i].number;
		char name[32];

		if (is_cut(&x[i], "number"))
			continue;
		(void)snprintf(name, sizeof(name), "key-%02u", x[i].number);
		writer_enter(&w, name);
		writer_put(&w, "id", &id, 1);
		writer_put(&w, "kind", &kind, 1);
		writer_leave(&w, true);
	}
	end(f, &w, SNAPSHOTTER "/metadata.db");
	write_devices(f, x, count);
}

static void list(struct suite *f)
{
	suite_list(f, &store_containerd, NULL);
	if (f->ret < 0)
		print_message("%s\n", f->e.text);
}

#define SIZED .thin_id = 4, .size_bytes = 512
#define KUBE(pod, own)                                                                             \
	"io.kubernetes.container.name", own, "io.kubernetes.pod.name", pod,                        \
		"io.kubernetes.pod.namespace", "prod"

static void names_tell_where_it_is(void **state)
{
	struct suite *f = *state;
	struct one x[] = {
		{"default", "web", SIZED},
		{"default", "other", SIZED, .labels = {"nerdctl/name", "db"}},
		{"default", "trap", SIZED, .labels = {"nerdctl/name", "../x"}},
		{"fc", "web", SIZED},
		{"k8s.io", "aa", SIZED, .labels = {KUBE("shop-0", "app")}, .created = 1},
		{"k8s.io", "bb", SIZED, .labels = {KUBE("shop-0", "app")}, .created = 2},
		{"k8s.io", "cc", SIZED, .labels = {KUBE("shop-0", "../app")}},
		{"k8s.io", "dd", SIZED, .labels = {"io.cri-containerd.kind", "sandbox", "z", "z"}},
		{"k8s.io", "ee", SIZED, .snapshotter = "overlayfs"},
		{"moby", "web", SIZED},
	};
	static const char *const want[] = {"db", "trap", "web", "fc_web",
		"prod_shop-0_app_k8s.io_aa", "prod_shop-0_app", "cc", "web_moby_web"};

	write_all(f, x, ARRAY_LEN(x));
	list(f);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, ARRAY_LEN(want));
	assert_int_equal(suite_problems(f), 0);
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_string_equal(f->list.items[i].name, want[i]);
	assert_string_equal(f->list.items[3].namespace, "fc");
	assert_string_equal(f->list.items[3].id, "web");
	suite_expect_notes(f, 1, "1 containers of other snapshotters are left out");
}

static void all_that_is_known_is_listed(void **state)
{
	struct suite *f = *state;
	struct one x[] = {
		{"default", "job", SIZED, .kind = 1},
		{"default", "web", .thin_id = 7, .size_bytes = 1024, .labels = {"a", "b", "c", ""}},
	};

	write_all(f, x, 2);
	suite_text(f, "", "io.containerd.runtime.v2.task/default/web/x");
	list(f);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, 2);
	const struct container *c = &f->list.items[1];
	assert_string_equal(f->list.items[0].state, "stopped");
	assert_string_equal(c->state, "running");
	assert_string_equal(c->image, "example.org/busybox:1");
	assert_string_equal(c->image_id, "sha256:00");
	assert_string_equal(c->config_json, "{\"ociVersion\":\"1.0.2\"}");
	assert_string_equal(c->subdir, "");
	assert_string_equal(c->pool.dm_name, "pool");
	assert_string_equal(c->pool.device_name, "pool-snap-11");
	assert_null(c->pool.data_path);
	assert_int_equal(c->thin_id, 7);
	assert_int_equal(c->size_bytes, 1024);
	assert_int_equal(c->label_count, 2);
	assert_string_equal(container_label(c, "a"), "b");
	suite_expect_notes(f, 0, NULL);
}

static void what_is_wrong_is_said(void **state)
{
#define DEVICE(state) "{\"device_id\":4,\"size\":512,\"name\":\"pool-snap-10\",\"state\":" state "}"
	static const struct {
		struct one one;
		const char *problem;
	} rows[] = {
		{{.cut = "snapshot"}, "meta.db: there is no snapshot 'web'"},
		{{.cut = "number"}, "metadata.db: there is no snapshot 'key-10'"},
		{{.cut = "device"}, "pool.db: device 'pool-snap-10': missing"},
		{{.cut = "record"}, "pool.db: device 'pool-snap-10':1:"},
		{{.kind = 3}, "the snapshot is neither active nor a view"},
		{{.device = DEVICE("0")}, "was never made"},
		{{.device = DEVICE("1")}, "is being made"},
		{{.device = DEVICE("11")}, "is being removed"},
		{{.device = DEVICE("12")}, "is removed"},
		{{.device = DEVICE("13")}, "is marked faulty"},
		{{.device = DEVICE("-1")}, "state: -1 is not within"},
		{{.device = DEVICE("\"4\"")}, "state: missing, or no whole number"},
		{{.device = "{\"device_id\":4,\"size\":512,\"state\":4}"}, "is another device's"},
		{{.device = "{\"device_id\":4,\"size\":512,\"name\":\"pool-snap-1\",\"state\":4}"},
			"is another device's"},
		{{.device = "{\"size\":512,\"name\":\"pool-snap-10\",\"state\":4}"},
			"device_id: missing"},
		{{.device = "[]"}, "a JSON object is expected"},
		{{.device = ""}, ":1:"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct one x = rows[i].one;

		x.ns = "default";
		x.id = "web";
		write_all(*state, &x, 1);
		list(*state);
		suite_expect_problem(*state, rows[i].problem);
	}
	print_message("%zu problems\n", ARRAY_LEN(rows));
}

static void states_that_are_good(void **state)
{
	static const char *const good[] = {
		DEVICE("2"), DEVICE("4"), DEVICE("6"), DEVICE("8"), DEVICE("10"), DEVICE("99")};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct one x = {"default", "web", .device = good[i]};

		write_all(*state, &x, 1);
		list(*state);
		assert_int_equal(suite_problems(*state), 0);
	}
}

/* A spec is only passed on. */
static void a_broken_spec_is_noted(void **state)
{
	struct suite *f = *state;
	static const char *const specs[] = {"", "{", "[1]", "{\"a\":1}x"};

	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct one x = {"default", "web", SIZED, .spec = specs[i]};

		write_all(f, &x, 1);
		list(f);
		assert_int_equal(f->list.count, 1);
		assert_null(f->list.items[0].problem);
		assert_null(f->list.items[0].config_json);
		suite_expect_notes(f, 1, "its spec is no JSON object; archived without it");
	}
}

static void the_pool_is_found(void **state)
{
	struct suite *f = *state;
	struct one x[] = {{"default", "web", SIZED}};

	write_all(f, x, 1);
	suite_list(f, &store_containerd, "pool");
	assert_int_equal(f->ret, 0);
	suite_list(f, &store_containerd, "none");
	assert_int_equal(f->ret, -ENOENT);
	assert_non_null(strstr(f->e.text, SNAPSHOTTER "/none.db"));
	suite_list(f, &store_containerd, "../pool");
	assert_int_equal(f->ret, -EINVAL);
	suite_text(f, "x", SNAPSHOTTER "/second.db");
	list(f);
	assert_int_equal(f->ret, -ENOTUNIQ);
	assert_non_null(strstr(f->e.text, "key 'pool'"));
	suite_list(f, &store_containerd, "second");
	assert_int_equal(f->ret, -EBADMSG);
	suite_list(f, &store_containerd, "pool");
	assert_int_equal(f->ret, 0);
}

static void pool_databases(void **state)
{
	(void)state;
	assert_int_equal(containerd_pool_db("devpool.db"), 7);
	assert_int_equal(containerd_pool_db("vg-pool.db"), 7);
	assert_int_equal(containerd_pool_db("metadata.db"), 0);
	assert_int_equal(containerd_pool_db(".db"), 0);
	assert_int_equal(containerd_pool_db(".x.db"), 0);
	assert_int_equal(containerd_pool_db("data"), 0);
}

static void ids(void **state)
{
	static const char *const good[] = {"a", "web-1", "a.b_c-d", "k8s.io"}, *const bad[] = {"",
										       ".", "..",
										       "-a", "a-",
										       "a--b",
										       "a/b", "a b",
										       "a\x1b",
										       "../x"};
	char len[80] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(containerd_is_id(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(containerd_is_id(bad[i]));
	memset(len, 'a', 77);
	assert_false(containerd_is_id(len));
	len[76] = '\0';
	assert_true(containerd_is_id(len));
}

static void configuration(void **state)
{
#define TABLE "[plugins.\"io.containerd.snapshotter.v1.devmapper\"]\n"
	static const struct {
		const char *text, *root, *root_path, *pool;
		int ret;
	} rows[] = {
		{"", NULL, NULL, NULL, 0},
		{"version = 2\nroot = \"/r\"\n" TABLE "  pool_name = \"p\"\n  root_path='/x'\n",
			"/r", "/x", "p", 0},
		{"[plugins]\n  [plugins.devmapper]\n\tpool_name=\"p\" # why\n", NULL, NULL, "p", 0},
		{"[ plugins . 'io.containerd.snapshotter.v1.devmapper' ]\npool_name = 'a-b'\n",
			NULL, NULL, "a-b", 0},
		{TABLE "pool_name = \"p\"\n[plugins.x]\npool_name = \"q\"\n", NULL, NULL, "p", 0},
		{TABLE "# pool_name = \"p\"\npool_name = \"\"\n", NULL, NULL, NULL, 0},
		{"[x]\nroot = \"/r\"\n", NULL, NULL, NULL, 0},
		{TABLE "root = \"/r\"\n", NULL, NULL, NULL, 0},
		{TABLE "pool_name = \"a\\u0041\"\n", NULL, NULL, NULL, 0},
		{TABLE "pool_name = \"open\n", NULL, NULL, NULL, 0},
		{TABLE "pool_name = 5\nroot_path\n=\n", NULL, NULL, NULL, 0},
		{TABLE "pool_name = \"a/b\"\n", NULL, NULL, NULL, -EBADMSG},
		{TABLE "root_path = \"x\"\n", NULL, NULL, NULL, -EBADMSG},
		{"root = \"../x\"\n", NULL, NULL, NULL, -EBADMSG},
		{"[plugins.devmapper\npool_name = \"p\"\n", NULL, NULL, NULL, 0},
		{"\xff\n\n=\n[\n]\n[]\n", NULL, NULL, NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct containerd_config c = {0};
		struct err e = {0};
		int r = containerd_parse_config(rows[i].text, strlen(rows[i].text), "f", &c, &e);

		if (r != rows[i].ret)
			fail_msg("row %zu: %d %s", i, r, e.text);
		assert_string_equal(c.root ? c.root : "", rows[i].root ? rows[i].root : "");
		assert_string_equal(
			c.root_path ? c.root_path : "", rows[i].root_path ? rows[i].root_path : "");
		assert_string_equal(
			c.pool_name ? c.pool_name : "", rows[i].pool ? rows[i].pool : "");
		containerd_config_done(&c);
	}
}

/* The databases that a real one wrote. */
static void a_real_root(void **state)
{
	static const struct {
		const char *name, *ns, *device;
		uint32_t thin_id;
	} want[] = {{"guest", "default", "devpool-snap-5", 5},
		{"web", "default", "devpool-snap-3", 3},
		{"prod_shop-0_app", "k8s.io", "devpool-snap-4", 4}};
	struct suite *f = *state;
	char command[512];

	(void)suite_place(f, META);
	(void)suite_place(f, SNAPSHOTTER "/x");
	(void)snprintf(command, sizeof(command),
		"cd '" GOLDEN "' && gzip -dc meta.db.gz >'%s/" META "' && cd '%s/" SNAPSHOTTER
		"' && for f in metadata devpool; do gzip -dc '" GOLDEN "'$f.db.gz >$f.db; done",
		f->root, f->root);
	assert_int_equal(system(command), 0);
	list(f);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		const struct container *c = &f->list.items[i];

		assert_null(c->problem);
		assert_string_equal(c->name, want[i].name);
		assert_string_equal(c->namespace, want[i].ns);
		assert_string_equal(c->pool.device_name, want[i].device);
		assert_int_equal(c->thin_id, want[i].thin_id);
		assert_int_equal(c->size_bytes, 512 << 20);
		assert_non_null(strstr(c->config_json, "\"ociVersion\""));
		assert_int_equal(strncmp(c->image_id, "sha256:", 7), 0);
	}
	assert_string_equal(container_label(&f->list.items[1], "role"), "front");
	assert_string_equal(container_label(&f->list.items[2], "io.kubernetes.pod.uid"), "6e6f");
}

static void write_specs(const struct suite *f, const struct suite_spec *specs, size_t count)
{
	static char names[16][2];
	struct one x[16] = {0};

	assert_in_range(count, 1, 16);
	for (size_t i = 0; i < count; i++) {
		char *name = names[specs[i].n];

		name[0] = "0123456789abcdef"[specs[i].n];
		x[i] = (struct one){.ns = "default",
			.id = name,
			.thin_id = specs[i].thin_id,
			.size_bytes = specs[i].size_bytes,
			.cut = specs[i].kind == SUITE_BROKEN ? "record" : NULL};
		if (specs[i].kind == SUITE_HOSTILE)
			x[i].id = "../../1\x1b[31m/x\r";
	}
	write_all(f, x, count);
}

int main(void)
{
	static const struct suite_fixture fixture = {
		.ops = &store_containerd, .write = write_specs};
	const struct CMUnitTest tests[] = {
		SUITE_TEST(names_tell_where_it_is),
		SUITE_TEST(all_that_is_known_is_listed),
		SUITE_TEST(what_is_wrong_is_said),
		SUITE_TEST(states_that_are_good),
		SUITE_TEST(a_broken_spec_is_noted),
		SUITE_TEST(the_pool_is_found),
		SUITE_TEST(a_real_root),
		cmocka_unit_test(pool_databases),
		cmocka_unit_test(ids),
		cmocka_unit_test(configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) + suite_run(&fixture);
}
