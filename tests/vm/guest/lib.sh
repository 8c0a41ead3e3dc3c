# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# What the cases share. Sourced by them, in the guest.

here=$THINARK_SRC/tests/vm/guest
passed=0 failed=0 number=0
docker_root=/var/lib/docker
work=/srv/work
mkdir -p $work
# The host's state shows through the root folder, but is none of the guest's affair.
rm -rf /var/lib/thinark

# -- results ---------------------------------------------------------------------------------------------

ok() {
	number=$((number + 1)) passed=$((passed + 1))
	echo "ok $number - $1"
}

not_ok() {
	number=$((number + 1)) failed=$((failed + 1))
	echo "not ok $number - $1: ${2:-failed}"
}

# check NAME COMMAND...: the command has to succeed
check() {
	what=$1
	shift
	if "$@" >$work/check.out 2>&1; then
		ok "$what"
	else
		not_ok "$what" "exit code $?: $*"
		head -n 20 $work/check.out | sed 's/^/    /'
	fi
}

# is NAME GOT WANTED
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', expected '$3'"; fi
}

# at_least NAME GOT FLOOR: a count that must not shrink unseen
at_least() {
	if [ "${2:-0}" -ge "$3" ]; then ok "$1 ($2, floor $3)"; else not_ok "$1" "only $2, floor $3"; fi
}

same() {
	if diff -u "$2" "$3" >$work/diff 2>&1; then
		ok "$1"
	else
		not_ok "$1" "$(grep -c '^[-+][^-+]' $work/diff) lines differ"
		head -n "${4:-24}" $work/diff | sed 's/^/    /'
	fi
}

finish() {
	echo "$passed passed, $failed failed"
	[ $failed -eq 0 ] && [ $passed -gt 0 ]
	exit
}

give_up() {
	not_ok "$1" "${2:-cannot go on}"
	finish
}

# wait_for SECONDS COMMAND...
wait_for() {
	deadline=$(($(date +%s) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt $deadline ] || return 1
		sleep 0.2
	done
}

# -- disks and Docker ------------------------------------------------------------------------------------

mount_docker() {
	mkdir -p $docker_root
	mount -t ext4 "${1:-/dev/vdb}" $docker_root
}

# pool_up: the pool that an administrator made by hand, on the second disk
pool_up() {
	sectors=$(blockdev --getsz /dev/vdc)
	meta=131072 # 64 MiB
	dmsetup create ext-thinpool_tmeta --table "0 $meta linear /dev/vdc 0"
	dmsetup create ext-thinpool_tdata --table "0 $((sectors - meta)) linear /dev/vdc $meta"
	dmsetup create ext-thinpool --table "0 $((sectors - meta)) thin-pool \
/dev/mapper/ext-thinpool_tmeta /dev/mapper/ext-thinpool_tdata 128 32768 1 skip_block_zeroing"
}

# start_docker [OPTION...]: DOCKER_POOL=1 for the pool made by hand
start_docker() {
	if [ -n "${DOCKER_POOL:-}" ]; then
		set -- --storage-opt dm.thinpooldev=/dev/mapper/ext-thinpool "$@"
	else
		set -- --storage-opt dm.loopdatasize=4G --storage-opt dm.loopmetadatasize=64M "$@"
	fi
	rm -f /var/run/docker.pid
	dockerd --storage-driver=devicemapper --storage-opt dm.basesize=1G \
		--storage-opt dm.override_udev_sync_check=true --iptables=false --bridge=none "$@" \
		>>$work/dockerd.log 2>&1 8>&- &
	dockerd=$!
	wait_for 90 docker info && return 0
	tail -n 20 $work/dockerd.log
	return 1
}

stop_docker() {
	kill "$dockerd"
	n=0
	while kill -0 "$dockerd" 2>/dev/null; do
		n=$((n + 1))
		[ $n -lt 300 ] || { kill -9 "$dockerd"; return 1; }
		sleep 0.2
	done
	wait "$dockerd"
	return 0
}

container_running() { [ "$(docker inspect -f '{{.State.Running}}' "$1")" = true ]; }

# layer_of CONTAINER: the name that Docker gave the layer's device
layer_of() { docker inspect -f '{{.GraphDriver.Data.DeviceName}}' "$1"; }

# -- an independent look at a container --------------------------------------------------------------------

# reference_up LAYER-RECORD POOL ORIGIN-DEVICE MOUNTPOINT: our own snapshot with dmsetup, mounted read-only. The
# origin's device may be absent.
reference_id=9000000
reference_up() {
	record=$1 pool=$2 origin=$3
	id=$(jq -r .device_id "$record")
	size=$(jq -r .size "$record")
	reference_id=$((reference_id + 1))
	if dmsetup info "$origin" >/dev/null 2>&1; then
		dmsetup suspend "$origin"
		dmsetup message "$pool" 0 "create_snap $reference_id $id"
		dmsetup resume "$origin"
	else
		dmsetup message "$pool" 0 "create_snap $reference_id $id"
	fi || return 1
	node=$(dmsetup info -c --noheadings --separator : -o major,minor "$pool")
	dmsetup create reference --table "0 $((size / 512)) thin $node $reference_id" || return 1
	mkdir -p "$4"
	case $(blkid -p -o value -s TYPE /dev/mapper/reference) in
	xfs) mount -t xfs -o ro,nouuid /dev/mapper/reference "$4" ;;
	*) mount -t ext4 -o ro /dev/mapper/reference "$4" ;;
	esac
}

