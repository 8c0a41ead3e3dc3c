#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: ext4
# limit: 900
#
# restore --into puts files back into a stopped container's own device, and rollback takes that back: with and without
# the engine, killed in the middle, in a pool without room.
. "$THINARK_SRC/tests/vm/guest/lib.sh"
. "$THINARK_SRC/tests/vm/guest/sweep.sh"

rm -rf /var/lib/thinark
mount_docker
start_docker || give_up "dockerd starts"
wait_for 20 container_running web || give_up "web runs"
sample_config
names_of web
mkdir -p /mnt/web
own_id=$(jq -r .device_id "$layer_record")
# A file without an ACL in a folder that would pass its own on.
touch "$live/rootfs/data/acl-dir/plain" && setfacl -b "$live/rootfs/data/acl-dir/plain"
# More than a percent of the pool.
head -c 33554432 /dev/zero | tr '\0' y >"$live/rootfs/data/large" || give_up "a large file"
thinark_exits "archives" 0 run
extract "$(archive_of web)" /srv/tree/web || give_up "tar extracts the archive"
tree /srv/tree/web $work/want

# damage: what an administrator might do to the container's files
damage() {
	thinark_exits "damage: mount" 0 mount --rw web /mnt/web
	(
		cd /mnt/web/rootfs || exit 1
		rm -r bin data/d data/hard1 data/fifo data/chardev
		echo broken >etc/passwd
		ln -sf /nowhere data/plain
		chmod 700 etc data/empty-dir
		rm data/acl-dir/plain
		setfattr -x user.colour data/xattr
		truncate -s 1000 data/big
		mkdir -p tmp && echo extra >tmp/extra
	) || not_ok "damage"
	thinark_exits "damage: umount" 0 umount /mnt/web
}

# now PREFIX: the container's tree as it is
now() {
	reference_of web /mnt/reference || give_up "reference snapshot"
	tree /mnt/reference/rootfs "$1"
	extra=$(cat /mnt/reference/rootfs/tmp/extra 2>&1)
	parts=$(find /mnt/reference -name '.thinark-*' | wc -l)
	reference_down "$(docker_pool)" /mnt/reference || not_ok "the reference goes away"
}

# -- refused -------------------------------------------------------------------------------------------------
leak_check_begin
thinark_exits "into a running container" 3 restore web/latest --into web
check "the message says why" grep -q 'stop the container first' $work/stderr
thinark_exits "into nobody" 10 restore web/latest --into nobody
thinark_exits "of nothing" 10 restore nobody/latest --into web
thinark_exits "--to and --into" 2 restore web/latest --to /srv/x --into web
thinark_exits "rollback of nothing" 10 rollback web
leak_check_end "refused"
docker stop -t 1 web >/dev/null
# A limit is 90 % at most, so more than a tenth of the pool has to be in use: one page in each block will do.
used() { dmsetup status "$pool" | awk '{ print $6 }'; }
status=$(used)
dmsetup message "$pool" 0 "create_thin 9000400" &&
	dmsetup create filler --table "0 $(dmsetup table "$pool" | awk '{ print $2 }') thin /dev/mapper/$pool 9000400" &&
	perl -e 'open(F, "+<", "/dev/mapper/filler") or die;
		for (1 .. $ARGV[0]) { sysseek(F, $_ * $ARGV[1], 0) && syswrite(F, "x" x 4096) or die $! }' \
		$((${status#*/} / 10)) $((512 * $(dmsetup table "$pool" | awk '{ print $6 }'))) &&
	sync /dev/mapper/filler && dmsetup remove --retry filler || give_up "a tenth of the pool"
