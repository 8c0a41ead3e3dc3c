#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: thinpool
# init: systemd
# limit: 900
#
# Whatever ends the unit while it holds a container suspended: the container goes on within a second. The window is
# made long by what makes it long in the field, a slow pool: a delay below its metadata.
. "$THINARK_SRC/tests/vm/guest/lib.sh"
. "$THINARK_SRC/tests/vm/guest/units.sh"

units_up
modprobe -d "$THINARK_BUILD/vm/kernel" dm-delay || give_up "dm-delay"
mount_docker
pool_up
DOCKER_POOL=1
start_docker --exec-opt native.cgroupdriver=cgroupfs || give_up "dockerd starts"
wait_for 20 container_running web || give_up "web runs"
sed -i 's/containers: \["\*"\]/containers: [web]/' $work/thinark.yaml
unit_config
unit_run thinark@nightly 0 "undisturbed"

origin=$(layer_of web)
state=/sys/dev/block/$(dmsetup info -c --noheadings --separator : -o major,minor "$origin")/dm/suspended
group=/sys/fs/cgroup/system.slice/system-thinark.slice/thinark@nightly.service

# pool_writes_take MILLISECONDS: from now on, each write of metadata
pool_writes_take() {
	dmsetup suspend --nolockfs ext-thinpool_tmeta
	dmsetup load ext-thinpool_tmeta --table "0 131072 delay /dev/vdc 0 0 /dev/vdc 0 $1"
	dmsetup resume ext-thinpool_tmeta
}

unit_ended() {
	case $(systemctl is-active thinark@nightly) in
	failed | inactive) return 0 ;;
	esac
	return 1
}

# trial FAULT: sets ms, from the fault to the origin's resume; fails if the fault came after it
trial() {
	since=$(date +%s.%N)
	"$here/window-fault" "$state" $group "$1" >$work/window 2>&1 &
	watcher=$!
	systemctl start --no-block thinark@nightly
	wait $watcher || give_up "$1: inside of the window" "$(cat $work/window)"
	read -r from to inside <$work/window
	wait_for 60 unit_ended
	journalctl -q --no-pager -o short-unix -u thinark@nightly --since "@$since" >$work/journal
	if [ "$1" = time-out ]; then
		rm -r /run/systemd/system/thinark@nightly.service.d
		systemctl daemon-reload
		from=$(sed -n 's/^\([0-9]*\)\.\([0-9]*\) .*start operation timed out.*/\1\2000/p' $work/journal)
		[ -n "$from" ] && [ "$from" -lt "$to" ] || inside=0
	fi
	systemctl reset-failed thinark@nightly 2>/dev/null
	[ "$inside" = 1 ] || return 1
	ms=$(((to - from) / 1000000))
}

# A second is the promise; an emulator on a busy machine is slow in everything, also in running nothing at all
# after a unit.
cat >/run/systemd/system/nothing.service <<-UNIT
	[Service]
	ExecStart=/bin/sleep 100
	ExecStopPost=/bin/sh -c 'date +%%s%%N >$work/stopped'
UNIT
nothing=0
for n in 1 2 3; do
	systemctl start nothing
	read -r pid </sys/fs/cgroup/system.slice/nothing.service/cgroup.procs
	from=$(date +%s%N)
	kill -9 "$pid"
	wait_for 20 sh -c '! systemctl -q is-active nothing && test -s '$work/stopped || give_up "nothing.service stops"
	ms=$((($(cat $work/stopped) - from) / 1000000))
	[ $ms -le $nothing ] || nothing=$ms
	rm $work/stopped
	systemctl reset-failed nothing
done
limit=1000
[ $((nothing * 4)) -le 1000 ] || limit=$((nothing * 4))
echo "# a unit's ExecStopPost=: $nothing ms after its kill; the limit is $limit ms"

second=0
survived=0 tried=0 longest=0 rescued=0 missed=0
# trials FAULT COUNT
trials() {
	n=0
	while [ $n -lt "$2" ]; do
		if ! trial "$1"; then
			missed=$((missed + 1))
			[ $missed -lt 10 ] || give_up "$1: inside of the window" "10 times missed it"
			wait_for 60 unit_ended
			continue
		fi
		n=$((n + 1)) tried=$((tried + 1))
		how='by itself'
		if grep -q 'left suspended by an interrupted run: resumed' $work/journal; then
			rescued=$((rescued + 1)) how='by recover'
		fi
		left=$(ledger | wc -l)
		echo "# $1: resumed $how after $ms ms, result $(sed -n "s/.*Failed with result '\(.*\)'.*/\1/p" $work/journal), $left left"
		[ $ms -gt 1000 ] || second=$((second + 1))
		[ $ms -le $longest ] || longest=$ms
		if [ $ms -le $limit ] && [ "$left" -eq 0 ]; then
			survived=$((survived + 1))
		else
			sed 's/^/    /' $work/journal
		fi
	done
}

leak_check_begin
pool_writes_take 150
trials time-out 2
trials stop 1
pool_writes_take 60
trials SIGTERM 2
trials cgroup.kill 6
trials SIGKILL-all 4
trials SIGKILL-main 3
leak_check_end "ended inside of the window" 10
# Which the kernel tells with a trace.
trials out-of-memory 2
pool_writes_take 0
is "ended inside of the window: survived of tried" $survived/$tried 20/20
echo "# the longest time to the resume: $longest ms; within a second $second of $tried; $rescued by recover; windows missed: $missed"
at_least "resumed by recover" $rescued 12
is "nothing is left" "$(dmsetup ls | grep -c ^thinark; thin_ids | awk '$2 > 8388608' | wc -l; ledger | wc -l)" "$(printf '0\n0\n0')"
check "web still answers" timeout 30 docker exec web /bin/true
unit_run thinark@nightly 0 "the next run"
finish
