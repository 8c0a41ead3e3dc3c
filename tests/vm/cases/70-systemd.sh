#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: xfs
# init: systemd
# limit: 600
#
# The installed units below a real systemd: what its security analysis says, and that a job passes in the sandbox.
. "$THINARK_SRC/tests/vm/guest/lib.sh"
. "$THINARK_SRC/tests/vm/guest/units.sh"

units_up

# -- the units themselves ------------------------------------------------------------------------------------
for unit in $unit_files; do
	check "$unit: verify" sh -c "systemd-analyze verify $unit >$work/verify 2>&1; cat $work/verify; test ! -s $work/verify"
done
for unit in thinark.service thinark@nightly.service thinark-recover.service; do
	exposure=$(systemd-analyze security --no-pager $unit | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
	echo "# $unit: exposure $exposure"
	check "$unit: exposure is at most 2.0" systemd-analyze security --no-pager --threshold=20 $unit
done
for engine in docker containerd; do
	check "recovery is ordered before $engine" \
		sh -c "systemctl show -P Before thinark-recover.service | grep -qw $engine.service"
done
check "both run timers keep their slot and catch up" sh -c "for t in thinark.timer thinark@nightly.timer; do
	[ \$(systemctl show -P FixedRandomDelay -P Persistent \$t | grep -c yes) = 2 ] || exit 1; done"

# -- a job in the sandbox --------------------------------------------------------------------------------------
mount_docker
start_docker --exec-opt native.cgroupdriver=cgroupfs || give_up "dockerd starts"
wait_for 20 container_running web || give_up "web runs"
leak_check_begin
unit_run thinark@nightly 0 "job in the sandbox"
leak_check_end "job in the sandbox"
at_least "archives" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 3
is "manifests" "$(find /srv/backup -name '*.json' | wc -l)" 3
is "manifests: complete" "$(cat /srv/backup/*/*.json | jq -s 'map(select(.complete)) | length')" 3
# What the sandbox hides would be missing without a word.
is "manifests: the pool's time is known" \
	"$(cat /srv/backup/*/*.json | jq -s 'map(select([.. | .pool_time? // empty | select(. >= 0)] | length > 0)) | length')" 3
reference_of web /mnt/reference || give_up "web: reference snapshot"
tree /mnt/reference/rootfs $work/web.want
reference_down "$(docker_pool)" /mnt/reference || not_ok "web: reference goes away"
extract "$(archive_of web)" /srv/tree/web || not_ok "web: tar extracts it"
tree /srv/tree/web $work/web.got
compare_trees web $work/web.got $work/web.want
at_least "web: regular files" "$(tree_count $work/web.got 8)" 320

# All jobs; and a container that is removed meanwhile is not busy because of the unit's mounts.
docker run -d --name other-tmp --network none busybox /bin/sleep 1000 >/dev/null
systemctl start --no-block thinark
check "all jobs: they run" wait_for 60 sh -c 'dmsetup ls | grep -q ^thinark-'
check "a container is removed during a run" docker rm -f other-tmp
check "all jobs: they end" wait_for 120 sh -c '! systemctl is-active thinark | grep -q activating'
is "all jobs: result" "$(systemctl show -P Result thinark)" success
is "all jobs: archives" "$(find /srv/backup -name '*.json' | wc -l)" 6
check "docker: exec" docker exec web /bin/true

# -- a stopped engine ----------------------------------------------------------------------------------------------
stop_docker
sample_config /srv/elsewhere
unit_config
leak_check_begin
# The sandbox must not hide an engine that runs.
cp /bin/sleep /run/dockerd
/run/dockerd 600 &
fake=$!
unit_run thinark@nightly 3 "a dockerd runs, its pool is not active"
check "the message says so" grep -q 'although a dockerd runs' $work/journal
kill $fake
wait $fake 2>/dev/null
unit_run thinark@nightly 3 "stopped engine, destination outside of the sandbox"
check "the message says so" grep -q 'Read-only file system' $work/journal
mkdir -p /etc/systemd/system/thinark@.service.d
printf '[Service]\nReadWritePaths=/srv/elsewhere\n' >/etc/systemd/system/thinark@.service.d/override.conf
systemctl daemon-reload
unit_run thinark@nightly 0 "stopped engine, destination by drop-in"
leak_check_end "stopped engine" 10
is "archives of the stopped engine" "$(find /srv/elsewhere -name '*.json' | wc -l)" 3
finish
