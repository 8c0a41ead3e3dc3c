#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: thinpool
# limit: 1500
#
# A pool in every kind of danger: thinark refuses it, or gives its snapshot up, and never makes it worse.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

cases=0 longest=0
mount_docker
sample_config

# The metadata on a device of 4 MiB, so that it can be filled: the same content, written by thin_restore.
sectors=$(blockdev --getsz /dev/vdc)
old_meta=131072 # 64 MiB, as the disk was made
dmsetup create old_meta --table "0 $old_meta linear /dev/vdc 0"
truncate -s 4M $work/meta.img
meta_loop=$(losetup -f --show $work/meta.img)
thin_dump /dev/mapper/old_meta >$work/meta.xml || give_up "thin_dump"
thin_restore -q -i $work/meta.xml -o "$meta_loop" || give_up "thin_restore"
dmsetup remove old_meta
meta_table="0 8192 linear $meta_loop 0"
data_table="0 $((sectors - old_meta)) linear /dev/vdc $old_meta"
dmsetup create ext-thinpool_tmeta --table "$meta_table"
dmsetup create ext-thinpool_tdata --table "$data_table"
dmsetup create ext-thinpool --table "0 $((sectors - old_meta)) thin-pool /dev/mapper/ext-thinpool_tmeta \
/dev/mapper/ext-thinpool_tdata 128 0 1 skip_block_zeroing" || give_up "pool"
pool=ext-thinpool
pool_node=$(dmsetup info -c --noheadings --separator : -o major,minor $pool)
DOCKER_POOL=1
modprobe -d "$THINARK_BUILD/vm/kernel" -a dm-delay dm-flakey || give_up "modules"
start_docker || give_up "dockerd starts"
wait_for 20 container_running web || give_up "web runs"

# swap DEVICE TABLE: another table below the pool, at once
swap() {
	dmsetup suspend --noflush --nolockfs "$1" && dmsetup load "$1" --table "$2" && dmsetup resume "$1"
}
# field N: of the pool's status
field() { dmsetup status --noflush $pool | awk -v n="$1" '{ print $(n + 3) }'; }
mode() { field 5; }
free_data() { field 3 | awk -F/ '{ print $2 - $1 }'; }
total_data() { field 3 | awk -F/ '{ print $2 }'; }
free_meta() { field 2 | awk -F/ '{ print $2 - $1 }'; }

# filler COUNT: maps the next COUNT blocks of a thin device of its own, one page of each
filler_next=0
filler_up() {
	dmsetup message $pool 0 "create_thin 5000000"
	dmsetup create filler --table "0 $((2 * sectors)) thin $pool_node 5000000"
	filler_next=0
}
filler() {
	perl -e '
		open(F, "+<", "/dev/mapper/filler") or die;
		for (my $i = 0; $i < $ARGV[0]; $i++) {
			sysseek(F, ($ARGV[1] + $i) * 65536, 0); syswrite(F, "x" x 4096) or die "$!";
		}' "$1" $filler_next
	filler_next=$((filler_next + $1))
	sync /dev/mapper/filler
}
filler_down() {
	dmsetup remove --retry filler
	dmsetup message $pool 0 "delete 5000000"
}
# What is ours is gone; the rest of the world is the case's own doing.
ours_gone() {
	is "$1: no device of ours" "$(dmsetup ls | grep -c '^thinark-')" 0
	is "$1: no thin device of ours" "$(thin_ids | awk '$2 > 8388608' | wc -l)" 0
	is "$1: the ledger is empty" "$(ledger)" ''
}

# begin/end NAME: one case of torture, with its leak check and the longest window seen
begin() { cases=$((cases + 1)); leak_check_begin; }
end() {
	leak_check_end "$1" 15
	window=$(jq -r 'select(.type == "item") | .window_ms' $work/stdout 2>/dev/null | sort -n | tail -n 1)
	longest=$(echo "${window:-0} $longest" | awk '{ print ($1 > $2) ? $1 : $2 }')
	is "$1: nothing is suspended" "$(dmsetup info -c --noheadings -o name,suspended | grep -c Suspended)" 0
}
slow_config() { # an archive that takes its time
	sample_config
	sed -i 's/zstd,3/zstd,19/; s/^    containers: .*/    containers: [web]/' $work/thinark.yaml
}
start_run() {
	rm -rf /srv/backup && mkdir -p /srv/backup
	"$THINARK" -c $work/thinark.yaml --json run >$work/stdout 2>$work/stderr 8>&- &
	victim=$!
	wait_for 120 sh -c 'find /srv/backup -type f -size +0 | grep -q .' || not_ok "the run writes something"
}
end_run() {
	wait $victim
	code=$?
}

