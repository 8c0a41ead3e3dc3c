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
# Files come and go all the time, so that a snapshot without a freeze leaves a journal to be replayed.
docker exec -d web /bin/sh -c 'while :; do for n in 1 2 3 4 5 6 7 8; do echo $n >/tmp/busy.$n; done; rm /tmp/busy.*; done'
sleep 2
leak_check_begin
thinark_exits "run beside a writer" 0 run
leak_check_end "run beside a writer"
manifest=$(archive_of web)
manifest=${manifest%.tar.zst}.json
is "web: frozen" "$(jq -r .snapshot.freeze "$manifest")" frozen
is "web: its journal is clean, since it was frozen" "$(jq -r .snapshot.mount_mode "$manifest")" 'read-only device'
at_least "web: the window in us" "$(jq -r '.snapshot.window_ms * 1000 | floor' "$manifest")" 100
docker exec web /bin/sh -c 'kill $(pgrep -f busy)' 2>/dev/null
docker_works
stop_docker
finish
