#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# limit: 900
#
# Thin volumes of a real LVM, which takes and removes the snapshots itself.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

# LVM asks for this module whenever a snapshot is made.
modprobe -d "$THINARK_BUILD/vm/kernel" -S "$(uname -r)" dm-snapshot || give_up "dm-snapshot"
truncate -s 3G /srv/pv && pv=$(losetup -f --show /srv/pv) || give_up "the disk"
# quiet COMMAND...: its output only if it fails
quiet() { "$@" >$work/lvm.out 2>&1 || { cat $work/lvm.out; return 1; }; }
quiet vgcreate vg-0 "$pv" && quiet lvcreate -L 2G -T vg-0/thin-pool || give_up "the pool"
for lv in web data dead; do
	quiet lvcreate -V 512M -T vg-0/thin-pool -n $lv || give_up "volume $lv"
done
quiet lvcreate -L 16M -n plain vg-0 && quiet lvchange --addtag backup vg-0/data vg-0/dead || give_up "tags"
mkfs.ext4 -q /dev/vg-0/web && mkfs.xfs -q /dev/vg-0/data && mkfs.ext4 -q /dev/vg-0/dead || give_up "file systems"
mkdir -p /mnt/web /mnt/data /mnt/dead /mnt/reference /srv/backup
mount /dev/vg-0/web /mnt/web && mount /dev/vg-0/data /mnt/data && mount /dev/vg-0/dead /mnt/dead || give_up "mounts"
$here/populate /mnt/web && $here/populate /mnt/dead && cp -r /usr/share/doc/lvm2 /mnt/data/ || give_up "content"
umount /mnt/dead && quiet lvchange -an vg-0/dead || give_up "dead is put away"

config() {
	cat >$work/thinark.yaml <<-YAML
		stores:
		  - name: lvm
		    type: lvm
		    logical_volumes: [vg-0/web, "@backup", "vg-0/none*"$2]
		  - name: hand
		    type: manual
		    volumes: [{name: web, device: /dev/vg-0/web}]
		destinations: [{name: local, type: directory, path: /srv/backup}]
		jobs:
		  - {name: all, stores: [lvm], destination: local}
		  - {name: web, stores: [lvm], containers: ["*_web"], destination: local}
		  - {name: tagged, stores: [lvm], containers: ["label:backup"], destination: local}
		  - {name: instant, stores: [lvm], group: true, destination: local}
		  - {name: hand, stores: [hand], destination: local}
		$1
	YAML
	chmod 600 $work/thinark.yaml
}
volumes() { lvs -a --noheadings -o lv_full_name,lv_attr,lv_size,thin_id,lv_tags vg-0 2>&1; }
clean() {
	volumes >$work/volumes.after
	same "$1: LVM has what it had" $work/volumes.before $work/volumes.after
	check "$1: vgck" vgck vg-0
	is "$1: vgck says nothing" "$(cat $work/check.out)" ''
}
thin_count() { lvs --noheadings -o lv_name -S "lv_name=~^thinark_" vg-0 | wc -l; }
# A new volume is empty: none of its blocks is another's.
new_is_empty() {
	quiet lvcreate -V 64M -T vg-0/thin-pool -n new && cmp -n 67108864 /dev/vg-0/new /dev/zero
	empty=$?
	quiet lvremove -y vg-0/new && [ $empty -eq 0 ]
}
freeze() { jq -r .snapshot.freeze "$(find "/srv/backup/$1" -name '*.json')"; }
compare() {
	quiet lvcreate -s -kn -n reference "vg-0/$1" || give_up "reference of $1"
	mount -o "ro$2" /dev/vg-0/reference /mnt/reference || give_up "reference of $1 is mounted"
	extract "$(archive_of "vg-0_$1")" "/srv/tree/$1" || not_ok "$1: tar extracts it"
	tree "/srv/tree/$1" "$work/$1.got"
	tree /mnt/reference "$work/$1.want"
	compare_trees "$1" "$work/$1.got" "$work/$1.want"
	umount /mnt/reference && quiet lvremove -y vg-0/reference || not_ok "reference of $1 goes away"
}

# One whose content is partly in another volume, and a snapshot of it.
quiet lvchange -an vg-0/plain && quiet lvchange -pr vg-0/plain &&
	quiet lvcreate -s --thinpool vg-0/thin-pool -n outer vg-0/plain && quiet lvcreate -s -n outer2 vg-0/outer ||
	give_up "an external origin"

# -- what there is -----------------------------------------------------------------------------------------

