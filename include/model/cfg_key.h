/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row per setting.  The loader, the schema, the sample and the man page all walk these rows
 * and know no key by themselves.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cfg.h"

enum cfg_type {
	CFG_STR,  /* char * */
	CFG_ENUM, /* char *, one of words */
	CFG_LIST, /* struct cfg_strings */
	CFG_NUM,  /* int64_t, written with a unit */
	CFG_MAPS, /* array of a struct and a size_t: a list of maps */
};

/* How a CFG_NUM is written; the field holds 0 or 1, a count, bytes, seconds, or percent. */
enum cfg_unit { CFG_BOOL, CFG_COUNT, CFG_BYTES, CFG_SECONDS, CFG_PERCENT };

/* Is the text good for this row?  0, or a negative errno with one clause in reason. */
typedef int cfg_check_fn(const char *text, char *reason, size_t reason_size);

struct cfg_key {
	const char *name;
	enum cfg_type type;
	size_t at;                 /* offset of the field */
	size_t count_at;           /* CFG_MAPS: offset of the number of entries */
	size_t size;               /* CFG_MAPS: size of one entry */
	const struct cfg_key *sub; /* CFG_MAPS: rows of one entry */
	const char *const *only;   /* values of "type" of the map that have this key; NULL: all */
	bool required;
	bool optional;   /* missing without a default: NULL or none */
	bool filled;     /* a list that needs an entry */
	const char *def; /* default as the operator would write it; NULL if required or optional */
	const char *const *words;        /* CFG_ENUM: allowed words, NULL at the end */
	enum cfg_unit unit;              /* CFG_NUM */
	int64_t min, max;                /* CFG_NUM: inclusive */
	const char *min_text, *max_text; /* the same as an operator would write it */
	cfg_check_fn *check; /* of the text, or of each entry of a list; NULL: any text */
	const char *pattern; /* the same as a JSON Schema pattern, as far as it can say it */
	const char *sample;  /* value in the sample; NULL: the default, as a comment */
	bool rare;           /* a comment in the sample all the same */
	const char *help;    /* starts with a capital, no full stop, at most 72 columns */
};

/* The offset of f; does not compile when the field has another type than the loader writes. */
#define CFG_AT(S, f, T)                                                                            \
	(offsetof(S, f) +                                                                          \
		0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((S *)0)->f), T) ? 1       \
											 : -1]))

#define KEY_STR(S, f, ...)                                                                         \
	{                                                                                          \
		.name = #f, .type = CFG_STR, .at = CFG_AT(S, f, char *), __VA_ARGS__               \
	}
#define KEY_ENUM(S, f, w, ...)                                                                     \
	{                                                                                          \
		.name = #f, .type = CFG_ENUM, .at = CFG_AT(S, f, char *), .words = (w),            \
		__VA_ARGS__                                                                        \
	}
#define KEY_LIST(S, f, ...)                                                                        \
	{                                                                                          \
		.name = #f, .type = CFG_LIST, .at = CFG_AT(S, f, struct cfg_strings), __VA_ARGS__  \
	}
#define KEY_NUM(S, f, u, lo, hi, lo_text, hi_text, ...)                                            \
	{                                                                                          \
		.name = #f, .type = CFG_NUM, .at = CFG_AT(S, f, int64_t), .unit = (u),             \
		.min = (lo), .max = (hi), .min_text = (lo_text), .max_text = (hi_text),            \
		__VA_ARGS__                                                                        \
	}
#define KEY_BOOL(S, f, ...) KEY_NUM(S, f, CFG_BOOL, 0, 1, "false", "true", __VA_ARGS__)
#define KEY_MAPS(S, key, f, count, ITEM, rows, ...)                                                \
	{                                                                                          \
		.name = (key), .type = CFG_MAPS, .at = CFG_AT(S, f, ITEM *),                       \
		.count_at = CFG_AT(S, count, size_t), .size = sizeof(ITEM), .sub = (rows),         \
		__VA_ARGS__                                                                        \
	}
#define KEY_END                                                                                    \
	{                                                                                          \
		.name = NULL                                                                       \
	}

#define CFG_TYPE "{type}" /* at the end of a default: the type of the map */
#define CFG_KEYS_MAX 32   /* rows of one table */

extern const struct cfg_key cfg_keys[]; /* the top level of the file */
extern const struct cfg_key cfg_tree_keys[];
extern const struct cfg_key cfg_volume_keys[];
extern const struct cfg_key cfg_store_keys[];
extern const struct cfg_key cfg_dest_keys[];
extern const struct cfg_key cfg_job_keys[];
extern const struct cfg_key cfg_command_keys[];

/* Has a map of this type the row?  type may be NULL: nobody knows yet. */
bool cfg_key_applies(const struct cfg_key *k, const char *type);

/* "zstd" or "zstd,LEVEL": the level, or -EINVAL with a reason (which may be NULL). */
int cfg_zstd_level(const char *text, char *reason, size_t reason_size);

/* The value of a CFG_NUM row; -EINVAL or -ERANGE with a reason. */
int cfg_num_parse(
	const struct cfg_key *k, const char *text, int64_t *ret, char *reason, size_t reason_size);
/* What it looks like, for the schema; NULL for a boolean. */
const char *cfg_num_pattern(enum cfg_unit unit);

cfg_check_fn cfg_check_name, cfg_check_path, cfg_check_match, cfg_check_exclude,
	cfg_check_file_name, cfg_check_compression, cfg_check_pool, cfg_check_subdir,
	cfg_check_volumes;
