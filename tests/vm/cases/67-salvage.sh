#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: cut
# limit: 700
#
# A Docker host's disk whose power was cut while a container wrote: what salvage reads by itself is what dm-thin gives,
# byte for byte, and nothing is written to it.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

# As on any machine to which the disk is carried; its own journal is replayed into what the case throws away.
mkdir -p $docker_root
mount -t ext4 -o ro /dev/vdb $docker_root || give_up "the disk is mounted"
writes() { awk '{ print $5 }' /sys/block/vdb/stat; }
before=$(writes)
leak_check_begin
thinark_exits "salvage -n" 0 salvage --root $docker_root --to /srv/salvaged --dry-run
thinark_exits "salvage" 0 --json salvage --root $docker_root --to /srv/salvaged
leak_check_end "salvage"
is "writes to the disk" "$(($(writes) - before))" 0
check "one JSON object a line" is_json_lines $work/stdout
is "containers archived" "$(jq -r 'select(.type == "item" and .status == "archived" and .kind == "container") | .container' \
	$work/stdout | sort | tr '\n' ' ')" 'broken job web '
is "their log was replayed in a copy" "$(jq -r .salvage.mount_mode /srv/salvaged/web.json)" \
	"read-only mount of a copy, log replayed there"
is "the file system's checker agrees" "$(jq .salvage.check.sound /srv/salvaged/web.json)" true

# What was synced is there, without a gap.
"$THINARK" cat /srv/salvaged/web.tar.zst data/log >$work/log
at_least "lines of the log" "$(wc -l <$work/log)" 30
is "without a gap" "$(awk '$2 != NR { bad++ } END { print bad + 0 }' $work/log)" 0

# The same through device mapper.
mount -o remount,rw $docker_root
sample_config
sed -i '/exclude_patterns/d' $work/thinark.yaml
thinark_exits "run" 0 run
for name in web job broken; do
	is "$name: the same tar" "$(zstd -q -dc /srv/salvaged/$name.tar.zst | sha256sum)" \
		"$(zstd -q -dc "$(archive_of $name)" | sha256sum)"
done
finish
