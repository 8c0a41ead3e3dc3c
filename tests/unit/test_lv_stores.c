/* SPDX-License-Identifier: Apache-2.0 */
/* The stores of LXC and Proxmox against made folders and a made report of LVM. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "lv_config.h"
#include "program.h"
#include "scope.h"
#include "store_suite.h"

static char report[65536]; /* what lvs prints */
static size_t report_len;

int __wrap_program_run(const struct program *s, struct program_result *ret, struct err *e);
int __wrap_program_run(const struct program *s, struct program_result *ret, struct err *e)
{
	static const char head[] = "{\"report\":[{\"lv\":[", tail[] = "]}]}";

	(void)e;
	assert_string_equal(s->argv[1], "lvs");
	*ret = (struct program_result){.end = PROGRAM_EXITED};
	assert_true(write(s->keep, head, sizeof(head) - 1) > 0);
	assert_true(write(s->keep, report, report_len) >= 0);
	assert_true(write(s->keep, tail, sizeof(tail) - 1) > 0);
	return 0;
}

static void no_volumes(void)
{
	report_len = 0;
}

static void volume(const char *vg, const char *name, const char *type, long long id, long long size)
{
	report_len += (size_t)snprintf(report + report_len, sizeof(report) - report_len,
		"%s{\"vg_name\":\"%s\",\"lv_name\":\"%s\",\"lv_uuid\":\"u\",\"lv_attr\":\"V\","
		"\"segtype\":\"%s\",\"pool_lv\":\"data\",\"thin_id\":\"%lld\",\"lv_size\":\"%lld\","
		"\"lv_tags\":\"\",\"origin\":\"\"}",
		report_len ? "," : "", vg, name, type, id, size);
	assert_true(report_len < sizeof(report));
}

/* -- LXC -----------------------------------------------------------------------------------------
 */

static void write_lxc(const struct suite *f, const struct suite_spec *specs, size_t count)
{
	no_volumes();
	for (size_t i = 0; i < count; i++) {
		const struct suite_spec *x = &specs[i];
		char text[200], name[32];

		(void)snprintf(name, sizeof(name), "ct-%02u", x->n);
		volume("v-g", name, "thin", x->thin_id, x->size_bytes);
		(void)snprintf(text, sizeof(text),
			"# one\nlxc.uts.name = x\n%s = lvm:/dev/v-g/%s\n",
			x->kind == SUITE_BROKEN ? "lxc.rootfs.pat" : "lxc.rootfs.path", name);
		if (x->kind == SUITE_HOSTILE)
			suite_text(f, text, "ct-%02u\x1b[2J\n/config", x->n);
		else
			suite_text(f, text, "%s/config", name);
	}
}

static void lxc_forms(void **state)
{
	static const struct {
		const char *text, *want; /* the volume; NULL: a problem, of which part is: */
		const char *part;
	} rows[] = {
		{"lxc.rootfs.path = lvm:/dev/v-g/a-b\n", "v-g/a-b", NULL},
		{"lxc.rootfs.path=/dev/v-g/a-b", "v-g/a-b", NULL},
		{"lxc.rootfs = /dev/v-g/a-b\nlxc.rootfs.backend = lvm\n", "v-g/a-b", NULL},
		{"  lxc.rootfs.path = \"lvm:/dev/v-g/a-b\"  \r\n", "v-g/a-b", NULL},
		{"lxc.rootfs.path = /dev/mapper/v--g-a--b\n", "v-g/a-b", NULL},
		{"lxc.rootfs.path = dir:/x\nlxc.rootfs.path = /dev/v-g/c\n", "v-g/c", NULL},
		{"lxc.rootfs.path = dir:/var/lib/lxc/a/rootfs\n", NULL,
			"'dir:/var/lib/lxc/a/rootfs' is no volume of LVM"},
		{"lxc.rootfs.path = /var/lib/lxc/a/rootfs\n", NULL, "is no volume of LVM"},
		{"lxc.rootfs.path = zfs:tank/a\n", NULL, "is no volume of LVM"},
		{"lxc.rootfs.path = overlay:/a:/b\n", NULL, "is no volume of LVM"},
		{"lxc.rootfs.path = /dev/v-g/gone\n", NULL, "is no volume of LVM"},
		{"lxc.rootfs.path = /dev/v-g/plain\n", NULL, "'v-g/plain': it is no thin volume"},
		{"lxc.rootfs.path = /dev/mapper/v-g-a-b\n", NULL, "is no volume of LVM"},
		{"lxc.rootfs.path =\n", NULL, "no lxc.rootfs.path"},
		{"#lxc.rootfs.path = /dev/v-g/c\n", NULL, "no lxc.rootfs.path"},
		{"lxc.include = /x\n", NULL, "no lxc.rootfs.path"},
		{"", NULL, "no lxc.rootfs.path"},
	};
	struct suite *f = *state;
	size_t good = 0;

	no_volumes();
	volume("v-g", "a-b", "thin", 5, 512);
	volume("v-g", "c", "thin", 6, 512);
	volume("v-g", "plain", "linear", 0, 512);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		suite_text(f, rows[i].text, "web/config");
		suite_list(f, store_find("lxc"), NULL);
		assert_int_equal(f->ret, 0);
		assert_int_equal(f->list.count, 1);
		const struct container *c = &f->list.items[0];
		assert_string_equal(c->name, "web");
		assert_string_equal(c->config_json, rows[i].text);
		if (!rows[i].want) {
			suite_expect_problem(f, rows[i].part);
			suite_expect_problem(f, "/web/config: ");
			continue;
		}
		assert_null(c->problem);
		assert_string_equal(c->lv, rows[i].want);
		assert_string_equal(c->pool.dm_name, "v--g-data-tpool");
		good++;
	}
	assert_int_equal(good, 6);
}

