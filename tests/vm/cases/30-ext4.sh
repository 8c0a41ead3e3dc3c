#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: ext4
# limit: 900
#
# Containers on ext4 instead of xfs.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

mount_docker
start_docker --storage-opt dm.fs=ext4 || give_up "dockerd starts"
is "the containers are on ext4" "$(awk '/devicemapper\/mnt/ {print $3; exit}' /proc/mounts)" ext4
wait_for 20 container_running web || give_up "web runs"
sample_config

leak_check_begin
thinark_exits "run" 0 run
leak_check_end "run"
is "archives" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 3
is "manifests" "$(find /srv/backup -name '*.json' | wc -l)" 3
for name in web job broken; do
	reference_of $name /mnt/reference || give_up "$name: reference snapshot"
	tree /mnt/reference/rootfs $work/$name.want
	reference_down "$(docker_pool)" /mnt/reference || not_ok "$name: reference goes away"
	extract "$(archive_of $name)" /srv/tree/$name || not_ok "$name: tar extracts it"
	tree /srv/tree/$name $work/$name.got
	compare_trees $name $work/$name.got $work/$name.want
	at_least "$name: regular files" "$(tree_count $work/$name.got 8)" 320
done
docker_works
stop_docker
finish
