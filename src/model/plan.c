/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "scope.h"

#define ID_PREFIX_MIN 6

static bool label_matches(const char *want, const struct container *c)
{
	const char *equals = strchr(want, '=');
	AUTO_FREE char *key = equals ? strndup(want, (size_t)(equals - want)) : strdup(want);
	const char *value = key ? container_label(c, key) : NULL;

	return value && (!equals || fnmatch(equals + 1, value, 0) == 0);
}

static bool is_id_prefix(const char *pattern, const char *id)
{
	size_t len = strlen(pattern);

	return len >= ID_PREFIX_MIN && pattern[strspn(pattern, "0123456789abcdefABCDEF")] == '\0' &&
	       strncasecmp(pattern, id, len) == 0;
}

static bool value_matches(const char *pattern, const char *value)
{
	return value && fnmatch(pattern, value, 0) == 0;
}

/* The engine's namespace, or Kubernetes', whichever it is that the operator knows. */
static bool namespace_matches(const char *pattern, const struct container *c)
{
	return value_matches(pattern, c->namespace) ||
	       value_matches(pattern, container_label(c, "io.kubernetes.pod.namespace"));
}

bool plan_matches(const char *pattern, const struct container *c)
{
	if (strncmp(pattern, "label:", 6) == 0)
		return label_matches(pattern + 6, c);
	if (strncmp(pattern, "state:", 6) == 0)
		return c->state && strcmp(pattern + 6, c->state) == 0;
	if (strncmp(pattern, "pod:", 4) == 0)
		return value_matches(pattern + 4, container_label(c, "io.kubernetes.pod.name"));
	if (strncmp(pattern, "namespace:", 10) == 0)
		return namespace_matches(pattern + 10, c);
	if (c->id && is_id_prefix(pattern, c->id))
		return true;
	/* A container without a name is still one of all. */
	if (!c->name)
		return strcmp(pattern, "*") == 0;
	return strcmp(pattern, c->name) == 0 || fnmatch(pattern, c->name, 0) == 0;
}

static bool any_matches(const struct cfg_strings *patterns, const struct container *c)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (plan_matches(patterns->items[i], c))
			return true;
	return false;
}

static bool has_store(const struct cfg_job *job, const char *store)
{
	for (size_t i = 0; store && i < job->stores.count; i++)
		if (strcmp(job->stores.items[i], store) == 0)
			return true;
	return false;
}

bool plan_selects(const struct cfg_job *job, const struct container *c)
{
	return has_store(job, c->store) && any_matches(&job->containers, c) &&
	       !any_matches(&job->exclude_containers, c);
}