config '' ', "vg-0/outer*"'
thinark_exits "external origins: ps" 3 --json ps
is "external origins: both are refused" "$(grep -c "'vg-0/outer2\\{0,1\\}': it has an external origin" $work/stdout)" 2
config ''
thinark_exits "ps" 3 --json ps
jq -r 'select(.type == "container" and .store == "lvm") | [.name, .id, .state, .thin_id, .size_bytes] | @tsv' \
	$work/stdout >$work/ps
lvs --noheadings --separator ' ' --units b --nosuffix -o lv_name,lv_uuid,thin_id,lv_size vg-0 |
	awk -v OFS='\t' '$1 == "data" || $1 == "dead" || $1 == "web" {
		print "vg-0_" $1, $2, $1 == "dead" ? "stopped" : "running", $3, $4 }' >$work/ps.want
same "ps: uuids, states, thin ids and sizes" $work/ps.want $work/ps
at_least "ps: volumes" "$(wc -l <$work/ps)" 3
check "ps: a pattern without a volume" grep -q "no thin volume matches 'vg-0/none" $work/stderr
check "by hand: refers to this store" grep -q "pool 'vg--0-thin--pool-tpool' is LVM's" $work/stdout
thinark_exits "check" 0 check
is "check: the pool once" "$(grep -c "pool 'vg--0-thin--pool-tpool': usable" $work/stdout)" 1

# -- a run, while somebody writes --------------------------------------------------------------------------

mkdir -p /mnt/web/volatile
sh -c 'while :; do date +%N; done >/mnt/web/volatile/log' &
writer=$!
volumes >$work/volumes.before
leak_check_begin
mkdir -p /mnt/of-lvm
for how in '' --rw; do
	# shellcheck disable=SC2086 # none or one
	thinark_exits "mount $how of LVM's inactive volume" 2 mount $how vg-0_dead /mnt/of-lvm
	check "mount $how: it says whose it is" grep -q "is LVM's" $work/stderr
	check "mount $how: nothing is mounted" sh -c '! mountpoint -q /mnt/of-lvm'
done
is "mount: the ledger is empty" "$(ledger)" ''
thinark_exits "run" 0 run all
leak_check_end "run"
clean "run"
kill $writer
wait $writer 2>/dev/null
is "archives" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 3
is "frozen, frozen, inactive" "$(freeze vg-0_web) $(freeze vg-0_data) $(freeze vg-0_dead)" "frozen frozen inactive"
thinark_exits "restore into LVM's volume" 2 restore vg-0_dead/latest --into vg-0_dead
check "restore: it says whose it is" grep -q "is LVM's" $work/stderr
is "restore: the ledger is empty" "$(ledger)" ''
compare web ''
at_least "web: regular files" "$(tree_count $work/web.got 8)" 320
compare data ,nouuid
at_least "data: regular files" "$(tree_count $work/data.got 8)" 5
compare dead ''
at_least "dead: regular files" "$(tree_count $work/dead.got 8)" 320
check "a new volume is empty" new_is_empty
thinark_exits "tags select" 0 -n run tagged
is "tags select two" "$(grep -c vg-0_d $work/stdout)" 2
thinark_exits "no common instant" 3 run instant
check "no common instant: says so" grep -q 'not in one instant' $work/stderr

# -- LXC and Proxmox ---------------------------------------------------------------------------------------

# Their files as they have them; each root is a copy of this case.
for lv in ct-1 vm-101-disk-0 vm-101-disk-1; do
	quiet lvcreate -V 64M -T vg-0/thin-pool -n $lv && mkfs.ext4 -q /dev/vg-0/$lv &&
		mount /dev/vg-0/$lv /mnt/reference && cp "$0" /mnt/reference/$lv && umount /mnt/reference || give_up "$lv"
done
mkdir -p /srv/lxc/one /srv/lxc/two /srv/pve/nodes/host/lxc
printf 'lxc.uts.name = one\nlxc.rootfs.path = lvm:/dev/vg-0/ct-1\n' >/srv/lxc/one/config
printf 'lxc.rootfs.path = dir:/srv\n' >/srv/lxc/two/config
printf 'lvmthin: local-lvm\n\tthinpool thin-pool\n\tvgname vg-0\n' >/srv/pve/storage.cfg
printf 'hostname: ct\nrootfs: local-lvm:vm-101-disk-0,size=64M\nmp0: local-lvm:vm-101-disk-1,mp=/srv,backup=1\n' \
	>/srv/pve/nodes/host/lxc/101.conf
printf 'lock: backup\nrootfs: local-lvm:vm-102-disk-0\n' >/srv/pve/nodes/host/lxc/102.conf
ln -s nodes/host/lxc /srv/pve/lxc
cat >$work/thinark.yaml <<-YAML
	stores:
	  - {name: lxc, type: lxc, root: /srv/lxc}
	  - {name: pve, type: proxmox, config_dir: /srv/pve}
	destinations: [{name: local, type: directory, path: /srv/backup}]
	jobs: [{name: both, stores: [lxc, pve], destination: local}]
