/* SPDX-License-Identifier: Apache-2.0 */
/* What things are called: for people, for archives, and in the snapshotter's folder. */
#include <ctype.h>
#include <string.h>

#include "containerd_record.h"
#include "scope.h"

#define ID_LEN_MAX 76
#define DM_NAME_MAX 127
#define POD "io.kubernetes.pod."

bool containerd_is_id(const char *s)
{
	const char *p = s;

	/* Letters and digits, with single '.', '_' or '-' between them. */
	for (; *p; p++)
		if (!isalnum((unsigned char)*p) &&
			(p == s || !strchr("._-", *p) || !isalnum((unsigned char)p[1])))
			return false;
	return p > s && p - s <= ID_LEN_MAX;
}

size_t containerd_pool_db(const char *file)
{
	size_t len = strlen(file);

	if (len <= 3 || strcmp(file + len - 3, ".db") != 0 || file[0] == '.' ||
		strcmp(file, "metadata.db") == 0 || len - 3 > DM_NAME_MAX)
		return 0;
	return len - 3;
}

/* Characters of Kubernetes' names, none of which is '_'. */
static bool is_kube_name(const char *s)
{
	return s && isalnum((unsigned char)*s) && strlen(s) <= 253 &&
	       !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")];
}

int containerd_name(struct container *c, struct err *e)
{
	static const char *const plain[] = {"default", "k8s.io", "moby"};
	const char *space = container_label(c, POD "namespace");
	const char *pod = container_label(c, POD "name");
	const char *own = container_label(c, "io.kubernetes.container.name");
	const char *name = container_label(c, "nerdctl/name");
	bool is_plain = false;
	int r;

	if (!name || !containerd_is_id(name))
		name = c->id;
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		is_plain |= strcmp(c->namespace, plain[i]) == 0;
	if (is_kube_name(space) && is_kube_name(pod) && is_kube_name(own))
		r = asprintf(&c->name, "%s_%s_%s", space, pod, own);
	else if (is_plain)
		r = asprintf(&c->name, "%s", name);
	else
		r = asprintf(&c->name, "%s_%s", c->namespace, name);
	if (r >= 0)
		return 0;
	c->name = NULL;
	return err_sys(e, ERR_FATAL, -ENOMEM, "containerd");
}
