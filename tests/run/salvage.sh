#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A failed host's state folder, made here without any device mapper: everything in it is archived, nothing in it changes.
set -u
thinark=$2/thinark
make_pool=$2/tests/make-pool
[ "$(id -u)" = 0 ] || { echo "salvage mounts copies: run as root"; exit 1; }
dir=$(mktemp -d /var/tmp/thinark-salvage-XXXXXX) || exit 1
trap 'umount "$dir/mnt" 2>/dev/null; rm -rf "$dir"' EXIT
export THINARK_STATE_DIR="$dir/state"
. "$(dirname "$0")/lib/check.sh"
# The kernel takes a dead process's mounts down a moment after it.
no_loops() {
	count=$((count + 1))
	for _ in $(seq 100); do
		losetup -n -O BACK-FILE -l | grep -q "$dir" || return 0
		sleep 0.1
	done
	fail "$1: $(losetup -l | grep "$dir")"
}
log_has() {
	count=$((count + 1))
	grep -qE -- "$1" "$dir/log" || { cat "$dir/log"; fail "not in the log: $1"; }
}

# The containers' trees, and what else is on their devices.
mkdir -p "$dir/mnt" "$dir/tree"
for name in web db old stray; do
	t=$dir/tree/$name/rootfs
	mkdir -p "$t/etc" "$t/data"
	echo "$name" >"$t/etc/hostname"
	head -c 300000 /dev/urandom >"$t/data/random"
	ln -s ../etc/hostname "$t/data/link"
	setfattr -n user.note -v "$name" "$t/data/random"
	echo "outside of the root" >"$dir/tree/$name/id"
done
# mke2fs keeps whole seconds.
find "$dir/tree" -exec touch -h -d @1700000000 {} +
for name in web old stray; do
	mke2fs -q -t ext4 -F -d "$dir/tree/$name" "$dir/$name.img" 8M >"$dir/null" || exit 1
done

# Their journals are not empty: a copy of the device while a file system on it is in use.
dirty() {
	mount -o loop,nodiratime "$1" "$dir/mnt" || fail "mount $1"
	echo "only in the journal" >"$dir/mnt/rootfs/late"
	sync -f "$dir/mnt/rootfs/late"
	cp --sparse=always "$1" "$1.dirty"
	umount "$dir/mnt"
	mv "$1.dirty" "$1"
}
truncate -s 320M "$dir/db.img"
mkfs.xfs -q "$dir/db.img" || exit 1
mount -o loop "$dir/db.img" "$dir/mnt" && cp -a "$dir/tree/db/." "$dir/mnt" && umount "$dir/mnt" || exit 1
dirty "$dir/db.img"
dirty "$dir/web.img"
check sh -c "LC_ALL=C dumpe2fs -h '$dir/web.img' 2>/dev/null | grep -q needs_recovery"
for name in web db; do echo "only in the journal" >"$dir/tree/$name/rootfs/late"; done

# The engine's folder: thin 4 is web's, 6 is db's, 7 is old's, 9 nobody's; 'gone' has a record but no device.
root=$dir/root
pool=$root/devicemapper/devicemapper
mkdir -p "$pool" "$root/devicemapper/metadata"
check "$make_pool" "$pool" 1 65536 0 4="$dir/web.img" 6="$dir/db.img" 7="$dir/old.img" 9="$dir/stray.img" >/dev/null
truncate -s 4M "$pool/metadata"
check thin_restore -q -i "$pool/pool.xml" -o "$pool/metadata" >/dev/null
rm "$pool/pool.xml"
hash_of() { printf "$1%.0s" $(seq 64); }
record() { # HEX THIN SIZE
	printf '{"device_id":%d,"size":%d,"transaction_id":1,"initialized":false,"deleted":false}' "$2" "$3" \
		>"$root/devicemapper/metadata/$(hash_of "$1")"
}
container() { # NAME HEX THIN SIZE
	id=$(hash_of "$2")
	mkdir -p "$root/containers/$id" "$root/image/devicemapper/layerdb/mounts/$id"
	printf '{"ID":"%s","Driver":"devicemapper","Name":"/%s","State":{"Running":false},"Config":{"Labels":{"tier":"%s"}}}' \
		"$id" "$1" "$1" >"$root/containers/$id/config.v2.json"
	echo '{}' >"$root/containers/$id/hostconfig.json"
	printf %s "$id" >"$root/image/devicemapper/layerdb/mounts/$id/mount-id"
	record "$2" "$3" "$4"
}
container web a 4 8388608
container db b 6 335544320
container old c 7 8388608
container gone d 77 8388608
record e 78 8388608

