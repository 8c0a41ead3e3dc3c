/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "scope.h"
#include "str.h"

#define ANSWER_MAX (1u << 20)  /* "inspect" of a container with many labels is some 100 KiB */
#define HEADERS_MAX (1u << 16) /* of one answer */

struct answer {
	struct strbuf body;
	size_t header_bytes;
	bool is_too_large;
	long status; /* of HTTP */
};

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
	struct answer *a = arg;

	(void)one;
	if (len > ANSWER_MAX - a->body.len) {
		a->is_too_large = true;
		return 0;
	}
	strbuf_add(&a->body, data, len);
	return a->body.failed ? 0 : len;
}

static size_t on_header(char *data, size_t one, size_t len, void *arg)
{
	struct answer *a = arg;

	(void)data;
	(void)one;
	a->header_bytes += len;
	a->is_too_large |= a->header_bytes > HEADERS_MAX;
	return a->is_too_large ? 0 : len;
}

static int check_names(const char *socket, const char *id, struct err *e)
{
	if (strlen(id) != ENGINE_ID_CAP - 1 || strspn(id, "0123456789abcdef") != strlen(id))
		return err_set(e, ERR_SOURCE, -EINVAL, "'%.80s' is not a container's id", id);
	if (socket[0] != '/' || strlen(socket) >= ENGINE_SOCKET_CAP)
		return err_set(e, ERR_SOURCE, -EINVAL,
			"'%.120s' is not the absolute path of a socket", socket);
	return 0;
}

static bool set_up(CURL *c, const char *socket, const char *url, bool is_post, unsigned deadline_ms,
	struct answer *a)
{
	CURLcode r = curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, socket);

#define SET(option, value)                                                                         \
	do {                                                                                       \
		if (r == CURLE_OK)                                                                 \
			r = curl_easy_setopt(c, option, value);                                    \
	} while (0)
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "http");
	SET(CURLOPT_PROXY, ""); /* nor one of the environment */
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TIMEOUT_MS, (long)deadline_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)deadline_ms);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, a);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, a);
	if (is_post) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE, 0L);
	}
#undef SET
	return r == CURLE_OK;
}

static int explain(CURLcode r, const struct answer *a, const char *socket, struct err *e)
{
	if (a->is_too_large)
		return err_set(e, ERR_SOURCE, -EPROTO, "'%s': the answer is too large", socket);
	switch (r) {
	case CURLE_OK:
		return 0;
	case CURLE_OUT_OF_MEMORY:
		return err_sys(e, ERR_FATAL, -ENOMEM, "'%s'", socket);
	case CURLE_COULDNT_CONNECT:
		return err_set(
			e, ERR_SOURCE, -ECONNREFUSED, "'%s': the engine does not answer", socket);
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(e, ERR_SOURCE, -ETIMEDOUT, "'%s': the engine did not answer in time",
			socket);
	default:
		return err_set(e, ERR_SOURCE, -EPROTO, "'%s': %s", socket, curl_easy_strerror(r));
	}
}

/* One request; a->body is the caller's also after an error. */
static int request(const char *socket, const char *id, const char *what, bool is_post,
	unsigned deadline_ms, struct answer *a, struct err *e)
{
	char url[160];

	*a = (struct answer){0};
	int r = check_names(socket, id, e);
	if (r < 0)
		return r;
	(void)snprintf(url, sizeof(url), "http://localhost/containers/%s/%s", id, what);
	/* Without TLS and the like; counted, so that it is free when it was done before. */
	(void)curl_global_init(CURL_GLOBAL_NOTHING);
	CURL *c = curl_easy_init();
	if (!c || !set_up(c, socket, url, is_post, deadline_ms ? deadline_ms : 1, a))
		r = err_set(e, ERR_FATAL, -ENOMEM, "libcurl");
	if (r == 0)
		r = explain(curl_easy_perform(c), a, socket, e);
	if (c)
		(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a->status);
	curl_easy_cleanup(c);
	return r;
}