/* What is beside the containers is none. */
static void lxc_other_files(void **state)
{
	struct suite *f = *state;
	const struct suite_spec specs[] = {{.n = 1, .thin_id = 4, .size_bytes = 512}};

	write_lxc(f, specs, 1);
	suite_text(f, "", "lxc-monitord.log");
	suite_text(f, "", "snaps/x");
	suite_text(f, "lxc.rootfs.path = /dev/v-g/ct-01\n", ".hidden/config");
	suite_list(f, store_find("lxc"), NULL);
	assert_int_equal(f->ret, 0);
	assert_int_equal(f->list.count, 1);
	assert_int_equal(suite_problems(f), 0);
}

/* -- Proxmox -------------------------------------------------------------------------------------
 */

static const char storage_cfg[] = "dir: local\n\tpath /var/lib/vz\n\tcontent iso\n\n"
				  "lvmthin: local-lvm\n\tthinpool data\n\tvgname pve\n\tcontent "
				  "rootdir,images\n\n# one\nlvm: thick\n\tvgname old\n";

static void write_pve(const struct suite *f, const struct suite_spec *specs, size_t count)
{
	no_volumes();
	suite_text(f, storage_cfg, "storage.cfg");
	for (size_t i = 0; i < count; i++) {
		const struct suite_spec *x = &specs[i];
		char text[200], name[32];

		(void)snprintf(name, sizeof(name), "vm-1%02u-disk-0", x->n);
		volume("pve", name, "thin", x->thin_id, x->size_bytes);
		(void)snprintf(text, sizeof(text),
			"arch: amd64\nhostname: web\n"
			"rootfs: local-lvm%c%s%s,size=8G\n",
			x->kind == SUITE_BROKEN ? '-' : ':', name,
			x->kind == SUITE_HOSTILE ? "\x1b[2J/../x" : "");
		suite_text(f, text, "lxc/1%02u.conf", x->n);
	}
}

static void pve_list(struct suite *f, const char *text)
{
	suite_text(f, storage_cfg, "storage.cfg");
	suite_text(f, text, "lxc/101.conf");
	suite_list(f, store_find("proxmox"), NULL);
	assert_int_equal(f->ret, 0);
}

static void pve_forms(void **state)
{
	static const struct {
		const char *text, *want; /* "NAME=VOLUME " of those that are good */
		const char *part;        /* of the first problem; NULL: none */
	} rows[] = {
		{"rootfs: local-lvm:vm-101-disk-0,size=8G\n", "101=pve/vm-101-disk-0 ", NULL},
		{"rootfs: volume=local-lvm:vm-101-disk-0\n", "101=pve/vm-101-disk-0 ", NULL},
		{"rootfs: size=8G,volume=local-lvm:vm-101-disk-0", "101=pve/vm-101-disk-0 ", NULL},
		{"mp0: local-lvm:vm-101-disk-1,mp=/srv,backup=1\nmp1: "
		 "local-lvm:vm-101-disk-2,mp=/a\n"
		 "mp2: /srv/host,mp=/b\nunused0: local-lvm:vm-101-disk-2\n"
		 "rootfs: local-lvm:vm-101-disk-0\n",
			"101_mp0=pve/vm-101-disk-1 101=pve/vm-101-disk-0 ", NULL},
		{"#rootfs: thick:a\nrootfs: local-lvm:vm-101-disk-0\n[snap]\nrootfs: thick:b\n"
		 "lock: backup\n",
			"101=pve/vm-101-disk-0 ", NULL},
		{"rootfs: thick:vm-101-disk-0\n", "", "storage 'thick' is none of type lvmthin"},
		{"rootfs: local:101/vm.raw\n", "", "rootfs: no volume of a storage"},
		{"rootfs: /srv/dir\n", "", "rootfs: no volume of a storage"},
		{"rootfs: local-lvm:vm-101-disk-9\n", "", "'pve/vm-101-disk-9': there is no such"},
		{"rootfs: local-lvm:-f\n", "", "no volume of a storage"},
		{"rootfs:\n", "", "no volume of a storage"},
		{"hostname: web\n", "", "rootfs: no volume of a storage"},
		{"", "", "101.conf: rootfs: no volume of a storage"},
		{"lock: backup\nrootfs: local-lvm:vm-101-disk-0\n", "",
			"locked by Proxmox (backup)"},
	};
	struct suite *f = *state;
	size_t good = 0;

	no_volumes();
	for (int i = 0; i < 3; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "vm-101-disk-%d", i);
		volume("pve", name, "thin", i + 1, 512);
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_STRBUF got = {0};
		const char *problem = NULL;

		pve_list(f, rows[i].text);
		strbuf_puts(&got, "");
		for (size_t k = 0; k < f->list.count; k++) {
			const struct container *c = &f->list.items[k];

			assert_string_equal(c->config_json, rows[i].text);
			if (!c->problem)
				strbuf_printf(&got, "%s=%s ", c->name, c->lv);
			else if (!problem)
				problem = c->problem;
			good += !c->problem;
		}
		if (strcmp(got.data ? got.data : "", rows[i].want) != 0 ||
			!problem != !rows[i].part || (problem && !strstr(problem, rows[i].part)))
			fail_msg("row %zu: '%s', problem '%s'", i, got.data ? got.data : "",
				problem ? problem : "");
	}
	assert_int_equal(good, 6);
}

