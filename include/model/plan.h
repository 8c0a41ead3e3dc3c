/* SPDX-License-Identifier: Apache-2.0 */
/* Selection: which containers of the listed ones a job archives, and the names of the archives. */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "cfg.h"
#include "container.h"
#include "err.h"

/*
 * Does pattern match the container?  Forms: exact name; id prefix of 6 or more hex digits;
 * glob (fnmatch) over the name; "label:KEY"; "label:KEY=VALUE" (VALUE may be a glob);
 * "state:STATE"; "pod:GLOB" over the name of its Kubernetes pod (label io.kubernetes.pod.name);
 * "namespace:GLOB" over that pod's namespace (label io.kubernetes.pod.namespace) and over the
 * engine's own one (containerd's: k8s.io, default, moby), either of which may match.
 */
bool plan_matches(const char *pattern, const struct container *c);
/* Is c (of store c->store) selected by the job: store listed, containers match, not excluded? */
bool plan_selects(const struct cfg_job *job, const struct container *c);

struct naming {
	const char *job, *hostname;
	const struct container *container;
	time_t time;
};

/* Is the format valid?  Needs known {fields} and one of {time}; used by the loader. */
int naming_check(const char *format, char *reason, size_t reason_size);
/*
 * Expands {container} {store} {id} {job} {hostname} {time}.  Every value is made safe for a path
 * component: '/', control characters, a leading '.' and bytes outside printable ASCII become
 * "%XX".  *ret is a relative path of non-empty components without "..", at most 255 bytes each
 * (minus room for ".tar.zst"); the caller frees it.
 */
int naming_expand(const char *format, const struct naming *n, char **ret, struct err *e);