leak_check_begin
thinark_exits "a path that is not there" 10 restore web/latest /etc/nothing --into web
sed -i '1i pool_min_free_data: 90%' $work/thinark.yaml
thinark_exits "the pool's limits" 20 restore web/latest --into web
status=$(used)
sed -i "1s/.*/pool_min_free_data: $((100 - 100 * ${status%/*} / ${status#*/} - 1))%/" $work/thinark.yaml
thinark_exits "a pool without room" 20 restore web/latest --into web
check "the message says what is missing" grep -q 'may have to be written' $work/stderr
sed -i 1d $work/thinark.yaml
thinark_exits "mount" 0 mount --rw web /mnt/web
thinark_exits "into a mounted one" 3 restore web/latest --into web
thinark_exits "umount" 0 umount /mnt/web
leak_check_end "refused, too"
dmsetup message "$pool" 0 "delete 9000400" || not_ok "the filler goes away"

# -- all of it -----------------------------------------------------------------------------------------------
leak_check_begin
damage
thinark_exits "into web" 0 restore web/latest --into web
check "the safety snapshot is told" grep -q 'safety snapshot: thin 16777215' $work/stderr
check "and its end" grep -q 'the safety snapshot is dropped' $work/stderr
leak_check_end "into web"
now $work/got
compare_trees "into web" $work/got $work/want
is "what the archive does not have stays" "$extra" extra
is "no part is left" "$parts" 0
check "docker: start" docker start web
is "the container sees its files" "$(docker exec web cat /data/plain)" plain
check "thinark: the archive of before and the new one" thinark run
thinark_exits "verify" 0 verify web/latest --deep
docker stop -t 1 web >/dev/null

# -- paths ---------------------------------------------------------------------------------------------------
leak_check_begin
damage
first=$(archive_of web | sed 's|.*/\(web/.*\)\.tar\.zst|\1|')
thinark_exits "one path" 0 restore "$first" /data/d/e --into web
thinark_exits "mount" 0 mount web /mnt/web
is "it is back" "$(cat /mnt/web/rootfs/data/d/e/f/g/h/leaf)" leaf
is "another is not" "$(cat /mnt/web/rootfs/etc/passwd)" broken
thinark_exits "umount" 0 umount /mnt/web
thinark_exits "etc/passwd" 0 --json restore "$first" etc/passwd --into web
check "JSON lines" is_json_lines $work/stdout
is "of the safety snapshot" "$(jq -c 'select(.type == "safety") | .kept' $work/stdout)" false
thinark_exits "mount" 0 mount web /mnt/web
is "the folder above stays as it is" "$(stat -c %a /mnt/web/rootfs/etc)" 700
thinark_exits "umount" 0 umount /mnt/web
leak_check_end "paths"

# -- kept, and rolled back -----------------------------------------------------------------------------------
thinark_exits "mount" 0 mount --rw web /mnt/web
rm /mnt/web/rootfs/data/plain && mkdir /mnt/web/rootfs/data/plain && echo mine >/mnt/web/rootfs/data/plain/x
thinark_exits "umount" 0 umount /mnt/web
now $work/damaged
leak_check_begin
thinark_exits "a folder in a file's place" 3 restore "$first" --into web
check "its path is named" grep -q 'data/plain: ' $work/stderr
check "the way back is named" grep -q "web: its state before is kept as thin 16777215 .*'thinark rollback'" $work/stderr
thinark_exits "once more" 21 restore "$first" --into web
thinark_exits "recover leaves it alone" 0 recover
check "and says so" grep -q 'web: its state of .* is kept' $work/stderr
thinark_exits "recover --resume leaves it alone" 0 recover --resume
is "and says nothing" "$(cat $work/stderr)" ''
thinark_exits "a run beside it" 0 run
check "says so, too" grep -q 'web: its state of .* is kept' $work/stderr
check "docker: start" docker start web
thinark_exits "rollback of a running container" 3 rollback web
docker stop -t 1 web >/dev/null
thinark_exits "rollback" 0 rollback web
leak_check_end "rollback"
now $work/got
compare_trees "rollback" $work/got $work/damaged
thinark_exits "rollback once more" 10 rollback web
leak_check_begin
thinark_exits "--keep-snapshot" 0 restore "$first" /etc /bin --into web --keep-snapshot
is "it is in the ledger" "$(ledger | jq -r '.keeps_name + " " + (.thin_id | tostring)')" 'web 16777215'
thinark_exits "rollback --drop" 0 rollback --drop web
leak_check_end "rollback --drop"
check "docker: start" docker start web
docker stop -t 1 web >/dev/null
thinark_exits "mount" 0 mount web /mnt/web
check "what was restored stays" grep -q root: /mnt/web/rootfs/etc/passwd
thinark_exits "umount" 0 umount /mnt/web