evidence() { (cd "$root" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$1"; }
evidence "$dir/before"
find "$root" -exec touch -a -d '2001-01-01' {} +
salvage() { "$thinark" salvage --root "$root" --to "$dir/out" "$@"; }

# What there is, and what it will take.
code 3 salvage --dry-run
log_has '^planned +container web +4 .*iB'
log_has '^planned +orphan +thin-9 +9 '
log_has '^lost +container gone +77 .*there is no thin device 77'
log_has '^lost +record +e{12} '
log_has 'there is no thin device 78'
check [ ! -e "$dir/out" ]

# All of it. What each device lost is in the manifest, what the engine knew as well.
code 3 salvage --json
grep '^{' "$dir/log" >"$dir/json"
check [ "$(wc -l <"$dir/json")" -eq 7 ]
check jq -e . "$dir/json" >"$dir/null"
check [ "$(jq -r 'select(.type == "item" and .status == "archived") | .container' "$dir/json" | sort | tr '\n' ' ')" \
	= "db old thin-9 web " ]
check [ "$(jq -r 'select(.type == "item" and .status == "lost") | .kind + " " + .reason' "$dir/json" | grep -c 'no thin device 7[78]')" -eq 2 ]
check jq -e 'select(.type == "summary") | .archived == 4 and .lost == 2 and .orphans == 1 and .exit_code == 3' "$dir/json" >"$dir/null"
m=$dir/out/web.json
check jq -e '.complete and .container.labels.tier == "web" and .source.kind == "salvaged" and .snapshot == null' "$m" >"$dir/null"
check jq -e '.salvage | .thin_id == 4 and .lost_bytes == 0 and .check.sound and .fs_type == "ext4" and .pool_transaction == 9' "$m" >"$dir/null"
check jq -e '.salvage.mount_mode | test("journal replayed there")' "$m" >"$dir/null"
check jq -e '.salvage | .fs_type == "xfs" and .check.command == "xfs_repair -n" and .check.sound' "$dir/out/db.json" >"$dir/null"
code 0 "$thinark" verify --deep "$dir/out/web.tar.zst" "$dir/out/db.tar.zst" "$dir/out/old.tar.zst" "$dir/out/orphans/thin-9.tar.zst"

# The trees that went in come out, also what was only in a journal.
tree() { (cd "$1" && find . -printf '%p %y %m %U %G %T@ %l\n' | grep -v '^\. ' | sort &&
	find . -type f -print0 | sort -z | xargs -0 sha256sum && getfattr -R -d . 2>/dev/null); }
for name in web db old stray; do
	archive=$dir/out/$name.tar.zst
	[ $name = stray ] && archive=$dir/out/orphans/thin-9.tar.zst
	mkdir -p "$dir/got/$name"
	tar --zstd -xpf "$archive" --numeric-owner --xattrs --xattrs-include='user.*' -C "$dir/got/$name" 2>/dev/null
	# The time of the late file is that of its own writing.
	tree "$dir/tree/$name/rootfs" | sed 's/^\(\.\/late [^ ]* [^ ]* [^ ]* [^ ]* \)[^ ]*/\1/' >"$dir/want.txt"
	tree "$dir/got/$name" | sed 's/^\(\.\/late [^ ]* [^ ]* [^ ]* [^ ]* \)[^ ]*/\1/' >"$dir/got.txt"
	check diff "$dir/want.txt" "$dir/got.txt"
done
check [ "$(grep -c . "$dir/want.txt")" -ge 8 ]

# Nothing of the evidence has changed, not even when it was read last, and nothing is left.
check [ -z "$(find "$root" -newerat 2001-01-02)" ]
evidence "$dir/after"
check cmp "$dir/before" "$dir/after"
no_loops "after a run"
check [ -z "$(find "$dir/state" -type f 2>/dev/null)" ]
check [ -z "$(find "$dir/out" -name '.*' ! -name out)" ]

# Once more: nothing is done again.
cp "$dir/out/web.tar.zst" "$dir/web.was"
ls -i "$dir/out/web.tar.zst" >"$dir/inode"
code 3 salvage --json
check [ "$(grep -c '"archived_before":true' "$dir/log")" -eq 4 ]
check [ "$(ls -i "$dir/out/web.tar.zst")" = "$(cat "$dir/inode")" ]

# Killed at some point, it goes on where it was.
tries=0
while :; do
	tries=$((tries + 1))
	[ $tries -le 20 ] || fail "it was never killed in the middle"
	rm -rf "$dir/out" "$dir/state"
	"$thinark" salvage --root "$root" --to "$dir/out" >"$dir/log" 2>&1 &
	pid=$!
	while [ -z "$(find "$dir/out" -name '*.json' 2>/dev/null)" ] && kill -0 $pid 2>/dev/null; do :; done
	kill -9 $pid 2>/dev/null
	wait $pid 2>/dev/null
	done_before=$(find "$dir/out" -name '*.json' ! -name '.*' | wc -l)
	[ "$done_before" -ge 1 ] && [ "$done_before" -lt 4 ] && break
done
no_loops "after kill -9"
code 3 salvage --json
check [ "$(grep -c '"archived_before":true' "$dir/log")" -eq "$done_before" ]
check [ "$(grep -c '"status":"archived"' "$dir/log")" -eq 4 ]
check cmp "$dir/web.was" "$dir/out/web.tar.zst"
check [ -z "$(find "$dir/state" -type f 2>/dev/null)" ]
check [ -z "$(find "$dir/out" -name '.*' ! -name out)" ]

# Selection: by name, glob, label; what is left out.
mv "$dir/out" "$dir/out.first"
code 0 salvage web
check [ "$(find "$dir/out" -name '*.json' | wc -l)" -eq 1 ]
code 0 salvage --dry-run --exclude 'g*' --exclude 'thin-*' --exclude label:tier=web --exclude "$(hash_of e)"
check [ "$(grep -c '^planned' "$dir/log")" -eq 2 ]
code 10 salvage nobody
code 0 "$thinark" salvage --metadata "$pool/metadata" --data "$pool/data" --to "$dir/byhand"
check [ "$(find "$dir/byhand/orphans" -name '*.json' | wc -l)" -eq 4 ]

# The pool on devices.
meta=$(losetup -r -f --show "$pool/metadata") && data=$(losetup -r -f --show "$pool/data") || fail "losetup"
code 0 "$thinark" salvage --root "$root" --metadata "$meta" --data "$data" --to "$dir/devices" old
losetup -d "$meta" "$data"
check cmp "$dir/out.first/old.tar.zst" "$dir/devices/old.tar.zst"

# Asked to stop it does, and leaves nothing half-done.
"$thinark" salvage --root "$root" --to "$dir/out.stopped" >"$dir/log" 2>&1 &
pid=$!
while [ -z "$(find "$dir/out.stopped" -name '.*.part-*' 2>/dev/null)" ] && kill -0 $pid 2>/dev/null; do :; done
kill -TERM $pid
wait $pid
got=$?
check [ $got -eq 130 ]
check [ -z "$(find "$dir/out.stopped" -name '.*' ! -name out.stopped)" ]
no_loops "after a signal"

# A journal that cannot be replayed: what is there without it, and said.
cp --sparse=always "$dir/web.img" "$dir/torn.img"
journal=$(debugfs -R 'bmap <8> 0' "$dir/torn.img" 2>/dev/null)
dd if=/dev/zero of="$dir/torn.img" bs=1024 seek="$journal" count=1 conv=notrunc 2>"$dir/null"
mkdir -p "$dir/torn"
check "$make_pool" "$dir/torn" 3 65536 252 1="$dir/torn.img" 2="$dir/old.img" >"$dir/null"
code 3 "$thinark" salvage --metadata "$dir/torn/metadata" --data "$dir/torn/data" --to "$dir/out.torn"
log_has '^damaged +orphan +thin-1 .*could not be replayed'
log_has '^archived +orphan +thin-2'
check jq -e '.complete == false and (.salvage.mount_mode | test("not replayed"))' "$dir/out.torn/orphans/thin-1.json" >"$dir/null"

# A block that is behind the end of the data: the file that lies there is named.
block=$(debugfs -R 'bmap /rootfs/data/random 100' "$dir/old.img" 2>/dev/null)
mkdir -p "$dir/short"
check "$make_pool" "$dir/short" 4 65536 0 1="$dir/old.img" >"$dir/null"
sed -i "s/\(origin_block=\"$((block / 64))\" data_block=\)\"[0-9]*\"/\1\"3999\"/" "$dir/short/pool.xml"
truncate -s 4M "$dir/short/metadata"
truncate -s $((3999 * 65536)) "$dir/short/data"
check thin_restore -q -i "$dir/short/pool.xml" -o "$dir/short/metadata" >"$dir/null"
code 3 "$thinark" salvage --metadata "$dir/short/metadata" --data "$dir/short/data" --to "$dir/out.short"
log_has '^damaged +orphan +thin-1 .*64.0 KiB of the device are lost'
log_has "'data/random': [0-9]+ bytes of its content are lost"
check jq -e '[.unreadable[].path] | index("data/random")' "$dir/out.short/orphans/thin-1.json" >"$dir/null"
check jq -e '.salvage | .lost_bytes == 65536 and .losses == 1' "$dir/out.short/orphans/thin-1.json" >"$dir/null"

# A disk with it: the folder is found below.
mkdir -p "$dir/disk/var/lib"
mv "$root" "$dir/disk/var/lib/docker"
code 0 "$thinark" salvage --root "$dir/disk" --to "$dir/out" -n old
log_has '^planned +container old'
mv "$dir/disk/var/lib/docker" "$root"

# Another pool's archive is not taken for this one's, and never replaced.
sed -i 's/"pool_transaction": 9/"pool_transaction": 8/' "$dir/out/web.json"
code 3 salvage web
log_has '^failed .*of something else'

# Too little room is said before, with numbers, and nothing half-done stays.
small() { # SIZE NAME...
	size=$1
	shift
	code 3 unshare -m sh -c "mkdir -p '$dir/small' && mount -t tmpfs -o size=$size none '$dir/small' &&
		'$thinark' salvage --root '$root' --to '$dir/small' $*
		code=\$?; find '$dir/small' -type f; exit \$code"
	check [ -z "$(grep "^$dir/small/" "$dir/log")" ]
}
small 400k web
log_has 'too little for the largest'
log_has '^failed +container web .*its copy needs [0-9.]+ .iB, and [0-9.]+ .iB are free'
small 600k web
log_has 'may be too little'
log_has '^failed +container web .*No space left on device'

# Metadata that is missing, none, or cut: named with the place, and whatever it is the exit code says so.
by_hand() { "$thinark" salvage --to "$dir/hand" --data "$pool/data" --metadata "$@"; }
code 3 by_hand "$dir/nowhere"
log_has "$dir/nowhere'?: No such file"
code 3 by_hand "$dir/web.img"
log_has "$dir/web.img.*"
head -c 20000 "$pool/metadata" >"$dir/cut"
code 3 by_hand "$dir/cut"
log_has "'$dir/cut': block [0-9]+ \(byte [0-9]+\)"
# The engine's records without their pool, and a pool without any record of the engine.
mv "$pool/data" "$dir/data"
code 3 salvage -n
log_has '^lost +container web .*--metadata and --data'
mv "$dir/data" "$pool/data"
mv "$root/containers" "$dir/containers"
rm -r "$dir/out"
code 3 salvage
log_has '^archived +orphan +thin-9'
check [ "$(find "$dir/out" -name '*.json' | wc -l)" -eq 1 ]
mv "$root/devicemapper/metadata" "$dir/records"
code 0 salvage
check [ "$(find "$dir/out" -name '*.json' | wc -l)" -eq 4 ]

# containerd: databases that a real one wrote, with the pool's files beside them. Thin 1 and 2 are layers of the image.
snapshotter=$dir/containerd/io.containerd.snapshotter.v1.devmapper
mkdir -p "$snapshotter" "$dir/containerd/io.containerd.metadata.v1.bolt"
golden=$1/tests/golden/containerd
gzip -dc "$golden/meta.db.gz" >"$dir/containerd/io.containerd.metadata.v1.bolt/meta.db"
for db in metadata devpool; do gzip -dc "$golden/$db.db.gz" >"$snapshotter/$db.db"; done
old=$dir/old.img
check "$make_pool" "$snapshotter" 2 65536 252 1="$old" 2="$old" 3="$old" 4="$old" 5="$old" 9="$old" >"$dir/null"
mv "$snapshotter/metadata" "$snapshotter/meta"
code 0 "$thinark" salvage --root "$dir/containerd" --to "$dir/out.c" --exclude 'thin-*'
check [ "$(cd "$dir/out.c" && echo *.tar.zst)" = 'guest.tar.zst prod_shop-0_app.tar.zst web.tar.zst' ]
code 0 "$thinark" salvage --root "$dir/containerd" --to "$dir/out.c" --json
check [ "$(grep -c '"archived_before":true' "$dir/log")" -eq 3 ]
check [ "$(grep '"kind":"orphan"' "$dir/log" | grep -c '"container":"thin-9"')" -eq 1 ]
check [ "$(grep -c '"type":"item"' "$dir/log")" -eq 4 ]

# Podman: records as Docker's, and a list of its own.
p=$dir/podman
mkdir -p "$p/devicemapper/devicemapper" "$p/devicemapper/metadata" "$p/devicemapper-containers"
check "$make_pool" "$p/devicemapper/devicemapper" 5 65536 252 3="$old" 8="$old" >"$dir/null"
printf '{"device_id":3,"size":8388608}' >"$p/devicemapper/metadata/$(hash_of d)"
printf '[{"id":"%s","names":["pod"],"layer":"%s","image":"x"}]' "$(hash_of a)" "$(hash_of d)" \
	>"$p/devicemapper-containers/containers.json"
code 0 "$thinark" salvage --root "$p" --to "$dir/out.p"
log_has '^archived +container pod +3 '
log_has '^archived +orphan +thin-8 +8 '

# What is asked for must make sense.
code 2 "$thinark" salvage --root "$root"
code 2 "$thinark" salvage --to "$dir/out"
code 2 "$thinark" salvage --root "$root" --data "$pool/data" --to "$dir/out"
code 2 "$thinark" salvage --root "$root" --to "$root/out"
code 2 "$thinark" salvage --root "$root" --store floppy --to "$dir/out"
code 2 "$thinark" --exclude web ps
code 10 "$thinark" salvage --root "$dir/tree" --to "$dir/out"
code 10 "$thinark" salvage --root "$dir/nowhere" --to "$dir/out"
check [ ! -e "$root/out" ]

echo "$count checks"
[ "$count" -ge 109 ] || exit 1
