/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's client: what it asks, and that no answer confuses it. */
#include "fake_engine.h"

static void it_pauses_and_unpauses(void **state)
{
	enum engine_state now;
	struct err e = {0};

	(void)state;
	reset(POLITE);
	assert_int_equal(engine_state(path, ID, TIME_MS, &now, &e), 0);
	assert_int_equal(now, ENGINE_RUNNING);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	assert_string_equal(world->path, "/containers/" ID "/pause");
	assert_int_equal(engine_state(path, ID, TIME_MS, &now, &e), 0);
	assert_int_equal(now, ENGINE_PAUSED);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), -EALREADY);
	assert_int_equal(engine_unpause(path, ID, TIME_MS, &e), 0);
	assert_string_equal(world->path, "/containers/" ID "/unpause");
	/* Not paused, not running, gone: all as it should be. */
	assert_int_equal(engine_unpause(path, ID, TIME_MS, &e), 0);
	world->is_running = 0;
	assert_int_equal(engine_state(path, ID, TIME_MS, &now, &e), 0);
	assert_int_equal(now, ENGINE_STOPPED);
	assert_int_equal(engine_unpause(path, ID, TIME_MS, &e), 0);
	assert_int_equal(engine_unpause(path, GONE, TIME_MS, &e), 0);
	assert_int_equal(world->pauses, 1);
	assert_int_equal(world->unpauses, 1);
	/* The engine's words are shown, and harmless. */
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), -EREMOTEIO);
	assert_string_equal(e.text, "pause: the engine says: no \\x1b[2J way");
	assert_int_equal(engine_state(path, GONE, TIME_MS, &now, &e), -ENOENT);
	assert_string_equal(e.text, "inspect: the engine says: No such container: x");
	assert_int_equal(e.kind, ERR_SOURCE);
}

static void wrong_names_never_reach_it(void **state)
{
	static const char *const ids[] = {"", "web", "../../x", ID "0", "0123", GONE "/../x",
		"G123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"/123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
	char longer[200];
	struct err e = {0};

	(void)state;
	reset(POLITE);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		assert_int_equal(engine_pause(path, ids[i], TIME_MS, &e), -EINVAL);
		assert_int_equal(engine_unpause(path, ids[i], TIME_MS, &e), -EINVAL);
	}
	assert_int_equal(engine_pause("docker.sock", ID, TIME_MS, &e), -EINVAL);
	memset(longer, '/', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(engine_pause(longer, ID, TIME_MS, &e), -EINVAL);
	assert_int_equal(world->requests, 0);
}

static void nobody_there(void **state)
{
	char other[128];
	struct err e = {0};

	(void)state;
	(void)snprintf(other, sizeof(other), "%s/absent", dir);
	assert_int_equal(engine_pause(other, ID, TIME_MS, &e), -ECONNREFUSED);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_int_equal(engine_unpause(other, ID, TIME_MS, &e), -ECONNREFUSED);
	assert_int_equal(e.kind, ERR_LEFTOVER);
	FILE *f = fopen(other, "w");
	assert_non_null(f);
	(void)fclose(f);
	assert_int_equal(engine_pause(other, ID, TIME_MS, &e), -ECONNREFUSED);
}

/* Whatever it answers, there is one error, and never a success. */
static const struct {
	const char *raw;
	int code;
	const char *text; /* part of the message to "pause" */
} odd[] = {
	{"", -EPROTO, "Server returned nothing"},
	{"\r\n\r\n", -EPROTO, NULL},
	{"garbage\r\n\r\n", -EPROTO, NULL},
	{"\x01\x02\xff\n", -EPROTO, NULL},
	{"SSH-2.0-OpenSSH_9.2\r\n", -EPROTO, NULL},
	{"HTTP/1.1\r\n\r\n", -EPROTO, NULL},
	{"HTTP/1.1 abc\r\n\r\n", -EPROTO, NULL},
	{"HTTP/9.9 204 x\r\n\r\n", -EPROTO, NULL},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", -EPROTO, "HTTP status 200"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", -EPROTO, NULL},
	{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", -EPROTO, NULL},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", -EPROTO, NULL},
	{"HTTP/1.1 302 Found\r\nLocation: http://localhost/containers/" ID
	 "/unpause\r\nContent-Length: 0\r\n\r\n",
		-EPROTO, "HTTP status 302"},
	{"HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", -EPROTO,
		"HTTP status 301"},
	{"HTTP/1.1 500 x\r\nConnection: close\r\n\r\nno JSON", -EPROTO, "HTTP status 500"},
	{"HTTP/1.1 500 x\r\nConnection: close\r\n\r\n[]", -EPROTO, "HTTP status 500"},
	{"HTTP/1.1 500 x\r\nConnection: close\r\n\r\n{\"message\":1}", -EPROTO, "HTTP status 500"},
	{"HTTP/1.1 500 x\r\nConnection: close\r\n\r\n{\"message\":\"a\\nb\\u202e\"}", -EREMOTEIO,
		"pause: the engine says: a\\x0ab\\xe2\\x80\\xae"},
	{"HTTP/1.1 404 x\r\nConnection: close\r\n\r\npage not found", -EPROTO, "HTTP status 404"},
	{"HTTP/1.1 404 x\r\nConnection: close\r\n\r\n{\"message\":\"none\"}", -ENOENT, "none"},
	{"HTTP/1.1 409 x\r\nConnection: close\r\n\r\n{\"message\":\"busy\"}", -EREMOTEIO, "busy"},
};