YAML
volumes >$work/volumes.before
thinark_exits "LXC and Proxmox: run" 3 run
clean "LXC and Proxmox"
is "LXC: the volume" "$(zstd -dc "$(archive_of one)" | tar -t | grep -c '^\(./\)*ct-1$')" 1
is "Proxmox: its root" "$(zstd -dc "$(archive_of 101)" | tar -t | grep -c '^\(./\)*vm-101-disk-0$')" 1
is "Proxmox: its mount point" "$(zstd -dc "$(archive_of 101_mp0)" | tar -t | grep -c '^\(./\)*vm-101-disk-1$')" 1
check "LXC: what is no volume" grep -q "two: .*'dir:/srv' is no volume of LVM" $work/stderr
check "Proxmox: one that is locked" grep -q '102: .*locked by Proxmox (backup)' $work/stderr
is "LXC: its configuration" "$(jq -r .container.config "$(find /srv/backup/one -name '*.json')")" "$(cat /srv/lxc/one/config)"

# -- runs that die -----------------------------------------------------------------------------------------

config 'rate_limit: 64K'
volumes >$work/volumes.before
leak_check_begin
"$THINARK" -c $work/thinark.yaml run web >/dev/null 2>&1 &
run=$!
wait_for 30 sh -c 'dmsetup ls --target thin | grep -q ^thinark-lvm-' || not_ok "killed: its device exists"
is "killed: LVM has its snapshot" "$(thin_count)" 1
check "killed: a new volume meanwhile is empty" new_is_empty
kill -9 $run
wait $run 2>/dev/null
is "killed: the snapshot is left" "$(thin_count)" 1
thinark_exits "killed: recover" 0 recover
leak_check_end "killed"
clean "killed"

# The program dies at the moment in which LVM begins; LVM goes on by itself.
mkdir -p /opt/real && mv /usr/sbin/lvm /opt/real/lvm
cat >/usr/sbin/lvm <<-'SH'
	#!/bin/sh
	[ "${0##*/}" = lvm ] || set -- "${0##*/}" "$@"
	if [ "$1" = "$(cat /run/die)" ]; then
		echo >/run/die
		kill -9 $PPID
		sleep 1
	fi
	exec /opt/real/lvm "$@"
SH
chmod 755 /usr/sbin/lvm
config 'rate_limit: 8M'
for command in lvcreate lvremove; do
	echo $command >/run/die
	leak_check_begin
	"$THINARK" -c $work/thinark.yaml run web >/dev/null 2>&1
	is "killed at $command: was killed" $? 137
	at_least "killed at $command: entries of the ledger" "$(ledger | wc -l)" 1
	thinark_exits "killed at $command: recover" 0 recover
	leak_check_end "killed at $command"
	clean "killed at $command"
done
rm /usr/sbin/lvm && mv /opt/real/lvm /usr/sbin/lvm

# -- what is not ours --------------------------------------------------------------------------------------

mkdir -p /var/lib/thinark/ledger
quiet lvcreate -V 64M -T vg-0/thin-pool -n thinark_0123456789abcdef || give_up "a volume with our prefix"
echo '{"version":1,"kind":"lvm","name":"vg-0/thinark_0123456789abcdef","pool":"vg--0-thin--pool-tpool","thin_id":9,' \
	'"origin_id":1,"device":"thinark-lvm-0","origins":[],"boot_id":"x","pid":1,"time":"x"}' \
	>/var/lib/thinark/ledger/thinark_0123456789abcdef.lvm.json
thinark_exits "our prefix without our tag: recover" 21 recover
check "our prefix without our tag: says why" grep -q 'is not touched' $work/stderr
check "our prefix without our tag: it is there" lvs vg-0/thinark_0123456789abcdef
quiet lvchange --addtag thinark vg-0/thinark_0123456789abcdef
thinark_exits "with it: recover" 0 recover
is "with it: it is gone" "$(thin_count)" 0

# -- danger ------------------------------------------------------------------------------------------------

config 'pool_min_free_data: 90%'
dd if=/dev/urandom of=/mnt/data/fill bs=1M count=250 status=none && sync -f /mnt/data || give_up "data is filled"
volumes >$work/volumes.before
thinark_exits "a pool in danger" 20 run web
clean "a pool in danger"
vgchange -an vg-0 >$work/lvm.out 2>&1
umount /mnt/web && umount /mnt/data && quiet vgchange -an vg-0 || give_up "the group is put away"
thinark_exits "inactive: run" 3 run web
check "inactive: says so" grep -q "pool 'vg--0-thin--pool-tpool' is not active" $work/stderr
finish