# -- nothing wrong ---------------------------------------------------------------------------------------
begin
thinark_exits "a healthy pool" 0 --json run
end "a healthy pool"

# -- data nearly full before ------------------------------------------------------------------------------
filler_up
filler $(($(free_data) - $(total_data) * 8 / 100))
begin
thinark_exits "8 % of data free" 20 --json run
end "8 % of data free"
check "8 % of data free: the message names the setting" grep -q pool_min_free_data $work/stderr
sed -i '1i pool_min_free_data: 5%' $work/thinark.yaml
begin
thinark_exits "8 % of data free are enough by setting" 0 --json run
end "8 % of data free are enough by setting"
filler_down

# -- data fill up while a snapshot lives --------------------------------------------------------------------
slow_config
filler_up
filler $(($(free_data) - $(total_data) * 15 / 100))
begin
start_run
filler $(($(free_data) - $(total_data) * 3 / 100))
end_run
is "data fill up: exit code" $code 3
check "data fill up: the message says so" grep -q 'given up' $work/stderr
is "data fill up: the pool is as it was" "$(mode)" rw
is "data fill up: no archive" "$(find /srv/backup -type f | wc -l)" 0
end "data fill up"

# -- data full, writers wait ---------------------------------------------------------------------------------
cases=$((cases + 1))
(filler $(($(free_data) + 100))) >/dev/null 2>&1 &
blocked=$!
wait_for 60 sh -c "dmsetup status --noflush $pool | grep -q out_of_data_space" || not_ok "the pool is full"
thinark_exits "a full pool" 20 --json run
check "a full pool: the message says so" grep -q 'out of data space' $work/stderr
ours_gone "a full pool"
# Deleting what fills it lets everybody go on; its writers are stuck until then.
kill -9 $blocked $(pgrep -P $blocked) 2>/dev/null
dmsetup suspend --noflush --nolockfs filler && dmsetup load filler --table "0 $((2 * sectors)) error" &&
	dmsetup resume filler
wait_for 60 dmsetup remove filler || not_ok "the filler goes away"
dmsetup message $pool 0 "delete 5000000"
wait_for 30 sh -c "dmsetup status --noflush $pool | grep -q ' rw '" || not_ok "the pool recovers"
check "web is alive after the full pool" timeout 60 docker exec web sh -c 'echo x >/data/after && sync'

# -- metadata fill up ----------------------------------------------------------------------------------------
# Each snapshot that is written to takes some blocks of its own.
sample_config
sed -i '1i pool_min_free_metadata: 60%' $work/thinark.yaml
total_meta=$(field 2 | awk -F/ '{ print $2 }')
dmsetup message $pool 0 "create_thin 6000000"
write_to() { # ID BLOCK...: maps blocks of a device
	dmsetup create metafill --table "0 33554432 thin $pool_node $1" || return 1
	perl -e 'open(F, "+<", "/dev/mapper/metafill") or die;
		for (@ARGV) { sysseek(F, $_ * 65536, 0) and syswrite(F, "x" x 4096) or die }' $2
	sync /dev/mapper/metafill
	dmsetup remove --retry metafill
}
write_to 6000000 "$(seq -s ' ' 0 61 250000)" || not_ok "a device with many mappings"
n=0
while [ "$(free_meta)" -gt $((total_meta * 55 / 100)) ] && [ $n -lt 400 ]; do
	n=$((n + 1))
	dmsetup message $pool 0 "create_snap $((6000000 + n)) 6000000" || break
	write_to $((6000000 + n)) "7 100007 200007" || break
done
at_least "metadata: snapshots" $n 20
begin
thinark_exits "metadata 55 % free" 20 --json run
end "metadata 55 % free"
check "metadata 55 % free: the message names the setting" grep -q pool_min_free_metadata $work/stderr
id=$n
while [ $id -ge 0 ]; do
	dmsetup message $pool 0 "delete $((6000000 + id))"
	id=$((id - 1))
done

# -- devices fail below the pool ------------------------------------------------------------------------------
slow_config
begin
start_run
swap ext-thinpool_tdata "0 $((sectors - old_meta)) delay /dev/vdc $old_meta 3 /dev/vdc $old_meta 0"
end_run
swap ext-thinpool_tdata "$data_table"
is "slow reads: exit code" $code 0
end "slow reads"

