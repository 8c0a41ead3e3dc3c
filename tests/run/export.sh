#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A thin device out of the files of a pool: against an image put together from the XML's mappings.
set -u
thinark=$2/thinark
dir=$(mktemp -d /var/tmp/thinark-export-XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT
. "$(dirname "$0")/lib/check.sh"

# A docker data root with loop files: device 4 belongs to container 'web'.
pool=$dir/root/devicemapper/devicemapper
id=$(printf 'a%.0s' $(seq 64))
mkdir -p "$pool" "$dir/root/containers/$id" "$dir/root/image/devicemapper/layerdb/mounts/$id" \
	"$dir/root/devicemapper/metadata"
printf '{"ID":"%s","Driver":"devicemapper","Name":"/web","State":{"Running":false}}' "$id" \
	>"$dir/root/containers/$id/config.v2.json"
echo '{}' >"$dir/root/containers/$id/hostconfig.json"
printf %s "$id" >"$dir/root/image/devicemapper/layerdb/mounts/$id/mount-id"
printf '{"device_id":4,"size":20480000,"transaction_id":9,"initialized":false}' \
	>"$dir/root/devicemapper/metadata/$id"
printf 'stores: [{name: d, type: docker, root: %s}]\n' "$dir/root" >"$dir/c.yaml"
printf 'destinations: [{name: out, type: directory, path: %s}]\n' "$dir" >>"$dir/c.yaml"
printf 'jobs: [{name: all, stores: [d], destination: out}]\n' >>"$dir/c.yaml"
chmod 600 "$dir/c.yaml"

# 200 blocks of 64 KiB, each unlike the others; virtual block 7 * i is data block 3 * i + i % 5.
head -c 13107200 /dev/urandom >"$pool/data"
{
	echo '<superblock uuid="" time="3" transaction="9" data_block_size="128" nr_data_blocks="200">'
	echo '<device dev_id="3" mapped_blocks="0" transaction="0" creation_time="0" snap_time="0"/>'
	echo '<device dev_id="4" mapped_blocks="40" transaction="0" creation_time="0" snap_time="0">'
	i=0
	while [ $i -lt 40 ]; do
		echo "<single_mapping origin_block=\"$((7 * i))\" data_block=\"$((3 * i + i % 5))\" time=\"1\"/>"
		dd if="$pool/data" of="$dir/want" bs=65536 skip=$((3 * i + i % 5)) seek=$((7 * i)) count=1 \
			conv=notrunc 2>/dev/null
		i=$((i + 1))
	done
	echo '</device>'
	# A snapshot of it that has 15 of its blocks still.
	echo '<device dev_id="6" mapped_blocks="15" transaction="0" creation_time="1" snap_time="1">'
	i=0
	while [ $i -lt 15 ]; do
		echo "<single_mapping origin_block=\"$((7 * i))\" data_block=\"$((3 * i + i % 5))\" time=\"1\"/>"
		i=$((i + 1))
	done
	echo '</device></superblock>'
} >"$dir/x.xml"
truncate -s 4M "$pool/metadata"
check thin_restore -q -i "$dir/x.xml" -o "$pool/metadata" >/dev/null

by_hand() { "$thinark" export --metadata "$pool/metadata" --data "$pool/data" "$@"; }

code 0 by_hand --thin-id 4 --to "$dir/a"
check grep -q 'good: thin device 4, 17.1 MiB, 2.5 MiB mapped, 0 ranges lost' "$dir/log"
check cmp "$dir/want" "$dir/a"
check [ "$(du -k "$dir/a" | cut -f1)" -le 3072 ]
check [ "$(stat -c %a "$dir/a")" = 600 ]
code 3 by_hand --thin-id 4 --to "$dir/a"
check grep -q 'File exists' "$dir/log"
code 0 by_hand --json --thin-id 4 --size 30000000 --to "$dir/b"
check grep -q '"status":"good","thin_id":4,"size_bytes":30000000,"mapped_bytes":2621440,"lost_bytes":0,"losses":0}' "$dir/log"
truncate -s 30000000 "$dir/want"
check cmp "$dir/want" "$dir/b"
code 0 by_hand --thin-id 3 --to "$dir/empty"
check [ "$(stat -c %s "$dir/empty")" -eq 0 ]
code 20 by_hand --thin-id 5 --to "$dir/none"
check grep -q "'$pool/metadata': there is no thin device 5" "$dir/log"
check [ ! -e "$dir/none" ]
for wrong in '' -1 4x 16777216; do
	code 2 by_hand --thin-id "$wrong" --to "$dir/none"
done
code 2 by_hand --to "$dir/none"
code 2 by_hand --thin-id 4
code 2 by_hand --thin-id 4 --to "$dir/none" web
code 2 "$thinark" --thin-id 4 ps

# What the store knows: id, size and files.
code 0 "$thinark" -c "$dir/c.yaml" export web --to "$dir/web"
truncate -s 20480000 "$dir/want"
check cmp "$dir/want" "$dir/web"
code 10 "$thinark" -c "$dir/c.yaml" export db --to "$dir/none"

# What it takes of the pool; without --usage only its own record is read.
code 0 "$thinark" -c "$dir/c.yaml" --json ps --usage
check grep -q '"mapped_bytes":2621440,"exclusive_bytes":1638400,"shared_bytes":983040' "$dir/log"
code 0 "$thinark" -c "$dir/c.yaml" --json ps
check grep -q '"mapped_bytes":2621440,"exclusive_bytes":null,"shared_bytes":null' "$dir/log"
code 0 "$thinark" -c "$dir/c.yaml" ps --usage
check grep -q '^NAME .* MAPPED  EXCLUSIVE     SHARED$' "$dir/log"
check grep -q '^web .* 2.5 MiB    1.6 MiB  960.0 KiB$' "$dir/log"
code 2 "$thinark" -c "$dir/c.yaml" archives --usage

# The last leaf's first key is another now: its checksum tells, and the rest of the pool is there.
cp "$pool/metadata" "$dir/bad"
for block in $(seq 1 1023); do
	salt=$(od -An -tu4 -j $((block * 4096 + 4)) -N 4 "$dir/bad" | tr -d ' ')
	[ "$salt" = 2 ] && [ "$(od -An -tu4 -j $((block * 4096 + 16)) -N 4 "$dir/bad" | tr -d ' ')" = 40 ] &&
		printf '\377' | dd of="$dir/bad" bs=1 seek=$((block * 4096 + 32)) conv=notrunc 2>/dev/null
done
code 3 "$thinark" export --metadata "$dir/bad" --data "$pool/data" --thin-id 4 --size 1000000 --to "$dir/lost"
check grep -q 'checksum does not match' "$dir/log"
check grep -q '1000000 bytes at 0 are lost' "$dir/log"
check cmp -n 1000000 /dev/zero "$dir/lost"
head -c 6000000 "$pool/data" >"$dir/short"
code 3 "$thinark" export --metadata "$pool/metadata" --data "$dir/short" --thin-id 4 --to "$dir/part"
check grep -q 'byte [6-9][0-9]* is behind its end' "$dir/log"
code 0 by_hand --thin-id 3 --to "$dir/still"
mv "$pool/metadata" "$dir/sound"
cp "$dir/bad" "$pool/metadata"
code 3 "$thinark" -c "$dir/c.yaml" --json ps --usage
check grep -q '"mapped_bytes":null,"exclusive_bytes":null,"shared_bytes":null' "$dir/log"
check grep -q 'damaged metadata: how much is shared is unknown' "$dir/log"
truncate -s 4096 "$pool/metadata"
code 3 "$thinark" -c "$dir/c.yaml" ps --usage
mv "$dir/sound" "$pool/metadata"
check [ -z "$(find "$dir" -name '.*part*')" ]

echo "$count checks"
[ "$count" -ge 47 ] || exit 1
