#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Damaged pools and state folders, each by its number (salvage_damage.sh SRC BUILD [FIRST [LAST]]): no crash, no hang,
# whatever is not touched is archived as ever, nothing is called whole that is not, and what is damaged is named.
set -u
thinark=$2/thinark
tools=$2/tests
first=${3:-1}
last=${4:-520}
[ "$(id -u)" = 0 ] || { echo "salvage mounts copies: run as root"; exit 1; }
dir=$(mktemp -d /var/tmp/thinark-damage-XXXXXX) || exit 1
trap '[ -n "${KEEP:-}" ] || rm -rf "$dir"' EXIT
export THINARK_STATE_DIR="$dir/state"
bad=0

complain() {
	echo "number $i ($kind $target $file $byte): $*"
	bad=$((bad + 1))
}

# Three containers, and trees of nodes with at most three entries.
root=$dir/pristine
pool=$root/devicemapper/devicemapper
mkdir -p "$pool" "$root/devicemapper/metadata"
images=''
for c in web:a:4 db:b:6 old:c:7; do
	name=${c%%:*} rest=${c#*:}
	hex=${rest%:*} thin=${rest#*:}
	id=$(printf "$hex%.0s" $(seq 64))
	mkdir -p "$dir/tree/$name/rootfs/data" "$root/containers/$id" "$root/image/devicemapper/layerdb/mounts/$id"
	seq 1 20000 | sed "s/^/$name /" >"$dir/tree/$name/rootfs/data/lines"
	for n in $(seq 40); do echo "$name $n" >"$dir/tree/$name/rootfs/$n"; done
	echo x >"$dir/tree/$name/id"
	mke2fs -q -t ext4 -F -d "$dir/tree/$name" "$dir/$name.img" 8M >"$dir/null" || exit 1
	images="$images $thin=$dir/$name.img"
	printf '{"ID":"%s","Driver":"devicemapper","Name":"/%s"}' "$id" "$name" >"$root/containers/$id/config.v2.json"
	echo '{}' >"$root/containers/$id/hostconfig.json"
	printf %s "$id" >"$root/image/devicemapper/layerdb/mounts/$id/mount-id"
	printf '{"device_id":%d,"size":8388608,"transaction_id":1,"initialized":false,"deleted":false}' "$thin" \
		>"$root/devicemapper/metadata/$id"
done
# shellcheck disable=SC2086 # words
"$tools/make-pool" "$pool" 1 65536 3 $images >"$dir/null" || exit 1
rm "$pool/pool.xml"
"$thinark" salvage -q --root "$root" --to "$dir/whole" >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
sum_of() { sha256sum <"$1" | cut -c 1-64; }
for c in 4:web 6:db 7:old; do sum_of "$dir/whole/${c#*:}.tar.zst" >"$dir/sum.${c%:*}"; done

archived=0 damaged=0 lost=0 named=0 slowest=0 largest=0
i=$first
while [ "$i" -le "$last" ]; do
	rm -rf "$dir/root" "$dir/root.gone" "$dir/out"
	cp -a --sparse=always "$root" "$dir/root"
	read -r kind target file byte <<-END
		$("$tools/damage-pool" "$dir/root" "$i" web:a:4 db:b:6 old:c:7)
	END
	[ -n "$kind" ] || { complain "was not damaged"; break; }

	# Reading the metadata alone, by the clock and by its memory.
	"$tools/measure" 10 "$thinark" salvage -n --root "$dir/root" --to "$dir/out" >"$dir/dry" 2>&1
	read -r code ms kib <<-END
		$(tail -n 1 "$dir/dry")
	END
	[ "$code" -le 20 ] || complain "dry run: exit code $code"
	[ "$ms" -le 2000 ] || complain "dry run: $ms ms"
	[ "$kib" -le 131072 ] || complain "dry run: $kib KiB"
	[ "$ms" -gt "$slowest" ] && slowest=$ms
	[ "$kib" -gt "$largest" ] && largest=$kib

	"$tools/measure" 60 "$thinark" salvage --json --root "$dir/root" --to "$dir/out" >"$dir/log" 2>&1
	read -r code ms kib <<-END
		$(tail -n 1 "$dir/log")
	END
	case $code in
	0 | 3 | 10) ;;
	*) complain "exit code $code" ;;
	esac
	grep '^{' "$dir/log" >"$dir/json"
	jq -r 'select(.type == "item") | [.status, .container, .thin_id, .archive] | @tsv' "$dir/json" >"$dir/items" ||
		complain "its JSON is none"
	whole=''
	while read -r status name thin archive; do
		case $status in
		archived)
			archived=$((archived + 1))
			# What says that it is something else is taken for it.
			case $kind:$target in
			header-field:pool | any-key:pool | any-value:pool | superblock-field:*) ;;
			header-field:"$name" | any-key:"$name" | any-value:"$name" | flip-data:"$name") ;;
			*)
				[ "$(sum_of "$dir/out/$archive.tar.zst")" = "$(cat "$dir/sum.$thin")" ] ||
					complain "$name is archived, and is not what it was"
				;;
			esac
			whole="$whole $name"
			;;
		damaged) damaged=$((damaged + 1)) ;;
		lost) lost=$((lost + 1)) ;;
		*) complain "$name: $status" ;;
		esac
	done <"$dir/items"
	if [ "$target" != pool ] || [ "$code" -eq 0 ]; then
		for name in web db old; do
			[ "$name" = "$target" ] && [ "$code" -ne 0 ] && continue
			case " $whole " in
			*" $name "*) ;;
			*) # Its name may be what was damaged.
				[ "$name" = "$target" ] && [ "$(echo "$whole" | wc -w)" -ge 3 ] ||
					complain "$name is not archived: $whole"
				;;
			esac
		done
	fi
	# Where something is wrong, a message names the place.
	if [ "$code" -ne 0 ]; then
		case $byte in
		-) # What is wrong inside a file system, its checker tells.
			grep -q "$dir/root" "$dir/json" || grep -q 'e2fsck -fn' "$dir/log" || complain "no file is named" ;;
		*) grep -q "byte $byte)" "$dir/json" && grep -q "$file" "$dir/json" || complain "the block is not named" ;;
		esac
		named=$((named + 1))
	fi
	i=$((i + 1))
done
total=$((last - first + 1))
echo "$total damaged pools and folders: $archived archived, $damaged damaged, $lost lost; $named named; $bad complaints"
echo "reading the metadata: at most $slowest ms, $largest KiB"
[ "$bad" -eq 0 ] || exit 1
# Called with a range it is a search, else a test.
[ $# -gt 2 ] || { [ "$total" -ge 500 ] && [ "$archived" -ge 900 ] && [ "$named" -ge 250 ]; }