sample_config
sed -i 's/^    containers: .*/    containers: [web]/' $work/thinark.yaml
begin
swap ext-thinpool_tdata "0 $((sectors - old_meta)) delay /dev/vdc $old_meta 0 /dev/vdc $old_meta 5000"
docker exec -d web sh -c 'dd if=/dev/urandom of=/data/dirty bs=1M count=4; sync'
sleep 1
thinark_exits "writes take 5 s" 3 --json run
swap ext-thinpool_tdata "$data_table"
held=$(jq -r 'select(.type == "item") | .window_ms' $work/stdout)
echo "# writes take 5 s: $held ms, which the kernel does not interrupt"
echo '{}' >$work/stdout
check "writes take 5 s: the container was let go" grep -q 'it was resumed' $work/stderr
end "writes take 5 s"

# -- the container goes away under the run --------------------------------------------------------------------
slow_config
docker run -d --name victim --network none busybox sh -c 'dd if=/dev/urandom of=/big bs=1M count=30; sleep 100000' >/dev/null
wait_for 60 sh -c 'docker exec victim test -s /big && [ "$(docker exec victim stat -c %s /big)" = 31457280 ]' ||
	not_ok "victim has written"
sed -i 's/^    containers: .*/    containers: [victim]/' $work/thinark.yaml
start_run
check "docker commit of the container under backup" docker commit victim victim-image
check "docker rm -f of the container under backup" docker rm -f victim
end_run
is "removed under the run: exit code" $code 0
at_least "removed under the run: its file is in the archive" \
	"$(zstd -q -dc "$(archive_of victim)" | tar -tvf - big | awk '{ print $3 }')" 31457280
cases=$((cases + 1))
docker rmi victim-image >/dev/null
is "removed under the run: no thin device of ours" "$(thin_ids | awk '$2 > 8388608' | wc -l)" 0

# -- our device is busy at teardown ---------------------------------------------------------------------------
slow_config
begin
start_run
ours=$(dmsetup ls | awk '/^thinark-/ { print $1; exit }')
sleep 1000 <"/dev/$(dmsetup info -c --noheadings -o blkdevname "$ours")" &
holder=$!
end_run
is "our device is held open: exit code" $code 21
check "our device is held open: the ledger names it" grep -q "$ours" /var/lib/thinark/ledger/*
kill $holder
wait $holder 2>/dev/null
thinark_exits "our device is free again: recover" 0 recover
end "our device is held open"

# -- the pool fails ------------------------------------------------------------------------------------------
sample_config
begin
swap ext-thinpool_tmeta "0 8192 flakey $meta_loop 0 0 3600 1 error_writes"
# Whether the pool fails before the snapshot or at it is chance; then it cannot even be deleted, and the
# ledger says so.
refused_or_named() {
	case $code in
	20) ok "$1: refused" ;;
	21) check "$1: what is left is in the ledger" test -n "$(ledger)" ;;
	*) not_ok "$1: exit code" "got '$code', expected 20 or 21" ;;
	esac
}
thinark --json run
refused_or_named "metadata cannot be written"
check "metadata cannot be written: the message says so" grep -q -e read-only -e needs_check $work/stderr
is "metadata cannot be written: nothing is suspended" \
	"$(dmsetup info -c --noheadings -o name,suspended | grep -c Suspended)" 0
thinark --json run
refused_or_named "a pool that needs a check"
check "a pool that needs a check: the message says so" grep -q -e needs_check -e read-only $work/stderr
stop_docker || true
for device in $(dmsetup ls --target thin | awk '{ print $1 }'); do
	for mount in $(awk -v d="/dev/mapper/$device" '$1 == d { print $2 }' /proc/mounts); do umount -l "$mount"; done
	dmsetup remove --retry "$device"
done
dmsetup remove --retry $pool || not_ok "the pool goes down"
swap ext-thinpool_tmeta "$meta_table"
thin_check --clear-needs-check-flag -q /dev/mapper/ext-thinpool_tmeta && ok "thin_check content" ||
	not_ok "thin_check content"
dmsetup create $pool --table "0 $((sectors - old_meta)) thin-pool /dev/mapper/ext-thinpool_tmeta \
/dev/mapper/ext-thinpool_tdata 128 0 1 skip_block_zeroing"
thinark recover
is "after the check: recover" $code 0
is "after the check: no thin device of ours" "$(thin_ids | awk '$2 > 8388608' | wc -l)" 0
is "after the check: the ledger is empty" "$(ledger)" ''
# Only the daemon's command line named the pool, and there is no daemon now.
thinark_exits "after the check, without dockerd" 3 run
check "after the check: the message names the key" grep -q "key 'pool'" $work/stderr
sed -i 's|^    root: .*|&\n    pool: ext-thinpool|' $work/thinark.yaml
thinark_exits "after the check, with the store's key 'pool'" 0 --json run

at_least "pool cases" $cases 10
echo "# pool cases: $cases; longest window: $longest ms"
finish