static void pve_labels(void **state)
{
	struct suite *f = *state;

	no_volumes();
	pve_list(f, "hostname: web.example\ntags: a;b c\nrootfs: x:y\n");
	const struct container *c = &f->list.items[0];
	assert_string_equal(container_label(c, "hostname"), "web.example");
	assert_int_equal(c->label_count, 4);
	assert_string_equal(container_label(c, "b"), "");
	assert_non_null(container_label(c, "c"));
}

/* The link that Proxmox has there leads to a node's folder, or is not followed. */
static void pve_node(void **state)
{
	static const struct {
		const char *link;
		bool good;
	} rows[] = {{"nodes/host/lxc", true}, {"nodes//lxc", false},
		{"nodes/host/../../lxc", false}, {"/etc", false}, {"nodes/host", false},
		{"nodes/gone/lxc", false}, {"..", false}};
	struct suite *f = *state;
	char path[128];

	no_volumes();
	suite_text(f, storage_cfg, "storage.cfg");
	suite_text(f, "rootfs: x:y\n", "nodes/host/lxc/101.conf");
	(void)snprintf(path, sizeof(path), "%s/lxc", f->root);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(symlink(rows[i].link, path), 0);
		suite_list(f, store_find("proxmox"), NULL);
		if (rows[i].good != (f->ret == 0) || (f->ret == 0 && f->list.count != 1))
			fail_msg("link to '%s': %d", rows[i].link, f->ret);
		assert_int_equal(unlink(path), 0);
	}
}

static void pve_names_and_storages(void **state)
{
	char vg[LVM_NAME_MAX];

	(void)state;
	assert_int_equal(pve_is_config("100.conf"), 3);
	assert_int_equal(pve_is_config("999999999.conf"), 9);
	assert_false(pve_is_config("99.conf") || pve_is_config("1000000000.conf") ||
		     pve_is_config("012.conf") || pve_is_config("100.conf.tmp") ||
		     pve_is_config("a100.conf"));
	assert_true(pve_storage_group(storage_cfg, strlen(storage_cfg), "local-lvm", vg));
	assert_string_equal(vg, "pve");
	assert_false(pve_storage_group(storage_cfg, strlen(storage_cfg), "thick", vg));
	assert_false(pve_storage_group(storage_cfg, strlen(storage_cfg), "local", vg));
	assert_false(pve_storage_group(storage_cfg, strlen(storage_cfg), "none", vg));
}

int main(void)
{
	static const struct suite_fixture lxc = {.write = write_lxc, .is_lvm = true},
					  pve = {.write = write_pve, .is_lvm = true};
	struct suite_fixture fixtures[] = {lxc, pve};
	const struct CMUnitTest tests[] = {
		SUITE_TEST(lxc_forms),
		SUITE_TEST(lxc_other_files),
		SUITE_TEST(pve_forms),
		SUITE_TEST(pve_labels),
		SUITE_TEST(pve_node),
		cmocka_unit_test(pve_names_and_storages),
	};
	int r = 0;

	fixtures[0].ops = store_find("lxc");
	fixtures[1].ops = store_find("proxmox");
	for (size_t i = 0; i < ARRAY_LEN(fixtures); i++)
		r += suite_run(&fixtures[i]);
	return r + cmocka_run_group_tests(tests, NULL, NULL);
}
