#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: ext4
# limit: 800
#
# The power fails at random moments of a run. After the next boot and `recover` nothing is left, the container has
# every line that it was promised, and each archive is whole or not there.
. "$THINARK_SRC/tests/vm/guest/lib.sh"
. "$THINARK_SRC/tests/vm/guest/sweep.sh"
. "$THINARK_SRC/tests/vm/guest/power.sh"

fstype=ext4
floor=${CUTS:-30}
seed=${SEED:-$(date +%s)}

rounds_begin
while [ $cuts -lt "$floor" ]; do
	# With an archive of an earlier run beside it, and without.
	[ $((cuts % 4)) -ne 0 ] || rm -rf $backup/*
	run_until_random_moment $cuts
	cut_and_boot "cut $cuts at $ms ms"
	survives "cut $cuts at $ms ms"
	ids_same "cut $cuts at $ms ms"
	[ $((cuts % 5)) -ne 0 ] || echo "$cuts power cuts, $survived survived"
done
rounds_end
echo "power cuts survived/tried: $survived/$tried"
at_least "power cuts" $tried "$floor"
is "all of them survived" $survived $tried
finish
