#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: xfs
# limit: 900
#
# Docker is down and its pool with it: the pool comes up from its two files and goes away again.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

mount_docker
sample_config
is "no pool at first" "$(dmsetup ls 2>/dev/null)" 'No devices found'

leak_check_begin
thinark_exits "run" 0 run
leak_check_end "run"
is "no pool at last" "$(dmsetup ls 2>/dev/null)" 'No devices found'
is "no loop devices" "$(losetup -a)" ''
is "archives" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 3
is "manifests" "$(find /srv/backup -name '*.json' | wc -l)" 3
for name in web job broken; do
	check "$name: zstd takes the archive" zstd -q -t "$(archive_of $name)"
done

start_docker || give_up "dockerd starts again"
for name in web job broken; do
	reference_of $name /mnt/reference || give_up "$name: reference snapshot"
	tree /mnt/reference/rootfs $work/$name.want
	reference_down "$(docker_pool)" /mnt/reference || not_ok "$name: reference goes away"
	extract "$(archive_of $name)" /srv/tree/$name || not_ok "$name: tar extracts it"
	tree /srv/tree/$name $work/$name.got
	compare_trees $name $work/$name.got $work/$name.want
	at_least "$name: regular files" "$(tree_count $work/$name.got 8)" 320
done
check "web starts again" wait_for 30 container_running web
docker_works
stop_docker

leak_check_begin
thinark_exits "a run after Docker has gone again" 0 run
leak_check_end "a run after Docker has gone again"
finish
