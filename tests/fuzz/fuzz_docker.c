/* SPDX-License-Identifier: Apache-2.0 */
/* Every parser of Docker's files; the first byte chooses which. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "docker_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void config(const char *text, size_t len)
{
	struct container c = {.id = strdup("a")};
	char *driver = NULL;
	struct err e = {0};

	if (docker_parse_config(text, len, "f", &c, &driver, &e) == 0) {
		check(driver && c.state && c.config_json && strlen(c.config_json) == len);
		check(!c.name || !strchr(c.name, '/'));
	} else {
		check(e.text[0] != '\0');
	}
	for (size_t i = 0; i < c.label_count; i++)
		check(c.labels[i].key && c.labels[i].value);
	free(driver);
	container_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct docker_device device;
	struct docker_daemon daemon = {0};
	char hash[DOCKER_HASH_CAP];
	struct err e = {0};
	bool made;

	if (!size)
		return 0;
	const char *text = (const char *)data + 1;
	size_t len = size - 1;

	switch (data[0]) {
	case 'd':
		if (docker_parse_device(text, len, "f", &device, &e) == 0) {
			check(device.device_id <= 0xFFFFFF);
			check(device.size_bytes && device.size_bytes % 512 == 0);
		}
		break;
	case 'c':
		config(text, len);
		break;
	case 'h':
		if (docker_parse_hostconfig(text, len, "f", &e) == 0)
			check(!memchr(text, '\0', len));
		break;
	case 's':
		(void)docker_parse_setup(text, len, "f", &made, &e);
		break;
	case 'o':
		if (docker_parse_daemon(text, len, "f", &daemon, &e) == 0)
			check(!daemon.thinpool || !strchr(daemon.thinpool, '/'));
		docker_daemon_done(&daemon);
		break;
	case 'm':
		if (docker_parse_mount_id(text, len, hash))
			check(strlen(hash) == 64 || strlen(hash) == 69);
		break;
	default:
		break;
	}
	return 0;
}
