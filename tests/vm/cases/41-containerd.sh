#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# limit: 900
#
# A real containerd with its devmapper snapshotter: live, with a guest's device, and stopped.
. "$THINARK_SRC/tests/vm/guest/lib.sh"
. "$THINARK_SRC/tests/vm/guest/containerd.sh"

containerd_pool_up || give_up "the pool is made"
containerd_config
containerd_start || give_up "containerd starts"
containerd_image default k8s.io other || give_up "the image is imported"

app=$(printf '%064d' 1) pause=$(printf '%064d' 2)
container default web role=front >/dev/null || give_up "web runs"
container k8s.io "$app" io.kubernetes.pod.name=shop-0 io.kubernetes.pod.namespace=prod \
	io.kubernetes.container.name=app io.cri-containerd.kind=container || give_up "the pod's container runs"
ctr -n k8s.io containers create --snapshotter devmapper --label io.cri-containerd.kind=sandbox \
	example.org/busybox:1 "$pause" /bin/true || give_up "the pod's sandbox is made"
for namespace in default other; do
	ctr -n $namespace containers create --snapshotter devmapper --label role=batch example.org/busybox:1 \
		"$namespace-job" /bin/true || give_up "a container without a task is made"
done
ctr containers create --snapshotter devmapper example.org/busybox:1 guest /bin/true || give_up "guest is made"
ctr containers create --snapshotter native example.org/busybox:1 elsewhere /bin/true 2>/dev/null ||
	ctr images import --snapshotter native /srv/oci.tar >/dev/null &&
	ctr containers create --snapshotter native example.org/busybox:1 elsewhere /bin/true 2>/dev/null

# Into web's live root, through the mount that its task has.
live=/run/containerd/io.containerd.runtime.v2.task/default/web/rootfs
$here/populate $live/data || give_up "web is filled"
# Its device as a guest has it: another kernel's mount, which this one knows only as an open device.
guest=$(device_of default guest)
guest_loop=$(losetup --find --show "/dev/mapper/$guest") || give_up "guest's device is taken"
mkdir -p /mnt/guest
mount -t ext4 "$guest_loop" /mnt/guest && echo synced >/mnt/guest/synced && sync -f /mnt/guest/synced ||
	give_up "guest mounts its device"

cat >$work/thinark.yaml <<-YAML
	stores:
	  - name: containerd
	    type: containerd
	    root: $containerd_root
	destinations:
	  - name: local
	    type: directory
	    path: /srv/backup
	jobs:
	  - name: all
	    stores: [containerd]
	    destination: local
	  - name: pods
	    stores: [containerd]
	    containers: ["pod:shop-*"]
	    destination: local
	  - name: prod
	    stores: [containerd]
	    containers: ["namespace:prod"]
	    destination: local
	  - name: k8s
	    stores: [containerd]
	    containers: ["namespace:k8s.*"]
	    destination: local
	  - name: other
	    stores: [containerd]
	    containers: ["namespace:other"]
	    destination: local
	  - name: labels
	    stores: [containerd]
	    containers: ["label:role=batch"]
	    exclude_containers: ["namespace:other"]
	    destination: local
	  - name: running
	    stores: [containerd]
	    containers: ["state:running"]
	    destination: local
	  - name: nobody
	    stores: [containerd]
	    containers: ["pod:nobody"]
	    destination: local
YAML
chmod 600 $work/thinark.yaml
mkdir -p /srv/backup

names() { jq -r 'select(.type == "container" or .type == "plan") | .name // .container' $work/stdout | sort | tr '\n' ' '; }
# selects NAME JOB CONTAINERS
selects() {
	thinark --json run -n "$2"
	is "$1" "$(names)" "$3"
}

# -- live ------------------------------------------------------------------------------------------------

thinark_exits "check" 0 check
thinark_exits "ps" 0 --json ps
all="default-job guest other_other-job prod_shop-0_app web "
is "ps: all but the sandbox and those of other snapshotters" "$(names)" "$all"
check "another snapshotter's are counted" grep -q '1 containers of other snapshotters' $work/stderr
jq -r 'select(.type == "container") | [.name, .id, .namespace, .state, .thin_id, .size_bytes] | @tsv' $work/stdout |
	sort >$work/ps