# reference_down POOL MOUNTPOINT
reference_down() {
	umount "$2" && dmsetup remove --retry reference && dmsetup message "$1" 0 "delete $reference_id"
}

docker_pool() { dmsetup ls --target thin-pool | awk '{print $1; exit}'; }

# reference_of CONTAINER MOUNTPOINT: the container's tree as it is now
reference_of() {
	layer=$(layer_of "$1")
	reference_up "$docker_root/devicemapper/metadata/${layer##*-}" "$(docker_pool)" "$layer" "$2"
}

# -- trees in words ----------------------------------------------------------------------------------------

# One line a name, whatever bytes it has.
lines() { sed -z 's/\\/\\\\/g; s/\n/\\n/g' | tr '\0' '\n'; }

# The paths of the tree in the current folder. Sockets are no part of an archive, the excluded are none either.
tree_names() {
	find . ! -type s ! -path './tmp/*' ! -path './var/cache/*' ! -path './volatile/*' -print0 | sort -z
}

# tree DIR PREFIX [seconds]: describes DIR in PREFIX.{meta,links,data,hard,xattr}
tree() {
	(
		cd "$1" || exit 1
		stamp=%.9Y
		[ "${3:-}" = seconds ] && stamp=%Y
		tree_names >"$2.names"
		# A folder's size is its file system's affair.
		xargs -0 stat --printf="%f %u %g %s $stamp %t:%T %n\\0" <"$2.names" |
			sed -z 's/^\(4[0-9a-f]* [0-9]* [0-9]*\) [0-9]*/\1 -/' | lines >"$2.meta"
		find . -type l -printf '%p -> %l\0' | sort -z | lines >"$2.links"
		find . -type f ! -path './tmp/*' ! -path './var/cache/*' ! -path './volatile/*' -print0 | sort -z |
			xargs -0 sha256sum -z | lines >"$2.data"
		find . ! -type d ! -type s ! -path './tmp/*' ! -path './var/cache/*' ! -path './volatile/*' -links +1 \
			-printf '%i %p\0' | sort -z -k 2 | lines |
			awk '{ i = $1; sub(/^[0-9]+ /, ""); g[i] = g[i] " = " $0; if (!(i in n)) { n[i] = ++c; o[c] = i } }
				END { for (k = 1; k <= c; k++) print g[o[k]] }' >"$2.hard"
		xargs -0 getfattr -h -d -m - -e hex --absolute-names <"$2.names" >"$2.xattr" 2>/dev/null
		exit 0
	)
}

# tree_count PREFIX TYPE: how many of a type, by the first digits of its mode in hex
tree_count() { awk -v want="$2" 'substr($1, 1, length($1) - 3) == want { n++ } END { print n + 0 }' "$1.meta"; }

# compare_trees NAME GOT WANTED: the five descriptions, xattrs included
compare_trees() {
	# xfs shows each ACL a second time; an archive has it once.
	sed -i '/^trusted.SGI_ACL_/d' "$3.xattr"
	same "$1: names, modes, owners, sizes, mtimes" "$3.meta" "$2.meta"
	same "$1: symbolic links" "$3.links" "$2.links"
	same "$1: contents" "$3.data" "$2.data"
	same "$1: hard links" "$3.hard" "$2.hard"
	same "$1: xattrs, ACLs, capabilities" "$3.xattr" "$2.xattr"
}

# extract ARCHIVE DIR: with what any host has
extract() {
	rm -rf "$2"
	mkdir -p "$2" && zstd -q -dc "$1" |
		tar -C "$2" --numeric-owner --same-owner -p --xattrs --xattrs-include='*' --acls -xf -
}

# -- leaks -------------------------------------------------------------------------------------------------

