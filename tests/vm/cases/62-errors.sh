#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: ext4
# limit: 700
#
# Calls of a run fail, one in each round: on a real pool, with a container that writes. The run ends with a
# code that means what happened and a message; nothing is left, or the ledger names it and `recover` removes it. FAILS is
# the number of rounds, SEED chooses the calls.
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
rounds=${FAILS:-30} seed=${SEED:-$(date +%s)}
echo "seed $seed"

# fail WHO N ERRNO: a run whose call N fails; false when there is no such call
fail() {
	rm -rf $backup/*
	# The children's calls are counted where they matter only, or udev's and the loader's would be in front.
	every=-a
	[ "$1" = main ] || every=''
	timeout -k 5 120 "$killpoint" $every -w "$1" -n "$2" -e "$3" -o $work/points -- "$THINARK" -c $work/thinark.yaml run \
		>$work/stdout 2>$work/stderr
	code=$?
	read_last $work/points
	[ "$last" = failed ]
}

# honest NAME: the exit code, the message, what is left
honest() {
	tried=$((tried + 1))
	problem=''
	count=$(find $backup -name '*.json' | wc -l)
	case $code in
	0) [ "$count" = 1 ] || problem="success with $count archives" ;;
	1 | 3 | 20 | 21) grep -q -e 'error: ' -e 'warning: ' $work/stderr || problem="exit code $code without a message" ;;
	*) problem="exit code $code" ;;
	esac
	footprint >$work/after 2>&1
	if ! cmp -s $work/before $work/after && [ "$code" != 21 ]; then
		problem="$problem; exit code $code, and left: $(diff $work/before $work/after | grep '^[<>]' | head -n 5)"
	fi
	codes="$codes $code"
	[ -z "$problem" ] || { not_ok "$1" "$problem"; tail -n 3 $work/stderr | sed 's/^/    /'; return 1; }
	# And once more, for what the ledger names.
	tried=$((tried - 1))
	survives "$1"
}

thinark_exits "a run without an error" 0 run
footprint >$work/before
ids "$meta" >$work/ids
fail main 0 5
first=$(awk '/ioctl DM_/ { print $1; exit }' $work/points)
end=$(wc -l <$work/points)
at_least "calls of a run" $((end - first)) 200
codes=''
began=$(date +%s)
round=0
while [ $round -lt "$rounds" ]; do
	# EIO, ENOSPC, ENOMEM, EINTR, EBUSY
	for errno in 5 28 12 4 16; do
		round=$((round + 1))
		n=$(awk -v seed=$((seed + round)) -v a="$first" -v b="$end" 'BEGIN { srand(seed); print a + int(rand() * (b - a)) }')
		fail main "$n" $errno || continue
		honest "errno $errno from $(point $work/points)"
	done
	[ $((round % 50)) -ne 0 ] || { ids_same "up to $round"; echo "$round $(($(date +%s) - began)) s $survived/$tried"; }
done
for errno in 5 12; do
	n=1
	while fail child $n $errno; do
		honest "errno $errno from the helper's $(point $work/points)"
		n=$((n + 1))
	done
done
ids_same "errors"
check "the container never missed a line" no_gap
echo "exit codes:$(for c in $codes; do echo "$c"; done | sort -n | uniq -c | awk '{ printf " %s: %s", $2, $1 }')"
echo "errors injected survived/tried: $survived/$tried"
at_least "errors injected" $tried $((rounds * 8 / 10))
is "all of them honest" $survived $tried
finish