# The same from containerd's client and the kernel.
for line in default:default-job:default-job:stopped default:guest:guest:stopped other:other-job:other_other-job:stopped \
	"k8s.io:$app:prod_shop-0_app:running" default:web:web:running; do
	namespace=${line%%:*} rest=${line#*:}
	id=${rest%%:*} rest=${rest#*:}
	dmsetup table "$(device_of "$namespace" "$id")" |
		awk -v OFS='\t' -v ns="$namespace" -v id="$id" -v name="${rest%:*}" -v state="${rest#*:}" \
			'{ print name, id, ns, state, $5, $2 * 512 }'
done | sort >$work/ps.want
same "ps: ids, namespaces, states, thin ids and sizes" $work/ps.want $work/ps
at_least "ps: containers" "$(wc -l <$work/ps)" 5

selects "selection: pod" pods "prod_shop-0_app "
selects "selection: Kubernetes' namespace" prod "prod_shop-0_app "
selects "selection: containerd's namespace" k8s "prod_shop-0_app "
selects "selection: another namespace" other "other_other-job "
selects "selection: label" labels "default-job "
selects "selection: state" running "prod_shop-0_app web "
thinark_exits "selection: nothing" 10 run nobody

leak_check_begin
thinark_exits "run" 0 --json run all
cp $work/stdout $work/run.json
leak_check_end "run"
at_least "run: archives" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 5
manifest_of() { archive=$(archive_of "$1") && echo "${archive%.tar.zst}.json"; }
freeze_of() { jq -r .snapshot.freeze "$(manifest_of "$1")"; }
is "web was frozen" "$(freeze_of web)" frozen
is "the pod's container was frozen" "$(freeze_of prod_shop-0_app)" frozen
is "a guest's file system cannot be" "$(freeze_of guest)" crash-consistent
is "a device that nobody uses needs nothing" "$(freeze_of default-job)" idle
is "the namespace is in the manifest" "$(jq -r .container.namespace "$(manifest_of prod_shop-0_app)")" k8s.io
is "the engine's configuration too" "$(jq -r .container.config.process.args[0] "$(manifest_of web)")" /bin/sh
is "and the image" "$(jq -r .container.image "$(manifest_of web)")" example.org/busybox:1
is "with its digest" "$(jq -r .container.image_id "$(manifest_of web)")" "$(ctr images ls | awk '/busybox/ { print $3 }')"
check "the guest's synced file is there" sh -c \
	"zstd -q -dc '$(archive_of guest)' | tar -xOf - synced | grep -q synced"

# The same trees, as the live mounts show them; the running containers write to volatile only.
compare_live() {
	for pair in "web:$live" "prod_shop-0_app:/run/containerd/io.containerd.runtime.v2.task/k8s.io/$app/rootfs"; do
		name=${pair%%:*}
		tree "${pair#*:}" $work/$name.want
		extract "$(archive_of $name)" /srv/tree || not_ok "$name: tar extracts it"
		tree /srv/tree $work/$name.got
		# What runc and the shim mount over it, and when, is no part of the device.
		compare_trees "$1: $name" $work/$name.got $work/$name.want
	done
	at_least "$1: web: regular files" "$(tree_count $work/web.got 8)" 330
	at_least "$1: web: symbolic links" "$(tree_count $work/web.got a)" 13
	at_least "$1: web: extended attributes" "$(grep -c '=' $work/web.got.xattr)" 9
}
compare_live live

# -- its databases are written to all the time ---------------------------------------------------------------

(
	n=0
	while [ ! -f $work/enough ]; do
		n=$((n + 1))
		ctr -n busy containers create --snapshotter native --label n=$n example.org/busybox:1 busy-$n /bin/true
		ctr containers label web n=$n
	done
) >/dev/null 2>&1 &
writer=$!
good=0
for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
	thinark --json ps && [ "$(names)" = "$all" ] && good=$((good + 1))
done
touch $work/enough
wait $writer
is "ps while they are written to" $good 12
at_least "transactions meanwhile" "$(ctr containers info web | jq -r .Labels.n)" 3

# -- stopped -------------------------------------------------------------------------------------------------

umount /mnt/guest
losetup -d "$guest_loop"
containerd_stop
rm -rf /srv/backup/*
leak_check_begin
thinark_exits "containerd is stopped: run" 0 run all
leak_check_end "containerd is stopped"
at_least "containerd is stopped: archives" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 5
compare_live stopped

# As after a crash: no task, no mount, and the file of the configuration is gone as well.
rm -f /etc/containerd/config.toml
for pid in $(pgrep -f '[c]ontainerd-shim'); do kill -9 "$pid"; done
for pid in $(pgrep -f '[w]hile :; do date'); do kill -9 "$pid"; done
wait_for 10 sh -c '! pgrep -f "[w]hile :; do date"'
awk '$1 ~ /^\/dev\/mapper\/devpool/ { print $2 }' /proc/mounts | while read -r dir; do umount "$dir"; done
mount_count=$(grep -c '^/dev/mapper/devpool' /proc/mounts)
is "no mount is left" "$mount_count" 0
for n in $(dmsetup ls --target thin | awk '{print $1}'); do dmsetup remove --retry "$n"; done
rm -rf /srv/backup/*
leak_check_begin
thinark_exits "inactive devices: run" 0 run all
leak_check_end "inactive devices"
is "inactive devices are inactive" "$(freeze_of web)" inactive
at_least "inactive devices: archives" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 5

containerd_pool_down
thinark_exits "without the pool: ps" 0 --json ps
is "without the pool: ps names all" "$(names)" "$all"
leak_check_begin
thinark_exits "without the pool: run" 3 run all
leak_check_end "without the pool"
check "without the pool: says which" grep -q "pool 'devpool' is not active" $work/stderr

# -- broken --------------------------------------------------------------------------------------------------

db=$snapshots/$containerd_pool.db
cp $db $work/saved.db
head -c 4096 /dev/zero | dd of=$db bs=4096 seek=2 count=1 conv=notrunc status=none
head -c 12288 /dev/zero | dd of=$db bs=4096 seek=3 count=3 conv=notrunc status=none
thinark_exits "a database of zeros: ps" 3 --json ps
check "a database of zeros: which byte" grep -q 'devpool.db: byte [0-9]' $work/stdout
truncate -s 60 $db
thinark_exits "a database that is cut: ps" 3 ps
check "a database that is cut: says so" grep -q 'devpool.db: byte 0: no valid meta page' $work/stderr
cp $work/saved.db $db
cp $work/saved.db $snapshots/second.db
thinark_exits "two pools: ps" 3 ps
check "two pools: asks for the key" grep -q "store's key 'pool'" $work/stderr
rm -f $snapshots/second.db
thinark_exits "as before: ps" 0 ps
finish
