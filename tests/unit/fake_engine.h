/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small server on a unix socket in place of the engine, polite or hostile, for the programs that
 * test its client and its guard.
 */
#pragma once

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
