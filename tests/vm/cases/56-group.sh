#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: xfs
# limit: 900
#
# group: true takes all snapshots in one instant. A writer puts the same number into one container and
# then into the other, over and over: in one instant they differ by one at most.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

mount_docker
start_docker || give_up "dockerd starts"
wait_for 20 container_running web || give_up "web runs"
docker run -d --name second --network none busybox /bin/sleep 100000 >/dev/null || give_up "a second container"
sample_config
sed -i 's/^    containers: .*/    containers: [web, second]/' $work/thinark.yaml

root_of() { echo "/proc/$(docker inspect -f '{{.State.Pid}}' "$1")/root"; }
a=$(root_of web)/sequence b=$(root_of second)/sequence
perl -e '
	use Fcntl; use IO::Handle;
	for (my $n = 1; ; $n++) {
		for my $f (@ARGV) {
			# In place, or an instant would show the empty file in between.
			sysopen(F, $f, O_WRONLY | O_CREAT) or die; syswrite(F, sprintf("%09d", $n)); F->sync; close F;
		}
	}' "$a" "$b" 8>&- &
writer=$!
number() { zstd -q -dc "$(archive_of "$1")" | tar -xOf - sequence | awk '{ print $1 + 0 }'; }

sleep 2
leak_check_begin
thinark_exits "one by one" 0 --json run
leak_check_end "one by one"
apart=$(($(number second) - $(number web)))
apart=${apart#-}
echo "# one by one: $apart writes apart"

for round in 1 2 3; do
	rm -rf /srv/backup && mkdir -p /srv/backup
	[ $round = 1 ] && sed -i 's/^    destination: local/    destination: local\n    group: true/' $work/thinark.yaml
	leak_check_begin
	thinark_exits "group $round" 0 --json run
	leak_check_end "group $round"
	cp $work/stdout $work/group.json
	is "group $round: archives" "$(find /srv/backup -name '*.json' | wc -l)" 2
	first=$(number web) second=$(number second)
	at_least "group $round: the writer is at work" "$first" 10
	case $((first - second)) in
	0 | 1) ok "group $round: one instant ($first and $second)" ;;
	*) not_ok "group $round: one instant" "$first and $second" ;;
	esac
	is "group $round: one window for both" \
		"$(jq -r 'select(.type == "item") | .window_ms' $work/group.json | sort -u | wc -l)" 1
done
# Without the group the two are apart: so the test above can fail.
at_least "one by one they are apart" $apart 2

# A member that cannot be had takes nothing from the others.
layer=$(layer_of second)
record=$docker_root/devicemapper/metadata/${layer##*-}
cp -p "$record" $work/record
jq -c '.device_id = 7777777' $work/record >"$record"
rm -rf /srv/backup && mkdir -p /srv/backup
leak_check_begin
thinark_exits "a member without a device" 3 run
leak_check_end "a member without a device"
cp -p $work/record "$record"
check "a member without a device: it is named" grep -q second $work/stderr
check "both still run" sh -c "docker exec web true && docker exec second true"

# A member in a window that someone else holds: nobody is suspended afterwards.
rm -rf /srv/backup && mkdir -p /srv/backup
dmsetup suspend "$(layer_of second)"
thinark_exits "a member that is suspended already" 3 run
is "its suspension is left to its owner" "$(dmsetup info -c --noheadings -o suspended "$(layer_of second)")" Suspended
is "web is not suspended" "$(dmsetup info -c --noheadings -o suspended "$(layer_of web)")" Active
dmsetup resume "$(layer_of second)"
is "web is archived all the same" "$(find /srv/backup/web -name '*.json' | wc -l)" 1

kill $writer
stop_docker
finish