# In a process of its own, whose variables are its own.
thin_ids() (
	for pool in $(dmsetup ls --target thin-pool | awk '/[0-9]/ {print $1}'); do
		node=$(dmsetup table "$pool" | awk '{print $4}')
		dmsetup message "$pool" 0 reserve_metadata_snap || { echo "$pool: a metadata snapshot is held"; continue; }
		thin_ls -m --no-headers -o DEV "/dev/$(basename "$(readlink "/sys/dev/block/$node")")" |
			awk -v pool="$pool" '{ print pool, $1 }'
		dmsetup message "$pool" 0 release_metadata_snap
	done
)

world() {
	echo "-- devices"
	dmsetup info -c --noheadings -o name,suspended 2>/dev/null | sort
	echo "-- mounts"
	awk '{print $1, $2, $3}' /proc/mounts | grep -v -e ' /run/docker' -e ' nsfs$' | sort
	echo "-- loop devices"
	losetup -a | sed 's/:.*(/ (/' | sort
	echo "-- thin devices"
	thin_ids
	echo "-- runtime files"
	find /run/thinark ! -type d ! -name '*lock*' 2>/dev/null | sort
	echo "-- processes"
	pgrep -a -x thinark
	echo "-- ledger"
	ledger
}

# What the ledger still names.
ledger() {
	find /var/lib/thinark -type f ! -empty -path '*ledger*' -exec cat {} + 2>/dev/null
}

leak_check_begin() {
	world >$work/world.before 2>&1
	dmesg | wc -l >$work/dmesg.before
}

# leak_check_end NAME [WAIT]: nothing new anywhere, and the kernel did not complain
leak_check_end() {
	# The kernel drops the last references a moment after the process that held them.
	n=0
	while world >$work/world.after 2>&1; ! cmp -s $work/world.before $work/world.after && [ $n -lt "${2:-5}" ]; do
		n=$((n + 1))
		sleep 1
	done
	same "$1: nothing left behind" $work/world.before $work/world.after
	dmesg | tail -n +$(($(cat $work/dmesg.before) + 1)) |
		grep -E 'BUG|WARNING:|Call Trace|I/O error|EXT4-fs error|XFS .*(error|shutdown)|[Cc]orrupt|hung task|blocked for more' \
			>$work/complaints
	is "$1: the kernel has no complaint" "$(cat $work/complaints)" ''
}

# -- thinark -----------------------------------------------------------------------------------------------

# sample_config [DESTINATION]
sample_config() {
	mkdir -p "${1:-/srv/backup}"
	cat >$work/thinark.yaml <<-YAML
		stores:
		  - name: docker
		    type: docker
		    root: $docker_root
		destinations:
		  - name: local
		    type: directory
		    path: ${1:-/srv/backup}
		jobs:
		  - name: nightly
		    stores: [docker]
		    containers: ["*"]
		    exclude_containers: ["*-tmp", "label:backup=off"]
		    destination: local
		    archive_name_format: "{container}/{time}"
		    compression: zstd,3
		    exclude_patterns: ["tmp/**", "var/cache/**"]
	YAML
	chmod 600 $work/thinark.yaml
}

# thinark ARGS...: sets code, leaves stdout and stderr in $work
thinark() {
	timeout -k 10 "${THINARK_LIMIT:-200}" "$THINARK" -c $work/thinark.yaml "$@" >$work/stdout 2>$work/stderr
	code=$?
	return $code
}

# thinark_exits NAME CODE ARGS...
thinark_exits() {
	what=$1 wanted=$2
	shift 2
	thinark "$@"
	is "$what: exit code" $code "$wanted"
	if [ $code -ne "$wanted" ]; then
		tail -n 20 $work/stdout $work/stderr | sed 's/^/    /'
	fi
}

# archive_of CONTAINER [DESTINATION]: its newest archive
archive_of() { find "${2:-/srv/backup}/$1" -name '*.tar.zst' 2>/dev/null | sort | tail -n 1; }

is_json_lines() { [ -s "$1" ] && jq -e -c . "$1" >/dev/null; }

# docker_works: the engine goes on as if nothing had been
docker_works() {
	check "docker: start" docker start job
	check "docker: create" docker create --name after-tmp busybox /bin/true
	check "docker: exec" docker exec web /bin/sh -c 'echo alive >/data/alive'
	check "docker: commit" docker commit web after-image
	check "docker: run from the new image" docker run --rm --network none after-image /bin/cat /data/alive
	check "docker: rm" docker rm after-tmp
	check "docker: rmi" docker rmi after-image
}
