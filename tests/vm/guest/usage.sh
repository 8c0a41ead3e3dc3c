# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# What ps --usage says of containers, beside thin_ls. Sourced after lib.sh and sweep.sh.

# thin_usage ARGS...: id, mapped, exclusive and shared bytes of each thin device, as thin_ls counts them
thin_usage() {
	thin_ls --no-headers -o DEV,MAPPED_BYTES,EXCLUSIVE_BYTES,SHARED_BYTES "$@" | awk '{ print $1, $2, $3, $4 }' | sort
}

# live_usage POOL: the same by a metadata snapshot
live_usage() {
	node=$(dmsetup table "$1" | awk '{print $4}')
	dmsetup message "$1" 0 reserve_metadata_snap || return 1
	thin_usage -m "/dev/$(basename "$(readlink "/sys/dev/block/$node")")"
	dmsetup message "$1" 0 release_metadata_snap
}

# ps_usage: the same of the containers, from $work/stdout
ps_usage() {
	jq -r 'select(.type == "container") | "\(.thin_id) \(.mapped_bytes) \(.exclusive_bytes) \(.shared_bytes)"' \
		$work/stdout | sort
}

held() { dmsetup status "$1" --noflush | awk '{ print $7 }'; }

# same_usage NAME WANTED: that of each container is a line of WANTED
same_usage() {
	ps_usage >$work/usage
	grep -x -F -f $work/usage "$2" >$work/usage.both
	same "$1: as thin_ls counts" $work/usage.both $work/usage
	at_least "$1: containers" "$(wc -l <$work/usage)" 3
	at_least "$1: with blocks of their own, and others" "$(awk '$3 > 0 && $4 > 0' $work/usage | wc -l)" 3
}

# usage_checks POOL: nobody writes to its containers meanwhile
usage_checks() {
	pool=$1
	live_usage "$pool" >$work/usage.want
	thinark_exits "ps --usage" 0 --json ps --usage
	same_usage "idle pool" $work/usage.want
	thinark_exits "ps --usage, for people" 0 ps --usage
	check "ps --usage has the columns" grep -q 'MAPPED  EXCLUSIVE     SHARED$' $work/stdout
	thinark_exits "ps" 0 --json ps
	is "ps: what is mapped, in use or not" \
		"$(jq -r 'select(.type == "container") | "\(.thin_id) \(.mapped_bytes) \(.exclusive_bytes)"' $work/stdout | sort)" \
		"$(awk '{ print $1, $2, "null" }' $work/usage)"

	"$here/commits" "$pool" >$work/commits.out 2>&1 8>&- &
	commits=$!
	thinark ps --usage # makes folders and lock, so that all others make the same calls
	timeout 60 "$killpoint" -n 0 -o $work/points -- "$THINARK" -c $work/thinark.yaml --json ps --usage \
		>$work/stdout 2>$work/stderr
	is "a pool that commits all the time: ps --usage: exit code" $? 0
	same_usage "a pool that commits all the time" $work/usage.want
	at_least "it takes a metadata snapshot" "$(grep -c TARGET_MSG $work/points)" 2
	is "and releases it" "$(held "$pool")" -

	began=$(date +%s)
	# From the call that makes it to the one behind that which releases it.
	n=$(awk '/TARGET_MSG/ { print $1 - 1; exit }' $work/points)
	end=$(awk '/TARGET_MSG/ { n = $1 } END { print n + 1 }' $work/points) kills=0 left=0 bad=0
	while [ "$n" -lt "$end" ]; do
		n=$((n + 1))
		timeout 60 "$killpoint" -n $n -o $work/points -- "$THINARK" -c $work/thinark.yaml ps --usage >/dev/null 2>&1
		last=$(tail -n 1 $work/points)
		[ "$last" != killed ] || kills=$((kills + 1))
		if [ "$(held "$pool")" != - ]; then
			left=$((left + 1))
			[ -n "$(ledger)" ] || bad=$((bad + 1))
		fi
		thinark recover || bad=$((bad + 1))
		[ "$(held "$pool")" = - ] && [ -z "$(ledger)" ] || bad=$((bad + 1))
	done
	echo "calls up to $end, $(($(date +%s) - began)) s"
	at_least "ps --usage: kills" $kills 7
	at_least "ps --usage: kills that left a metadata snapshot" $left 5
	is "ps --usage: kills after which recover did not release it" $bad 0

	dmsetup message "$pool" 0 reserve_metadata_snap
	root=$(held "$pool")
	thinark_exits "somebody else's metadata snapshot: ps --usage" 3 --json ps --usage
	is "somebody else's: nothing is made up" "$(ps_usage | awk '{ print $2, $3, $4 }' | sort -u)" 'null null null'
	check "somebody else's: says so" grep -q "somebody else holds its metadata snapshot" $work/stderr
	thinark_exits "somebody else's: recover" 0 recover
	is "somebody else's stays" "$(held "$pool")" "$root"
	dmsetup message "$pool" 0 release_metadata_snap
	kill $commits
	wait $commits 2>/dev/null
	dmsetup message "$pool" 0 'delete 9000500' 2>/dev/null
	is "the pool's thin devices are as they were" "$(live_usage "$pool")" "$(cat $work/usage.want)"
}
