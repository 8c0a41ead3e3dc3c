#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: xfs
# limit: 900
#
# Docker runs; everything in its containers has to come out as it is.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

mount_docker
start_docker || give_up "dockerd starts"
wait_for 20 container_running web || give_up "web runs"
sample_config

thinark_exits "check" 0 check

thinark_exits "ps --json" 0 --json ps
check "ps --json: one JSON object a line" is_json_lines $work/stdout
for name in web job broken; do
	check "ps --json names $name" grep -q "\"$name\"" $work/stdout
done

leak_check_begin
thinark_exits "run -n" 0 run -n
is "run -n writes nothing" "$(find /srv/backup -type f)" ''
leak_check_end "run -n"

leak_check_begin
thinark_exits "run --json" 0 --json run
cp $work/stdout $work/run.json
leak_check_end "run"
check "run --json: one JSON object a line" is_json_lines $work/run.json
check "web still runs" container_running web

is "archives" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 3
is "manifests" "$(find /srv/backup -name '*.json' | wc -l)" 3
is "nothing unfinished" "$(find /srv/backup -type f ! -name '*.tar.zst' ! -name '*.json' | wc -l)" 0
is "all of them 0600" "$(find /srv/backup -type f ! -perm 600 | wc -l)" 0
for name in web job broken; do
	archive=$(archive_of $name)
	check "$name: zstd takes the archive" zstd -q -t "$archive"
	check "$name: tar lists it" sh -c "zstd -q -dc '$archive' | tar -tf - >$work/$name.list"
	check "$name: the manifest is JSON" jq -e . "${archive%.tar.zst}.json"
	at_least "$name: entries" "$(wc -l <$work/$name.list)" 650
done
# In the C locale it cannot show names in UTF-8 and says so with its exit code.
check "bsdtar lists web" sh -c "LC_ALL=C.UTF-8 bsdtar -tf '$(archive_of web)'"

# The same tree, seen through a snapshot that thinark had no part in.
for name in web job broken; do
	reference_of $name /mnt/reference || give_up "$name: reference snapshot"
	tree /mnt/reference/rootfs $work/$name.want
	reference_down "$(docker_pool)" /mnt/reference || not_ok "$name: reference goes away"
	extract "$(archive_of $name)" /srv/tree/$name || not_ok "$name: tar extracts it"
	tree /srv/tree/$name $work/$name.got
	compare_trees $name $work/$name.got $work/$name.want
done

at_least "web: regular files" "$(tree_count $work/web.got 8)" 650
at_least "web: folders" "$(tree_count $work/web.got 4)" 60
at_least "web: symbolic links" "$(tree_count $work/web.got a)" 200
at_least "web: fifos" "$(tree_count $work/web.got 1)" 3
at_least "web: character devices" "$(tree_count $work/web.got 2)" 3
at_least "web: block devices" "$(tree_count $work/web.got 6)" 2
at_least "web: hard link groups" "$(wc -l <$work/web.got.hard)" 5
at_least "web: extended attributes" "$(grep -c '=' $work/web.got.xattr)" 14
for name in user.colour user.binary trusted.note security.capability system.posix_acl_access \
	system.posix_acl_default; do
	check "web: $name is there" grep -q "^$name" $work/web.got.xattr
done
at_least "web: a sparse file stays one (KiB saved)" \
	"$((65536 - $(stat -c '%b' /srv/tree/web/data/sparse) / 2))" 60000
is "web: a hole has no blocks" "$(stat -c '%b' /srv/tree/web/data/all-hole)" 0
is "excluded: tmp" "$(find /srv/tree/web/tmp -mindepth 1 2>/dev/null | wc -l)" 0
is "excluded: var/cache" "$(find /srv/tree/web/var/cache -mindepth 1 2>/dev/null | wc -l)" 0

# The same tree as Docker exports it. It keeps whole seconds and of the xattrs only capabilities; sockets are
# left out by both. Its tar has no entry for the top folder. Nothing else may differ.
for name in web job broken; do
	rm -rf /srv/export && mkdir -p /srv/export
	docker export $name | tar -C /srv/export --numeric-owner --same-owner -p -xf - || not_ok "docker export $name"
	tree /srv/export $work/$name.export seconds
	tree /srv/tree/$name $work/$name.seconds seconds
	sed -i "/ \\.$/d" $work/$name.export.meta $work/$name.seconds.meta
	for part in meta links data hard; do
		same "$name: docker export: $part" $work/$name.export.$part $work/$name.seconds.$part
	done
done

thinark_exits "archives --json" 0 --json archives
check "archives --json: one JSON object a line" is_json_lines $work/stdout
for name in web job broken; do
	check "archives names $name" grep -q "\"$name" $work/stdout
done

# While containers run and write.
thinark_exits "ps --usage" 0 ps --usage
at_least "ps --usage: containers with blocks of their own, and others" \
	"$(grep -cE ' [0-9.]+ [KMG]iB +[0-9.]+ [KMG]iB$' $work/stdout)" 3
sed 's/^/    /' $work/stdout

thinark_exits "a job nobody knows" 2 run no-such-job
docker_works
leak_check_begin
thinark_exits "a second run" 0 run
leak_check_end "a second run"
stop_docker
finish