# -- killed --------------------------------------------------------------------------------------------------
stop_docker
sleep 1
now_without() {
	thinark_exits "mount" 0 mount web /mnt/web
	tree /mnt/web/rootfs "$1"
	thinark_exits "umount" 0 umount /mnt/web
}
# is_sound: by the file system's own checker, as the device would be at the next mount
is_sound() {
	thinark mount --rw web /mnt/web || return 1
	node=$(findmnt -n -o SOURCE /mnt/web)
	mount -o remount,ro /mnt/web && e2fsck -fn "$node" >$work/fsck 2>&1 || { cat $work/fsck; return 1; }
	thinark umount /mnt/web
}
now_without $work/damaged
leak_check_begin
# shoot N COMMAND...: killed before its call N; false when there is no such call
shoot() {
	n=$1
	shift
	timeout -k 5 120 "$killpoint" -n "$n" -o $work/points -- "$THINARK" -c $work/thinark.yaml "$@" >$work/stdout 2>$work/stderr
	read_last $work/points
	[ "$last" = killed ]
}
shoot 0 restore "$first" /etc /data/many --into web
calls=$(wc -l <$work/points)
at_least "calls of a restore" "$calls" 200
mounted=$(awk '$3 == "mount" { n = $1 } END { print n }' $work/points)
unmounted=$(awk '$3 == "umount2" { n = $1 } END { print n }' $work/points)
kept=0 dropped=0
for n in 20 $mounted $((mounted + 2)) $((calls / 2)) $((unmounted - 1)) $((unmounted + 2)) $((calls - 6)); do
	shoot $n restore "$first" /etc /data/many --into web || not_ok "killed before call $n" "it was not"
	at=$(point $work/points)
	thinark_exits "killed before $at: recover" 0 recover
	is "no device stays" "$(dmsetup ls 2>/dev/null)" 'No devices found'
	check "its file system is sound" is_sound
	thinark rollback web
	case $code in
	0) kept=$((kept + 1)) ;;
	10) dropped=$((dropped + 1)) ;;
	*) not_ok "killed before $at: rollback" "exit code $code: $(cat $work/stderr)" ;;
	esac
done
at_least "killed and rolled back" $kept 3
at_least "killed before it began, or after its end" $dropped 1
now_without $work/got
compare_trees "after all of this" $work/got $work/damaged

# A rollback is two messages.
thinark_exits "--keep-snapshot" 0 restore "$first" /etc --into web --keep-snapshot
shoot 0 rollback web
messages=$(awk '/TARGET_MSG/ { print $1 }' $work/points)
last_message=$(echo "$messages" | tail -n 1)
at_least "messages of a rollback" "$(echo "$messages" | wc -l)" 3
for n in $messages; do
	thinark_exits "--keep-snapshot" 0 restore "$first" /etc --into web --keep-snapshot
	shoot "$n" rollback web || not_ok "killed before message $n" "it was not"
	thinark_exits "rollback killed before $(point $work/points): recover --resume" 0 recover --resume
	thinark_exits "recover" 0 recover
	# Behind the second it was done, and only the snapshot was left.
	[ "$n" = "$last_message" ] && wanted_code=10 || wanted_code=0
	thinark_exits "rollback again" $wanted_code rollback web
done
now_without $work/got
compare_trees "after killed rollbacks" $work/got $work/damaged
leak_check_end "killed"

# -- the engine goes on --------------------------------------------------------------------------------------
thinark_exits "without the engine" 0 restore "$first" /etc /bin /data/hard1 --into web
start_docker || give_up "dockerd starts again"
check "docker: start" docker start web
is "its thin device is the same" "$(jq -r .device_id "$layer_record")" "$own_id"
docker_works
stop_docker
finish