/* The engine's words are {"message":"..."}. */
static int refusal(const struct answer *a, const char *what, struct err *e)
{
	AUTO_JSON *j = NULL;
	const char *text = NULL;

	if (a->body.data && json_parse_object(a->body.data, a->body.len, what, &j, NULL) == 0)
		text = json_str(j, "message");
	if (a->status == 404 && text)
		return err_set(e, ERR_SOURCE, -ENOENT, "%s: the engine says: %.500s", what, text);
	if (text)
		return err_set(
			e, ERR_SOURCE, -EREMOTEIO, "%s: the engine says: %.500s", what, text);
	return err_set(
		e, ERR_SOURCE, -EPROTO, "%s: unexpected answer (HTTP status %ld)", what, a->status);
}

int engine_parse_state(
	const char *text, size_t len, const char *name, enum engine_state *ret, struct err *e)
{
	AUTO_JSON *j = NULL;
	int r = json_parse_object(text, len, name, &j, e);

	if (r < 0) {
		if (e)
			e->kind = ERR_SOURCE;
		return r;
	}
	const json_t *state = json_object_get(j, "State");
	const json_t *running = json_object_get(state, "Running");
	const json_t *paused = json_object_get(state, "Paused");
	if (!json_is_boolean(running) || !json_is_boolean(paused))
		return err_set(e, ERR_SOURCE, -EPROTO, "%s: it does not tell the state", name);
	*ret = json_is_true(paused)    ? ENGINE_PAUSED
	       : json_is_true(running) ? ENGINE_RUNNING
				       : ENGINE_STOPPED;
	return 0;
}

int engine_state(const char *socket, const char *id, unsigned deadline_ms, enum engine_state *ret,
	struct err *e)
{
	struct answer a;
	int r = request(socket, id, "json", false, deadline_ms, &a, e);

	if (r == 0 && a.status != 200)
		r = refusal(&a, "inspect", e);
	else if (r == 0)
		r = engine_parse_state(
			a.body.data ? a.body.data : "", a.body.len, "inspect", ret, e);
	strbuf_free(&a.body);
	return r;
}

static unsigned ms_left(uint64_t deadline)
{
	const uint64_t now = clock_ns();

	return now >= deadline ? 1 : (unsigned)((deadline - now) / 1000000u) + 1;
}

int engine_pause(const char *socket, const char *id, unsigned deadline_ms, struct err *e)
{
	const uint64_t deadline = clock_ns() + deadline_ms * (uint64_t)1000000;
	enum engine_state now = ENGINE_RUNNING;
	struct answer a;
	int r = request(socket, id, "pause", true, deadline_ms, &a, e);

	if (r == 0 && a.status != 204) {
		r = refusal(&a, "pause", e);
		/* A conflict: paused already, or not running. */
		if (a.status == 409 &&
			engine_state(socket, id, ms_left(deadline), &now, NULL) == 0 &&
			now == ENGINE_PAUSED)
			r = err_set(e, ERR_SOURCE, -EALREADY, "it is paused already");
	}
	strbuf_free(&a.body);
	return r;
}

int engine_unpause(const char *socket, const char *id, unsigned deadline_ms, struct err *e)
{
	const uint64_t deadline = clock_ns() + deadline_ms * (uint64_t)1000000;
	enum engine_state now = ENGINE_PAUSED;
	struct err mine = {0};
	struct answer a;
	int r = request(socket, id, "unpause", true, deadline_ms, &a, &mine);

	if (r == 0 && a.status != 204) {
		r = refusal(&a, "unpause", &mine);
		/* What the refusal means differs between versions; the state tells. */
		int s = r == -ENOENT ? r : engine_state(socket, id, ms_left(deadline), &now, NULL);
		if (s == -ENOENT || (s == 0 && now != ENGINE_PAUSED))
			r = 0;
	}
	strbuf_free(&a.body);
	if (r < 0 && e) {
		*e = mine;
		e->kind = ERR_LEFTOVER;
	}
	return r;
}
