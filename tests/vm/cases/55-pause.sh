#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: xfs
# limit: 900
#
# consistency: pause. The container is paused during the snapshot and runs afterwards, whatever happens meanwhile.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

rounds=6       # kills of the run while web is paused
total_rounds=2 # kills of its guard as well

mount_docker
start_docker || give_up "dockerd starts"
wait_for 20 container_running web || give_up "web runs"

# pause_config [LINE-OF-THE-STORE]
pause_config() {
	sample_config
	sed -i "s/^    consistency:.*//; s/^    compression: .*/&\n    consistency: pause/" $work/thinark.yaml
	[ -z "${1:-}" ] || sed -i "s|^    root: .*|&\n    $1|" $work/thinark.yaml
}
fresh() {
	rm -rf /srv/backup && mkdir -p /srv/backup
}
manifest_of() {
	archive=$(archive_of "$1")
	jq -r "$2" "${archive%.tar.zst}.json"
}
is_paused() { [ "$(docker inspect -f '{{.State.Paused}}' "$1")" = true ]; }
not_paused() { [ "$(docker inspect -f '{{.State.Paused}}' "$1")" = false ]; }
written() { docker exec web cat /data/count; }
writes() {
	before=$(written)
	wait_for 10 sh -c "[ \"\$(docker exec web cat /data/count)\" != '$before' ]"
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }

docker exec -d web /bin/sh -c \
	'i=0; while sleep 0.1; do i=$((i + 1)); echo $i >/data/new && mv /data/new /data/count; done'
wait_for 20 written || give_up "a process in web writes"
id=$(docker inspect -f '{{.Id}}' web)
freezer=$(find /sys/fs/cgroup -type d -name "*$id*" | head -n 1)/cgroup.freeze
[ -e "$freezer" ] || give_up "the freezer of web" "$freezer"

# -- as it should be -----------------------------------------------------------------------------------------
pause_config
fresh
since=$(date +%s)
leak_check_begin
thinark_exits "run" 0 --json run
leak_check_end "run"
docker events --since "$since" --until "$(($(date +%s) + 1))" --filter container=web \
	--filter event=pause --filter event=unpause --format '{{.Action}}' >$work/events
is "web was paused once, and unpaused" "$(tr '\n' ' ' <$work/events)" 'pause unpause '
check "web runs" not_paused web
check "its process writes again" writes
is "no guard is left" "$(pgrep -x thinark-guard)" ''
is "web: the manifest says so" "$(manifest_of web .snapshot.consistency)" pause
is "job: nothing to pause" "$(manifest_of job .snapshot.consistency)" freeze
is "the window lies within the pause" \
	"$(manifest_of web '.snapshot | .window_ms > 0 and .paused_ms > .window_ms and .paused_ms < 20000')" true
is "so does --json" "$(jq -r 'select(.type == "item" and .container == "web") | .paused_ms > 0' $work/stdout)" true
check "web: its archive is whole" zstd -q -t "$(archive_of web)"
echo "# paused for $(manifest_of web .snapshot.paused_ms) ms, suspended for $(manifest_of web .snapshot.window_ms) ms"

# Only web from here on: what matters happens before its archive.
sed -i 's/^    containers: .*/    containers: [web]/' $work/thinark.yaml

# -- killed while web is paused ------------------------------------------------------------------------------
# killed_in_pause [guard]: leaves the time of the kill in at, or fails when the moment was missed
killed_in_pause() {
	fresh
	"$THINARK" -c $work/thinark.yaml run >$work/stdout 2>$work/stderr 8>&- &
	victim=$!
	frozen=0
	until [ "$frozen" = 1 ]; do
		read -r frozen <"$freezer"
		kill -0 $victim 2>/dev/null || break
	done
	guard=''
	[ -z "${1:-}" ] || guard=$(pgrep -x thinark-guard)
	kill -9 $victim $guard
	at=$(now_ms)
	wait $victim
	[ $? -eq 137 ] && [ "$frozen" = 1 ] && { [ -z "${1:-}" ] || [ -n "$guard" ]; }
}

# What the engine needs for both by hand, to read the times below by: they say little on a busy machine.
at=$(now_ms)
docker pause web >/dev/null
docker unpause web >/dev/null
by_hand=$(($(now_ms) - at))

done_rounds=0 slowest=0 tries=0
leak_check_begin
while [ $done_rounds -lt $rounds ] && [ $tries -lt $((rounds * 3)) ]; do
	tries=$((tries + 1))
	killed_in_pause || continue
	until read -r frozen <"$freezer" && [ "$frozen" = 0 ]; do
		[ $(($(now_ms) - at)) -lt 10000 ] || break
	done
	took=$(($(now_ms) - at))
	done_rounds=$((done_rounds + 1))
	echo "# round $done_rounds: $took ms"
	[ $took -le $slowest ] || slowest=$took
done
thinark_exits "killed while paused: recover" 0 recover
at_least "killed while web was paused: rounds" $done_rounds $rounds
if [ $slowest -lt 1000 ]; then
	ok "it ran again within a second, every time (slowest: $slowest ms; pause and unpause by hand: $by_hand ms)"
else
	not_ok "it ran again within a second" "slowest: $slowest ms; pause and unpause by hand: $by_hand ms"
fi
check "Docker knows that it runs" not_paused web
check "its process writes again" writes
is "no guard is left" "$(pgrep -x thinark-guard)" ''
leak_check_end "killed while paused" 10

# Nobody is left to end the pause but recover.
done_rounds=0 tries=0 stuck=0
leak_check_begin
while [ $done_rounds -lt $total_rounds ] && [ $tries -lt $((total_rounds * 5)) ]; do
	tries=$((tries + 1))
	killed_in_pause guard
	sleep 1
	read -r frozen <"$freezer"
	if [ "$frozen" = 1 ]; then
		stuck=$((stuck + 1))
		[ $((stuck % 2)) = 0 ] && how=recover || how='recover --resume'
		# shellcheck disable=SC2086 # words
		thinark $how || not_ok "all killed: $how" "exit code $code"
		read -r frozen <"$freezer"
		is "all killed: $how ended the pause" "$frozen" 0
		done_rounds=$((done_rounds + 1))
	fi
	thinark recover || not_ok "all killed: recover" "exit code $code"
done
at_least "everything killed while web was paused: rounds" $done_rounds $total_rounds
check "all killed: web runs" not_paused web
check "all killed: its process writes again" writes
leak_check_end "all killed" 10

# -- paused by somebody else ---------------------------------------------------------------------------------
fresh
pause_config
docker pause web >/dev/null
thinark_exits "web is paused already" 0 run
check "it stays so" is_paused web
is "that counts as paused" "$(manifest_of web .snapshot.consistency)" pause
is "but not by us" "$(manifest_of web .snapshot.paused_ms)" 0
docker unpause web >/dev/null

# -- no engine -----------------------------------------------------------------------------------------------
fresh
pause_config 'socket: /run/nobody.sock'
leak_check_begin
thinark_exits "no engine answers" 3 run
leak_check_end "no engine answers"
check "the message says so" grep -q "consistency: pause: .*/run/nobody.sock.*does not answer" $work/stderr
is "web is not archived, the others are" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 2

stop_docker
finish
