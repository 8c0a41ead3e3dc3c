/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "scope.h"

static int parse(
	const char *data, size_t len, const char *name, json_type type, json_t **ret, struct err *e)
{
	/* jansson skips NUL between tokens: text kept verbatim would end at the first. */
	const char *nul = memchr(data, '\0', len);
	json_error_t at;

	if (nul)
		return err_set(e, ERR_STORE, -EBADMSG, "%s: NUL at byte %td", name, nul - data);
	json_t *j = json_loadb(data, len, JSON_REJECT_DUPLICATES, &at);

	if (!j)
		return err_set(
			e, ERR_STORE, -EBADMSG, "%s:%d:%d: %s", name, at.line, at.column, at.text);
	if (json_typeof(j) != type) {
		json_decref(j);
		return err_set(e, ERR_STORE, -EBADMSG, "%s:1:1: a JSON %s is expected", name,
			type == JSON_OBJECT ? "object" : "array");
	}
	*ret = j;
	return 0;
}

int json_parse_object(const char *data, size_t len, const char *name, json_t **ret, struct err *e)
{
	return parse(data, len, name, JSON_OBJECT, ret, e);
}

int json_parse_array(const char *data, size_t len, const char *name, json_t **ret, struct err *e)
{
	return parse(data, len, name, JSON_ARRAY, ret, e);
}

bool json_take(const json_t *object, const char *key, char *out, size_t size)
{
	const char *s = json_str(object, key);

	if (!s || strlen(s) >= size)
		return false;
	(void)strcpy(out, s);
	return true;
}

int json_read_at(int dirfd, const char *name, size_t max, json_t **ret, struct err *e)
{
	AUTO_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	AUTO_FREE char *data = NULL;
	struct stat st;
	size_t len = 0;

	if (fd < 0)
		return err_sys(e, ERR_STORE, -errno, "%s", name);
	if (fstat(fd, &st) < 0)
		return err_sys(e, ERR_STORE, -errno, "%s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_STORE, -EINVAL, "%s: not a regular file", name);
	if (st.st_size < 0 || (size_t)st.st_size > max)
		return err_set(e, ERR_STORE, -EFBIG, "%s: larger than %zu bytes", name, max);
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return err_sys(e, ERR_FATAL, -ENOMEM, "%s", name);
	while (len < (size_t)st.st_size) {
		ssize_t n = read(fd, data + len, (size_t)st.st_size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, ERR_STORE, -errno, "%s", name);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return json_parse_object(data, len, name, ret, e);
}

const char *json_str(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}
