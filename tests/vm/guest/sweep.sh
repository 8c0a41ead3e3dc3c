# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# A pool with a live container but without an engine: cheap enough to break it a hundred times. Sourced after lib.sh.

killpoint=$THINARK_BUILD/tests/vm/killpoint
backup=/srv/backup
tried=0 survived=0

# attach FILE: a loop device over it
attach() { losetup --show -f "$1"; }

# container_id NAME
container_id() {
	for record in $docker_root/containers/*/config.v2.json; do
		[ "$(jq -r .Name "$record")" != "/$1" ] || basename "$(dirname "$record")"
	done
}

# names_of NAME: sets prefix, pool, layer and layer_record as the engine would name them
names_of() {
	prefix=docker-$(stat -c '%Hd:%Ld-%i' $docker_root/devicemapper)
	pool=$prefix-pool
	hash=$(cat "$docker_root/image/devicemapper/layerdb/mounts/$(container_id "$1")/mount-id")
	layer=$prefix-$hash
	layer_record=$docker_root/devicemapper/metadata/$hash
	live=$docker_root/devicemapper/mnt/$hash
}

# pool_start METADATA DATA SECTORS FSTYPE: activates the pool and mounts the container's device as the engine does
pool_start() {
	dmsetup create "$pool" --table "0 $3 thin-pool $1 $2 128 32768 1 skip_block_zeroing" &&
		dmsetup create "$layer" --table \
			"0 $(($(jq -r .size "$layer_record") / 512)) thin /dev/mapper/$pool $(jq -r .device_id "$layer_record")" &&
		mkdir -p "$live" && mount -t "$4" /dev/mapper/"$layer" "$live"
}

# -- the container's life: a numbered line every few milliseconds, each on disk before the next -----------------

sequence() { echo "$live/rootfs/volatile/sequence"; }

# writer_start [FIRST]: tells in /run/written what is on disk
writer_start() {
	perl -MIO::Handle -e 'open(my $f, ">>", $ARGV[0]) or die; for (my $i = $ARGV[1]; ; $i++) {
		printf $f "%08d\n", $i or die; $f->flush or die; $f->sync or die;
		open(my $w, ">", "/run/written.new") or die; print $w "$i\n"; close($w); rename("/run/written.new", "/run/written");
		select(undef, undef, undef, 0.03) }' "$(sequence)" "${1:-1}" 2>/dev/null 8>&- &
	writer=$!
}

# writer_goes_on: it writes another line, now
writer_goes_on() {
	read -r before </run/written
	for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
		read -r now </run/written
		[ "$now" -eq "$before" ] || return 0
		sleep 0.1
	done
	return 1
}

no_gap() { awk '{ if ($1 + 0 != NR) { print "line " NR " is " $1; exit 1 } } END { exit NR == 0 }' "$(sequence)"; }

# -- what may be left; the shell's own commands where they do, since each process costs a tenth of a second ---------

# ids METADATA-NODE: of the pool, from its metadata
ids() {
	dmsetup message "$pool" 0 reserve_metadata_snap || return 1
	thin_ls -m --no-headers -o DEV "$1"
	dmsetup message "$pool" 0 release_metadata_snap
}

# names PATTERN...: of what exists
names() {
	for name; do
		case $name in */. | */.. | *.lock | /run/thinark/mnt) continue ;; esac
		[ ! -e "$name" ] || echo "$name"
	done
}

# footprint: all that a run may leave on the host but thin ids
footprint() {
	dmsetup info -c --noheadings -o name,suspended --sort name
	while read -r what where kind rest; do echo "$what $where $kind"; done </proc/mounts
	for file in /sys/block/loop*/loop/backing_file; do
		[ -e "$file" ] && read -r name <"$file" && echo "$file $name"
	done
	names /var/lib/thinark/ledger/* /var/lib/thinark/ledger/.* /run/thinark/* /run/thinark/.* $backup/.* $backup/*/.*
}

# archives_good: each archive has its manifest, each manifest its archive, and they agree
archives_good() {
	for file in $backup/*/*.tar.zst; do
		[ -e "$file" ] || continue
		[ -s "${file%.tar.zst}.json" ] || { echo "$file has no manifest"; return 1; }
		sum=$(sha256sum "$file")
		grep -q "${sum%% *}" "${file%.tar.zst}.json" || { echo "$file is not what its manifest says"; return 1; }
	done
	for file in $backup/*/*.json; do
		[ -e "$file" ] || continue
		[ -s "${file%.json}.tar.zst" ] || { echo "$file has no archive"; return 1; }
	done
}

# recover: as the service's ExecStopPost does; waits for a child that outlived its parent
recover() {
	waits=0
	while :; do
		timeout -k 5 60 "$THINARK" recover >$work/recover.out 2>&1
		code=$?
		[ $code -eq 11 ] && [ $waits -lt 50 ] || return $code
		waits=$((waits + 1))
		sleep 0.1
	done
}

# point REPORT: the call before which it was killed
point() { tail -n 2 "$1" | head -n 1; }

# survives NAME [alone]: after recover, or alone without, nothing is left and the container lives on
survives() {
	tried=$((tried + 1))
	problem=''
	[ "${2:-}" = alone ] || recover || problem="recover: exit code $code; $(tail -n 2 $work/recover.out)"
	footprint >$work/after 2>&1
	cmp -s $work/before $work/after || problem="$problem; left: $(diff $work/before $work/after | grep '^[<>]' | head -n 5)"
	why=$(archives_good) || problem="$problem; $why"
	[ -z "$writer" ] || writer_goes_on || problem="$problem; the container stands still"
	if [ -z "$problem" ]; then
		survived=$((survived + 1))
		return 0
	fi
	not_ok "$1" "$problem"
	cp $work/after $work/before # or it would be found again and again
	return 1
}

# ids_same NAME: nobody left a thin device in the pool
ids_same() {
	ids "$meta" >$work/ids.after
	cmp -s $work/ids $work/ids.after && return
	not_ok "$1: thin ids" "$(diff $work/ids $work/ids.after | grep '^[<>]')"
	cp $work/ids.after $work/ids
}

# read_last FILE: sets last
read_last() {
	while read -r line; do last=$line; done <"$1"
}
