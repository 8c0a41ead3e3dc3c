#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# limit: 900
#
# Thin devices named by hand: one that is mounted and written to, one that nothing but the pool knows.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

# make_thin ID MIB: makes it, and its device thinID
make_thin() {
	dmsetup message tank-pool 0 "create_thin $1"
	dmsetup create "thin$1" --table "0 $(($2 * 2048)) thin $pool_node $1"
}
# reference ID: a snapshot of our own, mounted at /mnt/reference; the device of ID is suspended for it
reference() {
	if dmsetup info "thin$1" >/dev/null 2>&1; then dmsetup suspend "thin$1"; fi
	dmsetup message tank-pool 0 "create_snap 9000001 $1"
	if dmsetup info "thin$1" >/dev/null 2>&1; then dmsetup resume "thin$1"; fi
	dmsetup create reference --table "0 $(($2 * 2048)) thin $pool_node 9000001"
	mkdir -p /mnt/reference
	mount -o "ro$3" /dev/mapper/reference /mnt/reference
}
reference_gone() {
	umount /mnt/reference && dmsetup remove --retry reference && dmsetup message tank-pool 0 'delete 9000001'
}
compare() {
	extract "$(archive_of "$1")" "/srv/tree/$1" || not_ok "$1: tar extracts it"
	tree "/srv/tree/$1" "$work/$1.got"
	tree "/mnt/reference/$2" "$work/$1.want"
	compare_trees "$1" "$work/$1.got" "$work/$1.want"
	at_least "$1: regular files" "$(tree_count "$work/$1.got" 8)" 320
}

truncate -s 8M /srv/meta && truncate -s 2G /srv/data
meta=$(losetup -f --show /srv/meta) && data=$(losetup -f --show /srv/data) || give_up "loop devices"
dmsetup create tank-pool --table "0 4194304 thin-pool $meta $data 128 1024" || give_up "the pool"
pool_node=$(dmsetup info -c --noheadings --separator : -o major,minor tank-pool)
make_thin 0 512 && make_thin 7 640 || give_up "thin devices"
mkfs.ext4 -q /dev/mapper/thin0 && mkfs.xfs -q /dev/mapper/thin7 && mkdir -p /mnt/live /mnt/dead || give_up "file systems"
mount /dev/mapper/thin0 /mnt/live && mount /dev/mapper/thin7 /mnt/dead || give_up "mounts"
$here/populate /mnt/live && mkdir /mnt/dead/rootfs && $here/populate /mnt/dead/rootfs || give_up "content"
echo outside >/mnt/dead/outside
umount /mnt/dead && dmsetup remove thin7 || give_up "thin 7 is put away"

mkdir -p /srv/backup
config() {
	cat >$work/thinark.yaml <<-YAML
		stores:
		  - name: hand
		    type: manual
		    volumes:
		      - {name: live, device: /dev/mapper/thin0}
		      - {name: same, pool: /dev/mapper/tank-pool, thin_id: 0}
		      - {name: dead, pool: tank-pool, thin_id: 7, subdir: rootfs$1}
		      - {name: none, pool: tank-pool, thin_id: 8, size: 1G}
		      - {name: gone, device: /dev/mapper/gone}
		destinations: [{name: local, type: directory, path: /srv/backup}]
		jobs:
		  - {name: all, stores: [hand], destination: local}
		  - {name: live, stores: [hand], containers: [live], destination: local}
		  - {name: dead, stores: [hand], containers: [dead], destination: local}
	YAML
	chmod 600 $work/thinark.yaml
}

config ''
thinark_exits "without a size: ps" 3 --json ps
check "without a size: says which key" grep -q "thin 7 of pool 'tank-pool' is not active.*key 'size'" $work/stdout
config ', size: 640M'
thinark_exits "ps" 3 --json ps
jq -r 'select(.type == "container") | [.name, .thin_id, .size_bytes, .problem != null] | @tsv' $work/stdout >$work/ps
printf '%s\t%s\t%s\t%s\n' live 0 536870912 false same 0 536870912 false dead 7 671088640 false \
	none 8 1073741824 false gone 0 0 true >$work/ps.want
same "ps: ids and sizes" $work/ps.want $work/ps
thinark_exits "check" 0 check
is "check: the pool once" "$(grep -c "pool 'tank-pool': usable" $work/stdout)" 1

# Somebody writes all the time.
(while :; do echo "$(date +%N)" >>/mnt/live/volatile/log; done) 2>/dev/null &
writer=$!
mkdir -p /mnt/live/volatile
leak_check_begin
thinark_exits "run" 3 run all
leak_check_end "run"
kill $writer
check "an id that is not there is named" grep -q 'none: snapshot: .*thin 8' $work/stderr
check "a path that is not there is named" grep -q 'gone: /dev/mapper/gone: No such file' $work/stderr
is "archives" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 3
freeze() { jq -r .snapshot.freeze "$(find "/srv/backup/$1" -name '*.json')"; }
is "live: was frozen" "$(freeze live) $(freeze same)" "frozen frozen"
is "dead: was not active" "$(freeze dead)" inactive
reference 0 512 '' || give_up "reference of live"
compare live .
compare same .
reference_gone || not_ok "reference of live goes away"
reference 7 640 ,nouuid || give_up "reference of dead"
compare dead rootfs
reference_gone || not_ok "reference of dead goes away"
is "dead: nothing from beside its subdir" "$(find /srv/tree/dead -name outside | wc -l)" 0

# A run that dies.
leak_check_begin
config ', size: 640M'
echo 'rate_limit: 64K' >>$work/thinark.yaml
"$THINARK" -c $work/thinark.yaml run live >/dev/null 2>&1 &
run=$!
wait_for 20 sh -c 'dmsetup ls --target thin | grep -q ^thinark-' || not_ok "killed: its snapshot exists"
kill -9 $run
wait $run 2>/dev/null
at_least "killed: entries of the ledger" "$(ledger | wc -l)" 1
thinark_exits "killed: recover" 0 recover
leak_check_end "killed"

# A size that is too small for the file system, and one that is larger.
rm -rf /srv/backup/*
config ', size: 64M'
leak_check_begin
thinark_exits "too small: run" 3 run dead
leak_check_end "too small"
is "too small: no archive" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 0
config ', size: 3G'
thinark_exits "larger: run" 0 run dead
is "larger: an archive" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 1
finish
