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
mkdir -p /srv/small
mount -t tmpfs -o size=3m tmpfs /srv/small
sample_config /srv/small
leak_check_begin
thinark run
case $code in
1 | 3) ok "full destination: exit code $code" ;;
*) not_ok "full destination: exit code" "got $code, expected 1 or 3" ;;
esac
leak_check_end "full destination"
is "full destination: web has no archive" "$(find /srv/small -path '*web*' -type f | wc -l)" 0
check "full destination: no half archives" no_half_archives /srv/small
is "full destination: nothing unfinished" \
	"$(find /srv/small -type f ! -name '*.tar.zst' ! -name '*.json' | wc -l)" 0
check "full destination: the message says why" grep -qi -e 'no space' -e 'full' $work/stderr $work/stdout
umount /srv/small
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

docker_works
stop_docker
finish
