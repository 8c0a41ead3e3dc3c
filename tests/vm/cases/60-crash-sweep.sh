#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: ext4
# limit: 800
#
# A run is killed before each of its calls that change the world: on a real pool, with a container that
# writes. Then `recover`: nothing may be left, the container must not have missed a line, and each archive is whole
# or not there. The same for the processes it forks, for all of them at once, for recover itself, and for a run that has to
# assemble the pool of a stopped engine. FULL=1 has more of the last two.
. "$THINARK_SRC/tests/vm/guest/lib.sh"
. "$THINARK_SRC/tests/vm/guest/sweep.sh"

rm -rf /var/lib/thinark
mount_docker
names_of web
meta=$(attach $docker_root/devicemapper/devicemapper/metadata)
data=$(attach $docker_root/devicemapper/devicemapper/data)
pool_start "$meta" "$data" "$(blockdev --getsz "$data")" ext4 || give_up "the pool is active"
writer_start
sample_config
sed -i -e 's/ containers: .*/ containers: [web]/' -e 's/exclude_patterns: .*/exclude_patterns: ["data\/**", "image\/**", "bin\/**"]/' \
	$work/thinark.yaml

old_option='' # of killpoint: an old kernel
# shoot WHO N: a run that is killed before call N; false when there is no such call
shoot() {
	rm -rf $backup/*
	# shellcheck disable=SC2086 # words
	timeout -k 5 120 "$killpoint" $old_option -w "$1" -n "$2" -o $work/points -- "$THINARK" -c $work/thinark.yaml run \
		>$work/stdout 2>$work/stderr
	read_last $work/points
	[ "$last" = killed ]
}

# sweep NAME WHO [FIRST]: a run whose child dies has to undo everything itself
sweep() {
	first=$tried
	n=${3:-1}
	while shoot "$2" $n; do
		alone=''
		[ "$2" != child ] || alone=alone
		survives "$1: killed before $(point $work/points)" $alone
		[ $((n % 10)) -ne 0 ] || { ids_same "$1: up to $n"; echo "$1 $n $(($(date +%s) - began)) s $survived/$tried"; }
		n=$((n + 1))
	done
	ids_same "$1"
	echo "$1: $((tried - first)) crash points, $(($(date +%s) - began)) s"
}

# sweep_recover WHO N: recover is killed at each of its calls, after a run that left something
sweep_recover() {
	first=$tried
	n=1
	while :; do
		shoot "$1" "$2" || give_up "a run that leaves something"
		timeout -k 5 60 "$killpoint" -n $n -o $work/recover.points -- "$THINARK" recover >$work/recover.out 2>&1
		read_last $work/recover.points
		[ "$last" = killed ] || break
		survives "recover after a kill before $(point $work/points), killed before $(point $work/recover.points)"
		n=$((n + 1))
	done
	ids_same "recover"
	echo "recover: $((tried - first)) crash points, $(($(date +%s) - began)) s"
}

# find_point FIRST-PATTERN: the number of the first such call in a run that is not killed
find_point() {
	shoot main 0
	awk -v p="$1" '$0 ~ p { print $1; exit }' $work/points
}

# sweep_range NAME FIRST LAST
sweep_range() {
	first=$tried
	n=$2
	while [ $n -le "$3" ] && shoot main $n; do
		survives "$1: killed before $(point $work/points)"
		n=$((n + 1))
	done
	echo "$1: $((tried - first)) crash points, $(($(date +%s) - began)) s"
}

# The engine stops: the pool has to be assembled.
engine_stops() {
	kill $writer
	wait $writer
	writer=''
	umount "$live" && dmsetup remove --retry "$layer" && dmsetup remove --retry "$pool" && losetup -d "$meta" "$data"
}

thinark_exits "a run without a kill" 0 run
footprint >$work/before
ids "$meta" >$work/ids
check "its archive is good" archives_good
began=$(date +%s)
sweep "run" main "${FROM:-1}"
sweep "forked" child
sweep "all" both
# The moments of the most leftovers: id and both files of the archive; id and a suspended origin.
[ -z "${FULL:-}" ] || sweep_recover main "$(find_point renameat2)"
sweep_recover both "$(shoot child 0; awk '/TARGET_MSG/ { print $1 + 1; exit }' $work/points)"
check "the container never missed a line" no_gap

engine_stops || give_up "the engine stops"
footprint >$work/before
for old_kernel in ${FULL:+new} -x; do
	[ $old_kernel = new ] && old_option='' || old_option=-x
	loop=$(find_point 'ioctl 0x4c')
	old=$(grep -c 'ioctl 0x4c00' $work/points)
	end=$(wc -l <$work/points)
	sweep_range "assembly $old_option" $((loop - 1)) $((loop + 14))
	[ -z "${FULL:-}" ] || sweep_range "end of assembly" $((end - 10)) "$end"
done
is "assembly: the old way was gone, too" "$old" 2
meta=$(attach $docker_root/devicemapper/devicemapper/metadata)
data=$(attach $docker_root/devicemapper/devicemapper/data)
pool_start "$meta" "$data" "$(blockdev --getsz "$data")" ext4 || give_up "the pool is active again"
ids_same "assembly"
echo "crash points survived/tried: $survived/$tried"
at_least "crash points" $tried 60
is "all of them survived" $survived $tried
finish
