#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: xfs
# limit: 700
#
# mount shows a container's files on a folder: a snapshot of a live one, the own device of a stopped one for repair;
# with and without the engine. umount, recover and a new boot undo all of it.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

mount_docker
start_docker || give_up "dockerd starts"
wait_for 20 container_running web || give_up "web runs"
sample_config
mkdir -p /mnt/web /mnt/job

# -- a snapshot of a live one --------------------------------------------------------------------------------
docker exec web /bin/sh -c 'echo before >/data/state'
leak_check_begin
thinark_exits "mount of a running container" 0 mount web /mnt/web
docker exec web /bin/sh -c 'echo after >/data/state'
is "its files are those of the moment" "$(cat /mnt/web/rootfs/data/state)" before
check "it cannot be written" sh -c '! echo x >/mnt/web/rootfs/data/state'
check "and runs no programs" sh -c '! /mnt/web/rootfs/bin/busybox true'
thinark_exits "mounted twice on one folder" 2 mount web /mnt/web
thinark_exits "recover leaves it alone" 0 recover
thinark_exits "recover --resume leaves it alone" 0 recover --resume
check "it is still there" test -e /mnt/web/rootfs/data/state
thinark_exits "a run beside it" 0 run
check "it is still there" test -e /mnt/web/rootfs/data/state
sleep 1000 </mnt/web/rootfs/data/state &
reader=$!
thinark_exits "umount while a process reads" 11 umount /mnt/web
check "the message says so" grep -q 'a process uses' $work/stderr
kill $reader
wait $reader 2>/dev/null
thinark_exits "umount" 0 umount /mnt/web
rm -rf /srv/backup/*
leak_check_end "umount"
thinark_exits "umount of nothing" 10 umount /mnt/web
thinark_exits "mount of nothing" 10 mount nobody /mnt/web

# By hand, and then recover.
leak_check_begin
thinark_exits "mount" 0 mount web /mnt/web
umount /mnt/web
thinark_exits "recover finds it unmounted" 0 recover
leak_check_end "unmounted by hand"

# Killed at any moment: recover takes it away.
leak_check_begin
for ms in 100 300 500 700 900; do
	timeout -s KILL 0.$(printf %03d $ms) "$THINARK" -c $work/thinark.yaml mount web /mnt/web >/dev/null 2>&1
	! mountpoint -q /mnt/web || umount /mnt/web
	thinark_exits "recover after a kill within $ms ms" 0 recover
done
leak_check_end "killed"

# -- its own device ------------------------------------------------------------------------------------------
thinark_exits "--rw of a running container" 3 mount --rw web /mnt/web
check "the message says why" grep -q 'stop the container first' $work/stderr
docker stop -t 1 web >/dev/null
leak_check_begin
thinark_exits "--rw of a stopped one" 0 mount --rw web /mnt/web
echo repaired >/mnt/web/rootfs/data/state
thinark_exits "recover leaves it alone" 0 recover
# The engine starts it all the same: one file system, not two.
check "docker: start while it is mounted" docker start web
is "the container sees it" "$(docker exec web cat /data/state)" repaired
docker exec web /bin/sh -c 'echo from-inside >/data/state'
is "and we see the container's" "$(cat /mnt/web/rootfs/data/state)" from-inside
thinark_exits "umount while the container runs" 0 umount /mnt/web
is "the container goes on" "$(docker exec web cat /data/state)" from-inside
docker stop -t 1 web >/dev/null
thinark_exits "--rw again" 0 mount --rw web /mnt/web
echo repaired >/mnt/web/rootfs/data/state
thinark_exits "umount" 0 umount /mnt/web
leak_check_end "its own device"
check "docker: start" docker start web
is "the container sees it" "$(docker exec web cat /data/state)" repaired

# -- without the engine --------------------------------------------------------------------------------------
stop_docker
sleep 1
leak_check_begin
thinark_exits "mount without the engine" 0 mount web /mnt/web
is "its files" "$(cat /mnt/web/rootfs/data/state)" repaired
thinark_exits "a second one" 0 mount --rw job /mnt/job
thinark_exits "recover leaves both alone" 0 recover
thinark_exits "a run beside them" 0 run
thinark_exits "umount of the first" 0 umount /mnt/web
check "the second is still there" test -d /mnt/job/rootfs/bin
thinark_exits "umount of the second" 0 umount /mnt/job
rm -rf /srv/backup/*
leak_check_end "without the engine"
start_docker || give_up "dockerd starts again"
docker_works
stop_docker
finish
