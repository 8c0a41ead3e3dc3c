/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's client and its guard, against a small server that is polite or hostile. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "engine.h"
#include "scope.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define GONE "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TIME_MS 5000u

enum mode { POLITE, RAW, SILENT, DRIP, FLOOD_BODY, FLOOD_HEADERS };

/* What the server does, and what it saw. */
struct world {
	enum mode mode;
	char raw[4096];
	int is_paused, is_running, requests, pauses, unpauses;
	char path[256]; /* of the last request */
};

static struct world *world;
static char dir[64], path[96];
static pid_t server_pid;

/* -- the server ------------------------------------------------------------------------------- */

static void say(int fd, const char *text)
{
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void say_json(int fd, const char *status, const char *body)
{
	char head[256];

	(void)snprintf(head, sizeof(head),
		"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n\r\n",
		status, strlen(body));
	say(fd, head);
	say(fd, body);
}

static void polite(int fd, const char *request)
{
	char body[256];
	const bool is_known = strstr(request, "/containers/" ID "/") != NULL;

	if (!is_known) {
		say_json(fd, "404 Not Found", "{\"message\":\"No such container: x\"}");
	} else if (strncmp(request, "GET ", 4) == 0) {
		(void)snprintf(body, sizeof(body),
			"{\"Id\":\"x\",\"State\":{\"Running\":%s,\"Paused\":%s}}",
			world->is_running ? "true" : "false", world->is_paused ? "true" : "false");
		say_json(fd, "200 OK", body);
	} else if (strstr(request, "/pause ")) {
		if (world->is_paused || !world->is_running) {
			say_json(fd, "409 Conflict", "{\"message\":\"no \\u001b[2J way\"}");
			return;
		}
		world->is_paused = 1;
		world->pauses++;
		say(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	} else if (world->is_paused) {
		world->is_paused = 0;
		world->unpauses++;
		say(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	} else {
		say_json(fd, "500 Internal Server Error", "{\"message\":\"it is not paused\"}");
	}
}

/* Without end, until the other side goes. */
static void flood(int fd, const char *head, const char *piece, unsigned pause_ms)
{
	say(fd, head);
	while (send(fd, piece, strlen(piece), MSG_NOSIGNAL) > 0)
		if (pause_ms)
			clock_sleep_ms(pause_ms);
}

static void answer(int fd)
{
	char request[4096] = "";
	size_t len = 0;

	while (len + 1 < sizeof(request) && !strstr(request, "\r\n\r\n")) {
		ssize_t n = read(fd, request + len, sizeof(request) - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
		request[len] = '\0';
	}
	world->requests++;
	(void)sscanf(request, "%*s %255s", world->path);
	if (world->mode == POLITE)
		polite(fd, request);
	else if (world->mode == RAW)
		say(fd, world->raw);
	else if (world->mode == DRIP)
		flood(fd, "HTTP/1.1 200 OK\r\n", "x: y\r\n", 20);
	else if (world->mode == FLOOD_BODY)
		flood(fd, "HTTP/1.1 200 OK\r\n\r\n{", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1,", 0);
	else if (world->mode == FLOOD_HEADERS)
		flood(fd, "HTTP/1.1 200 OK\r\n", "x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", 0);
	if (world->mode != SILENT)
		(void)close(fd);
}

static int listen_there(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	(void)unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 64) < 0)
		abort();
	return fd;
}

static void start_server(void)
{
	int fd = listen_there();

	server_pid = fork();
	if (server_pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			int client = accept(fd, NULL, NULL);

			if (client >= 0)
				answer(client);
		}
	}
	(void)close(fd);
}

static void stop_server(void)
{
	int status;

	(void)kill(server_pid, SIGKILL);
	(void)waitpid(server_pid, &status, 0);
}

static void reset(enum mode mode)
{
	*world = (struct world){.mode = mode, .is_running = 1};
}

static uint64_t ms_since(uint64_t start)
{
	return (clock_ns() - start) / 1000000u;
}

/* -- the client ------------------------------------------------------------------------------- */

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

/* -- the guard -------------------------------------------------------------------------------- */

static bool is_free_within(unsigned ms)
{
	const uint64_t start = clock_ns();

	while (world->is_paused && ms_since(start) < ms)
		clock_sleep_ms(2);
	return !world->is_paused;
}

static void the_guard_unpauses_when_told(void **state)
{
	struct engine_guard *g = NULL;
	struct err e = {0};

	(void)state;
	reset(POLITE);
	assert_int_equal(engine_guard_start(path, ID, 60000, &g, &e), 0);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	clock_sleep_ms(100);
	assert_int_equal(world->is_paused, 1);
	assert_int_equal(engine_guard_release(g, &e), 0);
	assert_int_equal(world->is_paused, 0);
	assert_int_equal(engine_guard_release(NULL, &e), 0);
	/* What somebody else has paused stays so. */
	world->is_paused = 1;
	assert_int_equal(engine_guard_start(path, ID, 60000, &g, &e), 0);
	engine_guard_cancel(g);
	assert_int_equal(world->is_paused, 1);
	engine_guard_cancel(NULL);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), 0); /* only the server is left */
}

static void the_guard_keeps_the_deadline(void **state)
{
	struct engine_guard *g = NULL;
	struct err e = {0};

	(void)state;
	reset(POLITE);
	assert_int_equal(engine_guard_start(path, ID, 300, &g, &e), 0);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	assert_true(is_free_within(3000));
	assert_int_equal(engine_guard_release(g, &e), -ETIMEDOUT);
	assert_int_equal(e.kind, ERR_SOURCE);
}

