/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of Docker's data root as text in memory: no path is opened here, so that every parser
 * of foreign text can be fuzzed.  Keys match without regard to case, as Go decodes them; unknown
 * keys are ignored, null counts as missing, a key given twice is refused.  `name` is the file's
 * name in messages.  All errors are of kind ERR_STORE (ERR_FATAL without memory).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "container.h"
#include "err.h"

#define DOCKER_HASH_CAP 70 /* 64 digits, "-init", NUL */

/* devicemapper/metadata/HASH */
struct docker_device {
	uint32_t device_id;
	uint64_t size_bytes; /* a multiple of 512, never 0 */
	bool deleted;        /* its deletion is pending */
};

/* What /etc/docker/daemon.json says about the pool; NULL where it says nothing. */
struct docker_daemon {
	char *root;
	char *thinpool;              /* dm name, without folder */
	char *datadev, *metadatadev; /* absolute paths */
};

/* 64 lower-case hexadecimal digits. */
bool docker_is_id(const char *s);
/* The content of a mount-id file; false unless it is ID or ID-init (white space around allowed). */
bool docker_parse_mount_id(const char *text, size_t len, char out[DOCKER_HASH_CAP]);
int docker_parse_device(
	const char *text, size_t len, const char *name, struct docker_device *ret, struct err *e);
/*
 * config.v2.json or config.json into c, whose id is set.  *ret_driver is the storage driver, owned
 * by the caller.  After a failure c holds what was understood.
 */
int docker_parse_config(const char *text, size_t len, const char *name, struct container *c,
	char **ret_driver, struct err *e);
/* hostconfig.json: only that it is one JSON object. */
int docker_parse_hostconfig(const char *text, size_t len, const char *name, struct err *e);
/* setup-config.json: does it say that Docker made its LVM pool itself? */
int docker_parse_setup(
	const char *text, size_t len, const char *name, bool *ret_made, struct err *e);
int docker_parse_daemon(
	const char *text, size_t len, const char *name, struct docker_daemon *ret, struct err *e);
/*
 * The value behind key ("dm.thinpooldev=") in a command line or a file of options: up to white
 * space, NUL or a quote; false if there is none, or it does not fit.
 */
bool docker_find_option(const char *text, size_t len, const char *key, char *out, size_t size);
void docker_daemon_done(struct docker_daemon *d);
