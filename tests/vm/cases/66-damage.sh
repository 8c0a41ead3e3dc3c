#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: ext4
# limit: 900
#
# A damaged file system never makes an archive that calls itself complete, nor does it harm the host: each
# kind of damage is written into the device of a container that does not run.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

mount_docker
start_docker || give_up "dockerd starts"
sample_config
sed -i 's/^    containers: .*/    containers: [job]/' $work/thinark.yaml
docker start job >/dev/null
wait_for 20 sh -c '! docker ps --format "{{.Names}}" | grep -qx job' || give_up "job ends"
layer=$(layer_of job)
record=$docker_root/devicemapper/metadata/${layer##*-}
id=$(jq -r .device_id "$record") size=$(jq -r .size "$record")
pool=$(docker_pool)
node=$(dmsetup info -c --noheadings --separator : -o major,minor "$pool")

# Each kind of damage begins with the same healthy content, kept as a thin snapshot.
keep=5100000
dmsetup message "$pool" 0 "create_snap $keep $id"
open_job() { dmsetup create job --table "0 $((size / 512)) thin $node $id"; }
close_job() { sync /dev/mapper/job; dmsetup remove --retry job; }
heal() {
	dmsetup message "$pool" 0 "delete $id" && dmsetup message "$pool" 0 "create_snap $id $keep"
}
debug() { debugfs -w -R "$1" /dev/mapper/job 2>/dev/null; }
block_of() { debugfs -R "blocks $1" /dev/mapper/job 2>/dev/null | awk '{ print $1 }'; }
block_size() { dumpe2fs -h /dev/mapper/job 2>/dev/null | awk '/^Block size/ { print $3 }'; }
scribble() { # BLOCK [FILE]: garbage, or zeros
	dd if="${2:-/dev/urandom}" of=/dev/mapper/job bs="$(block_size)" seek="$1" count=1 conv=notrunc,fsync 2>/dev/null
}

tried=0 honest=0
# damaged NAME: archives it; anything but "complete" is honest
damaged() {
	rm -rf /srv/backup && mkdir -p /srv/backup
	tried=$((tried + 1))
	leak_check_begin
	dmesg | wc -l >$work/dmesg.before
	thinark --json run
	is "$1: exit code" $code 3
	manifest=$(find /srv/backup -name '*.json')
	if [ -n "$manifest" ]; then
		is "$1: the manifest says incomplete" "$(jq .complete "$manifest")" false
		jq -r '.unreadable[0] | "# \(.path): \(.what): \(.error)"' "$manifest"
	else
		ok "$1: no archive: $(jq -r 'select(.type == "item") | .error' $work/stdout)"
	fi
	[ $code -eq 3 ] && honest=$((honest + 1))
	# Only leaks count here: the kernel is meant to complain.
	world >$work/world.after 2>&1
	same "$1: nothing left behind" $work/world.before $work/world.after
}

leak_check_begin
thinark_exits "healthy" 0 run
leak_check_end "healthy"

for checksums in with without; do
	for kind in folder-garbage folder-zeros inode-table superblock-root; do
		heal || not_ok "heal"
		open_job
		[ $checksums = with ] || { e2fsck -fy /dev/mapper/job >/dev/null 2>&1
			yes | tune2fs -O ^metadata_csum /dev/mapper/job >/dev/null 2>&1 || not_ok "tune2fs"; }
		case $kind in
		folder-garbage) scribble "$(block_of /rootfs/image/d)" ;;
		folder-zeros) scribble "$(block_of /rootfs/image/d)" /dev/zero ;;
		inode-table) scribble "$(debugfs -R "imap /rootfs/image/big" /dev/mapper/job 2>/dev/null |
			sed -n 's/.*located at block \([0-9]*\).*/\1/p')" ;;
		superblock-root) debug "set_inode_field / mode 0100644" ;;
		esac
		close_job
		damaged "$checksums checksums: $kind"
	done
done

# An image that asks for a panic: it is mounted with an errors= of ours.
heal
open_job
tune2fs -e panic /dev/mapper/job >/dev/null
scribble "$(block_of /rootfs/image/d)"
close_job
damaged "errors=panic"
ok "the host is alive"

# A journal that was never replayed is replayed in the snapshot only.
heal
open_job
before=$(sha256sum /dev/mapper/job)
close_job
thinark_exits "healed" 0 run
open_job
is "the container's device is as it was" "$(sha256sum /dev/mapper/job)" "$before"
close_job
dmsetup message "$pool" 0 "delete $keep"
at_least "damaged file systems" $tried 9
is "damaged file systems that called themselves complete" "$((tried - honest))" 0
docker_works
stop_docker
finish
