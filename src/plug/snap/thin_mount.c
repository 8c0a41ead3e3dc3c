/* SPDX-License-Identifier: Apache-2.0 */
/* Making a snapshot's files visible; see snap.h. */
#include <errno.h>
#include <string.h>

#include "snap.h"
#include "view.h"

/*
 * ext4: read-only device first, so that the kernel itself decides whether the journal is clean;
 * then a writable one, whose replay goes into the snapshot.  xfs: always writable, since a frozen
 * xfs leaves a log; norecovery would lose files.
 */
int snap_mount(struct snap *s, const char *target, const char **ret_type, const char **ret_mode,
	struct err *e)
{
	int r = snap_activate(s, true, e);

	if (r == 0)
		r = view_probe(s->node, ret_type, e);
	if (r < 0)
		return r;
	const bool is_xfs = strcmp(*ret_type, "xfs") == 0;
	*ret_mode = is_xfs ? "read-only mount, log replayed into the snapshot" : "read-only device";
	if (is_xfs)
		r = snap_activate(s, false, e);
	if (r == 0)
		r = view_mount(s->node, *ret_type, target, VIEW_READ_ONLY, e);
	if (r == -EROFS && !is_xfs) {
		*ret_mode = "read-only mount, journal replayed into the snapshot";
		r = snap_activate(s, false, e);
		if (r == 0)
			r = view_mount(s->node, *ret_type, target, VIEW_READ_ONLY, e);
	}
	return r;
}