static void odd_answers_are_errors(void **state)
{
	size_t checked = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		struct err e = {0};
		enum engine_state now;

		reset(RAW);
		(void)snprintf(world->raw, sizeof(world->raw), "%s", odd[i].raw);
		int r = engine_pause(path, ID, TIME_MS, &e);
		if (r != odd[i].code || (odd[i].text && !strstr(e.text, odd[i].text)))
			fail_msg("answer %zu: %d '%s'", i, r, e.text);
		assert_true(world->requests <= 2); /* no redirection was followed */
		assert_true(engine_state(path, ID, TIME_MS, &now, &e) < 0);
		/* A 404 of the API's own means gone; all else may have left it paused. */
		r = engine_unpause(path, ID, TIME_MS, &e);
		assert_int_equal(r, odd[i].code == -ENOENT ? 0 : odd[i].code);
		checked++;
	}
	print_message("%zu odd answers\n", checked);
	assert_true(checked >= 20);
}

static void states_are_parsed_strictly(void **state)
{
	static const struct {
		const char *text;
		int r;
		enum engine_state want;
	} rows[] = {
		{"{\"State\":{\"Running\":true,\"Paused\":false}}", 0, ENGINE_RUNNING},
		{"{\"State\":{\"Running\":true,\"Paused\":true}}", 0, ENGINE_PAUSED},
		{"{\"State\":{\"Running\":false,\"Paused\":false}}", 0, ENGINE_STOPPED},
		{"{\"State\":{\"Running\":\"true\",\"Paused\":false}}", -EPROTO, 0},
		{"{\"State\":{\"Paused\":false}}", -EPROTO, 0},
		{"{\"State\":[true]}", -EPROTO, 0},
		{"{}", -EPROTO, 0},
		{"", -EBADMSG, 0},
		{"null", -EBADMSG, 0},
		{"{\"State\":{\"Running\":true,\"Running\":false,\"Paused\":false}}", -EBADMSG, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum engine_state got = ENGINE_STOPPED;
		struct err e = {0};

		assert_int_equal(
			engine_parse_state(rows[i].text, strlen(rows[i].text), "t", &got, &e),
			rows[i].r);
		assert_int_equal(e.kind, rows[i].r ? ERR_SOURCE : ERR_NONE);
		if (rows[i].r == 0)
			assert_int_equal(got, rows[i].want);
	}
}

static void a_proxy_of_the_environment_is_not_asked(void **state)
{
	struct err e = {0};

	(void)state;
	reset(POLITE);
	assert_int_equal(setenv("http_proxy", "http://127.0.0.1:9", 1), 0);
	assert_int_equal(setenv("ALL_PROXY", "socks5://127.0.0.1:9", 1), 0);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	assert_int_equal(engine_unpause(path, ID, TIME_MS, &e), 0);
	(void)unsetenv("http_proxy");
	(void)unsetenv("ALL_PROXY");
}

static void it_is_never_waited_for_long(void **state)
{
	static const struct {
		enum mode mode;
		int code;
	} rows[] = {{SILENT, -ETIMEDOUT}, {DRIP, -ETIMEDOUT}, {FLOOD_BODY, -EPROTO},
		{FLOOD_HEADERS, -EPROTO}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {0};
		enum engine_state now;
		uint64_t start = clock_ns();
		const bool is_slow = rows[i].code == -ETIMEDOUT;

		reset(rows[i].mode);
		assert_int_equal(engine_pause(path, ID, is_slow ? 400 : 20000, &e), rows[i].code);
		assert_in_range(ms_since(start), is_slow ? 350 : 0, is_slow ? 3000 : 15000);
		start = clock_ns();
		assert_int_equal(
			engine_state(path, ID, is_slow ? 400 : 20000, &now, &e), rows[i].code);
		assert_in_range(ms_since(start), is_slow ? 350 : 0, is_slow ? 3000 : 15000);
		/* The silent one still holds its connections. */
		stop_server();
		start_server();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_pauses_and_unpauses),
		cmocka_unit_test(wrong_names_never_reach_it),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(odd_answers_are_errors),
		cmocka_unit_test(states_are_parsed_strictly),
		cmocka_unit_test(a_proxy_of_the_environment_is_not_asked),
		cmocka_unit_test(it_is_never_waited_for_long),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