/* The pid of our child that is not the server. */
static pid_t guard_pid(void)
{
	char name[64], line[256] = "";
	pid_t found = 0;

	(void)snprintf(name, sizeof(name), "/proc/self/task/%d/children", (int)getpid());
	AUTO_FCLOSE FILE *f = fopen(name, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	for (char *at = line, *word; (word = strtok_r(at, " ", &at));)
		if (atoi(word) != server_pid && atoi(word) > 0)
			found = atoi(word);
	assert_true(found > 0);
	return found;
}

static void the_guard_holds_nothing_and_takes_no_signal(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGALRM};
	struct engine_guard *g = NULL;
	char name[64];
	struct err e = {0};
	size_t open_fds = 0;
	int held = dup(STDERR_FILENO); /* as a lock would be, and not close-on-exec */

	(void)state;
	reset(POLITE);
	assert_int_equal(engine_guard_start(path, ID, 60000, &g, &e), 0);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	const pid_t pid = guard_pid();
	assert_int_equal(getsid(pid), pid);
	(void)snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
	AUTO_DIR DIR *d = opendir(name);
	assert_non_null(d);
	for (const struct dirent *item; (item = readdir(d));)
		if (item->d_name[0] != '.') {
			assert_true(atoi(item->d_name) < 5);
			open_fds++;
		}
	assert_in_range(open_fds, 4, 5);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		assert_int_equal(kill(pid, signals[i]), 0);
	clock_sleep_ms(50);
	assert_int_equal(world->is_paused, 1);
	assert_int_equal(engine_guard_release(g, &e), 0);
	assert_int_equal(world->is_paused, 0);
	(void)close(held);
}

static void a_dead_guard_is_replaced(void **state)
{
	struct engine_guard *g = NULL;
	struct err e = {0};

	(void)state;
	reset(POLITE);
	assert_int_equal(engine_guard_start(path, ID, 60000, &g, &e), 0);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	assert_int_equal(kill(guard_pid(), SIGKILL), 0);
	assert_int_equal(engine_guard_release(g, &e), 0);
	assert_int_equal(world->is_paused, 0);
}

static void an_engine_that_is_gone_is_a_leftover(void **state)
{
	struct engine_guard *g = NULL;
	struct err e = {0};

	(void)state;
	reset(POLITE);
	assert_int_equal(engine_guard_start(path, ID, 60000, &g, &e), 0);
	assert_int_equal(engine_pause(path, ID, TIME_MS, &e), 0);
	stop_server();
	assert_int_equal(engine_guard_release(g, &e), -ECONNREFUSED);
	assert_int_equal(e.kind, ERR_LEFTOVER);
	start_server();
	assert_int_equal(engine_unpause(path, ID, TIME_MS, &e), 0);
}

/* A run that pauses and dies; with a child of it that lives on and holds what it inherited. */
static void run_and_die(bool whole_group, bool with_heir)
{
	struct engine_guard *g = NULL;
	struct err e = {0};

	(void)setsid();
	if (engine_guard_start(path, ID, 60000, &g, &e) < 0)
		_exit(1);
	if (with_heir && fork() == 0) {
		clock_sleep_ms(5000);
		_exit(0);
	}
	if (engine_pause(path, ID, TIME_MS, &e) < 0)
		_exit(1);
	(void)kill(whole_group ? -getpid() : getpid(), SIGKILL);
	_exit(2);
}

static void a_killed_run_leaves_nothing_paused(void **state)
{
	uint64_t slowest = 0;
	size_t rounds = 0;

	(void)state;
	for (; rounds < 24; rounds++) {
		int status = 0;

		reset(POLITE);
		pid_t pid = fork();
		if (pid == 0)
			run_and_die(rounds % 2, rounds % 4 == 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		const uint64_t start = clock_ns();
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(world->pauses, 1);
		assert_true(is_free_within(1000));
		slowest = ms_since(start) > slowest ? ms_since(start) : slowest;
	}
	print_message("%zu rounds, unpaused within %llu ms\n", rounds, (unsigned long long)slowest);
}

static void a_restarting_engine_is_waited_for(void **state)
{
	int status = 0;

	(void)state;
	reset(POLITE);
	pid_t pid = fork();
	if (pid == 0) {
		struct engine_guard *g = NULL;
		struct err e = {0};

		if (engine_guard_start(path, ID, 60000, &g, &e) == 0 &&
			engine_pause(path, ID, TIME_MS, &e) == 0)
			clock_sleep_ms(60000);
		_exit(1);
	}
	while (!world->is_paused)
		clock_sleep_ms(5);
	stop_server();
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	clock_sleep_ms(500);
	assert_int_equal(world->is_paused, 1);
	start_server();
	assert_true(is_free_within(3000));
}

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/thinark-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/docker.sock", dir);
	world = mmap(
		NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (world == MAP_FAILED)
		return -1;
	start_server();
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	stop_server();
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
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
		cmocka_unit_test(the_guard_unpauses_when_told),
		cmocka_unit_test(the_guard_keeps_the_deadline),
		cmocka_unit_test(the_guard_holds_nothing_and_takes_no_signal),
		cmocka_unit_test(a_dead_guard_is_replaced),
		cmocka_unit_test(an_engine_that_is_gone_is_a_leftover),
		cmocka_unit_test(a_killed_run_leaves_nothing_paused),
		cmocka_unit_test(a_restarting_engine_is_waited_for),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
