/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON library behind one header.  Foreign JSON is read here with a size cap, duplicate keys
 * rejected and NUL refused; depth is limited by the library (2048) and the size cap.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define JSON_FILE_MAX (16u << 20)

static inline void scope_json(json_t **j)
{
	json_decref(*j);
}
#define AUTO_JSON __attribute__((cleanup(scope_json))) json_t

/*
 * Parses data[len] as one JSON object.  The caller owns *ret.  Errors (kind ERR_STORE) name the
 * place as "name:line:column: reason", a NUL as "name: NUL at byte N".
 */
int json_parse_object(const char *data, size_t len, const char *name, json_t **ret, struct err *e);
/* The same of one JSON array. */
int json_parse_array(const char *data, size_t len, const char *name, json_t **ret, struct err *e);
/* Copies the text at key; false if there is none or it does not fit into size bytes with its NUL.
 */
bool json_take(const json_t *object, const char *key, char *out, size_t size);
/*
 * Reads the regular file name below dirfd (never following a final symlink, at most max bytes) and
 * parses it. -ENOENT is passed on as such.
 */
int json_read_at(int dirfd, const char *name, size_t max, json_t **ret, struct err *e);
/* The string at key, or NULL when missing or of another type; borrowed. */
const char *json_str(const json_t *object, const char *key);
