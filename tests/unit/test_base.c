/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <stddef.h>

#include <cmocka.h>

#include "err.h"
#include "json.h"
#include "str.h"
#include "undo.h"

static void errors_chain_and_keep_their_code(void **state)
{
	struct err e = {0};

	(void)state;
	assert_int_equal(err_sys(&e, ERR_POOL, -EROFS, "thin %d", 4), -EROFS);
	assert_int_equal(err_add(&e, "web"), -EROFS);
	assert_string_equal(e.text, "web: thin 4: Read-only file system");
	assert_int_equal(err_exit_code(e.kind), EXIT_POOL);
	assert_int_equal(err_set(NULL, ERR_FATAL, 0, "x"), -EIO);
}

static void errors_never_carry_control_characters(void **state)
{
	struct err e = {0};

	(void)state;
	(void)err_set(&e, ERR_SOURCE, -EIO, "a\nb\x1b[2J\xff%s", "\xe2\x80\xae");
	assert_string_equal(e.text, "a\\x0ab\\x1b[2J\\xff\\xe2\\x80\\xae");
	char big[3000];
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	(void)err_set(&e, ERR_SOURCE, -EIO, "%s", big);
	(void)err_add(&e, "front");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_string_equal(e.text + sizeof(e.text) - 4, "...");
}

static void the_worst_exit_code_wins(void **state)
{
	(void)state;
	assert_int_equal(exit_worst(0, 0), 0);
	assert_int_equal(exit_worst(3, 0), 3);
	assert_int_equal(exit_worst(3, 20), 20);
	assert_int_equal(exit_worst(21, 1), 21);
	assert_int_equal(exit_worst(130, 21), 130);
}

static char trace[64];

static int note(void *arg, struct err *e)
{
	const char *what = arg;

	strcat(trace, what);
	return *what == 'F' ? err_set(e, ERR_FATAL, -EIO, "no") : 0;
}

static void undo_runs_in_reverse_and_all_steps(void **state)
{
	struct undo u = {0};
	struct err e = {0};

	(void)state;
	trace[0] = '\0';
	undo_arm_if_clean(&u, "ledger", note, (void *)"L");
	undo_arm(&u, "a", note, (void *)"a");
	undo_arm(&u, "bad", note, (void *)"F");
	undo_arm(&u, "c", note, (void *)"c");
	undo_disarm(&u, note, "nothing");
	assert_int_equal(undo_to(&u, 0, &e), -EIO);
	assert_string_equal(trace, "cFa"); /* the ledger entry stays after a failure */
	assert_string_equal(e.text, "bad: no");
	assert_int_equal(undo_mark(&u), 0);
	trace[0] = '\0';
	undo_arm_if_clean(&u, "ledger", note, (void *)"L");
	undo_arm(&u, "a", note, (void *)"a");
	assert_int_equal(undo_to(&u, 0, &e), 0);
	assert_string_equal(trace, "aL");
}

static void strings_are_escaped(void **state)
{
	struct strbuf b = {0};
	char out[16];

	(void)state;
	strbuf_json(&b, "a\"\\\n\xff\xc3\xa9");
	assert_string_equal(b.data, "\"a\\\"\\\\\\u000a\\ufffd\xc3\xa9\"");
	strbuf_free(&b);
	assert_int_equal(str_escape("\xc2\x9b", 2, out, sizeof(out)), 8);
	assert_string_equal(out, "\\xc2\\x9b");
	assert_int_equal(str_escape("abcdef", 6, out, 4), 6);
	assert_string_equal(out, "abc");
	assert_false(str_is_utf8("\xed\xa0\x80", 3)); /* a surrogate */
	assert_false(str_is_utf8("\xc0\xaf", 2));     /* overlong '/' */
	assert_int_equal(str_distance("excude_patterns", "exclude_patterns"), 1);
	assert_string_equal(str_size(1536, out), "1.5 KiB");
}

static void foreign_json_with_nul_or_double_keys_is_refused(void **state)
{
	static const char nul[] = "{\"a\":1,\0\"b\":2}";
	json_t *j = NULL;
	struct err e = {0};

	(void)state;
	assert_int_equal(json_parse_object(nul, sizeof(nul) - 1, "f", &j, &e), -EBADMSG);
	assert_string_equal(e.text, "f: NUL at byte 7");
	assert_int_equal(json_parse_object("{\"a\":1,\"a\":2}", 13, "f", &j, &e), -EBADMSG);
	assert_int_equal(json_parse_object("[]", 2, "f", &j, &e), -EBADMSG);
	assert_null(j);
	assert_int_equal(json_parse_object("{\"a\":1}", 7, "f", &j, &e), 0);
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_chain_and_keep_their_code),
		cmocka_unit_test(errors_never_carry_control_characters),
		cmocka_unit_test(the_worst_exit_code_wins),
		cmocka_unit_test(undo_runs_in_reverse_and_all_steps),
		cmocka_unit_test(strings_are_escaped),
		cmocka_unit_test(foreign_json_with_nul_or_double_keys_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
