#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: xfs
# limit: 900
#
# Whatever goes wrong and whenever: nothing is left behind, and nothing incomplete calls itself an archive.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

mount_docker
start_docker || give_up "dockerd starts"
wait_for 20 container_running web || give_up "web runs"
sample_config

# in_the_middle SIGNAL: ends a run that is writing an archive
in_the_middle() {
	rm -rf /srv/backup && mkdir -p /srv/backup
	"$THINARK" -c $work/thinark.yaml run >$work/stdout 2>$work/stderr 8>&- &
	victim=$!
	wait_for 60 archive_grows || { not_ok "$1: the run writes something"; kill -9 $victim; }
	kill -"$1" $victim
	wait $victim
	code=$?
}
archive_grows() { find /srv/backup -type f -size +0 | grep -q .; }
no_half_archives() {
	for file in $(find "${1:-/srv/backup}" -name '*.tar.zst'); do
		[ -s "${file%.tar.zst}.json" ] && zstd -q -t "$file" || return 1
	done
	for file in $(find "${1:-/srv/backup}" -name '*.json'); do
		[ -s "${file%.json}.tar.zst" ] || return 1
	done
}

# -- the destination fills ---------------------------------------------------------------------------------
# fill KIB TYPE: a destination of so much room; what is there afterwards is whole, or nothing is
rounds=0 refused=0
fill() {
	mkdir -p /srv/small
	if [ "$2" = tmpfs ]; then
		mount -t tmpfs -o size="$1k" tmpfs /srv/small
	else
		truncate -s "$1K" $work/small.img
		mkfs.ext4 -q -F -m 0 -O ^has_journal $work/small.img && mount -o loop $work/small.img /srv/small
	fi
	thinark run
	archives=$(find /srv/small -name '*.json' | wc -l)
	others=$(find /srv/small -type f ! -name '*.tar.zst' ! -name '*.json' | wc -l)
	if [ $others -ne 0 ] || ! no_half_archives /srv/small; then
		not_ok "full destination ($2 of $1 KiB): nothing half" "$(find /srv/small -type f)"
	elif [ "$code:$archives" = 0:1 ]; then
		rounds=$((rounds + 1))
	elif [ $archives = 0 ] && { [ $code = 1 ] || [ $code = 3 ]; } &&
		grep -qi -e 'no space' $work/stderr $work/stdout; then
		rounds=$((rounds + 1)) refused=$((refused + 1))
	else
		not_ok "full destination ($2 of $1 KiB): said so" "exit code $code, $archives archives"
		head -n 5 $work/stderr | sed 's/^/    /'
	fi
	umount /srv/small
}
sample_config /srv/small
sed -i 's/^    containers: .*/    containers: [web]/' $work/thinark.yaml
leak_check_begin
for step in 1 2 3 4 5 6 7 8 9 10; do
	fill $((step * step * 40)) tmpfs
	fill $((step * step * 40 + 100)) ext4
done
leak_check_end "full destination"
is "full destination: rounds in which nothing half was left, and the message said why" $rounds 20
at_least "full destination: rounds in which it was full" $refused 12
sample_config

# -- SIGTERM -----------------------------------------------------------------------------------------------
leak_check_begin
in_the_middle TERM
is "SIGTERM: exit code" $code 130
leak_check_end "SIGTERM" 10
check "SIGTERM: no half archives" no_half_archives
is "SIGTERM: nothing unfinished" \
	"$(find /srv/backup -type f ! -name '*.tar.zst' ! -name '*.json' | wc -l)" 0

# -- SIGKILL -----------------------------------------------------------------------------------------------
for round in 1 2; do
	leak_check_begin
	in_the_middle KILL
	is "SIGKILL $round: it died of it" $code 137
	check "SIGKILL $round: web still answers" timeout 20 docker exec web /bin/true
	thinark_exits "SIGKILL $round: recover" 0 recover
	leak_check_end "SIGKILL $round: after recover" 10
	check "SIGKILL $round: no half archives" no_half_archives
done
in_the_middle KILL
leak_check_begin
thinark_exits "a run after SIGKILL cleans up by itself" 0 run
thinark_exits "a second recover has nothing to do" 0 recover
for name in web job broken; do
	check "$name: archived after all" zstd -q -t "$(archive_of $name)"
done
is "no thin device of ours" "$(thin_ids | awk '$2 > 8388608' | wc -l)" 0

# -- another's thin device under our id, our pool under another name -----------------------------------------
pool=$(docker_pool)
in_the_middle KILL
wait_for 10 sh -c '! dmsetup ls | grep -q ^thinark-'
ours=$(thin_ids | awk '$2 > 8388608 { print $2 }')
dmsetup message "$pool" 0 "delete $ours" && dmsetup message "$pool" 0 "create_thin $ours"
thinark_exits "another's thin device under our id: recover" 0 recover
check "it is said" grep -q "is not the snapshot of ours" $work/stderr
is "it is still there" "$(thin_ids | awk '$2 > 8388608 { print $2 }')" "$ours"
thinark_exits "a run beside it" 0 run
is "it is still there" "$(thin_ids | awk '$2 > 8388608 { print $2 }')" "$ours"
dmsetup message "$pool" 0 "delete $ours"
in_the_middle KILL
dmsetup rename "$pool" renamed-pool
thinark_exits "the pool has another name: recover" 0 recover
is "the snapshot is gone" "$(thin_ids | awk '$2 > 8388608' | wc -l)" 0
is "the ledger is empty" "$(ledger)" ''
dmsetup rename renamed-pool "$pool"

# -- two at a time -----------------------------------------------------------------------------------------
rm -rf /srv/backup && mkdir -p /srv/backup
leak_check_begin
"$THINARK" -c $work/thinark.yaml run >$work/first.out 2>&1 8>&- &
first=$!
wait_for 60 archive_grows
thinark_exits "a second run at the same time" 11 run
wait $first
is "the first is not disturbed" $? 0
leak_check_end "two at a time"

# -- one bad record ----------------------------------------------------------------------------------------
layer=$(layer_of job)
record=$docker_root/devicemapper/metadata/${layer##*-}
cp -p "$record" $work/record
for damage in garbage absent-device missing; do
	case $damage in
	garbage) printf '{"device_id": not json' >"$record" ;;
	absent-device) jq -c '.device_id = 7777777' $work/record >"$record" ;;
	missing) rm "$record" ;;
	esac
	rm -rf /srv/backup && mkdir -p /srv/backup
	leak_check_begin
	thinark_exits "record of job: $damage" 3 run
	leak_check_end "record of job: $damage"
	is "record of job: $damage: the others are archived" \
		"$(find /srv/backup/web /srv/backup/broken -name '*.json' | wc -l)" 2
	is "record of job: $damage: job is not" "$(find /srv/backup/job -type f 2>/dev/null | wc -l)" 0
	check "record of job: $damage: the message names it" grep -q job $work/stderr $work/stdout
	cp -p $work/record "$record"
done

# -- below a supervisor that ignores SIGCHLD ---------------------------------------------------------------
rm -rf /srv/backup && mkdir -p /srv/backup
leak_check_begin
(trap '' CHLD; exec "$THINARK" -c $work/thinark.yaml run) >$work/stdout 2>$work/stderr
is "SIGCHLD is ignored: exit code" $? 0
rm -rf /srv/backup
leak_check_end "SIGCHLD is ignored"

docker_works
stop_docker
finish
