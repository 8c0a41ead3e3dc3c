/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's configuration ('c' and the text), or its three databases ('d', two lengths of two
 * bytes, little-endian, then meta.db, metadata.db and POOL.db).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "containerd_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void config(const char *text, size_t len)
{
	struct containerd_config c = {0};
	struct err e = {0};

	if (containerd_parse_config(text, len, "f", &c, &e) < 0)
		check(e.text[0] != '\0');
	check(!c.root || c.root[0] == '/');
	check(!c.root_path || c.root_path[0] == '/');
	check(!c.pool_name || (c.pool_name[0] && !strchr(c.pool_name, '/')));
	containerd_config_done(&c);
}

static bool parse(const uint8_t *data, size_t len, const char *name, struct bolt *ret)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct err e;

	check(copy != NULL);
	if (len)
		memcpy(copy, data, len);
	for (size_t at = 0; at <= 1024 && at + 80 <= len; at += 1024) {
		uint64_t sum = bolt_checksum(copy + at + 16, 56);

		for (size_t i = 0; i < 8; i++)
			copy[at + 72 + i] = (uint8_t)(sum >> (8 * i));
	}
	return bolt_parse(copy, len, name, ret, &e) == 0;
}

static void check_container(const struct container *c)
{
	check(c->store && c->id && c->name && c->namespace && c->subdir);
	check(!strchr(c->name, '/') && c->name[0] != '.');
	check(c->problem || containerd_is_id(c->id));
	check(c->problem || (c->thin_id <= 0xFFFFFF && c->size_bytes && c->size_bytes % 512 == 0));
	check(c->problem || c->pool.device_name);
	for (size_t i = 0; i < c->label_count; i++)
		check(c->labels[i].key && c->labels[i].value);
}

static int take_device(void *arg, const struct containerd_device *d, struct err *e)
{
	size_t *count = arg;

	(void)e;
	check(d->name && d->thin_id <= 0xFFFFFF);
	++*count;
	return 0;
}

static void databases(const uint8_t *data, size_t size)
{
	struct containerd_db db = {.pool = "pool", .store = "s"};
	struct container_list list = {0};
	struct strbuf notes = {0};
	struct err e = {0};
	bool is_torn;

	if (size < 4)
		return;
	size_t first = data[0] | (size_t)data[1] << 8, second = data[2] | (size_t)data[3] << 8;
	data += 4;
	size -= 4;
	first = first < size ? first : size;
	second = second < size - first ? second : size - first;
	if (parse(data, first, "m", &db.meta) && parse(data + first, second, "s", &db.snapshots) &&
		parse(data + first + second, size - first - second, "d", &db.devices)) {
		if (containerd_parse(&db, &list, &notes, &is_torn, &e) < 0)
			check(e.kind == ERR_STORE);
		size_t devices = 0;
		if (containerd_each_device(&db, take_device, &devices, &e) < 0)
			check(e.kind == ERR_STORE);
		for (size_t i = 0; i < list.count; i++)
			check_container(&list.items[i]);
	}
	container_list_done(&list);
	strbuf_free(&notes);
	bolt_done(&db.meta);
	bolt_done(&db.snapshots);
	bolt_done(&db.devices);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] == 'c')
		config((const char *)data + 1, size - 1);
	if (size && data[0] == 'd')
		databases(data + 1, size - 1);
	return 0;
}
