#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# limit: 1700
#
# Damaged ext4 and xfs below a pool: the machine lives, and no container is called archived of which a file is missing.
# BATCHES=8 is the long form: 200 of them.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

tools=$THINARK_BUILD/tests
batch=25 batches=${BATCHES:-2}
mkdir -p /srv/tree/rootfs /srv/pool $work/mnt
(
	cd /srv/tree && echo x >id && cd rootfs || exit 1
	for n in $(seq 12); do
		mkdir "d$n"
		for k in $(seq 30); do echo "$n $k" >"d$n/file-$k"; done
	done
	mkdir wide && cd wide
	for n in $(seq 300); do : >"a-name-that-takes-some-room-in-its-folder-$n"; done
	setfattr -n user.note -v "$(head -c 300 /dev/zero | tr '\0' v)" "a-name-that-takes-some-room-in-its-folder-1"
	head -c 200000 /dev/zero | tr '\0' d >../data
	ln ../data ../hard
)
# With and without checksums, since damage that they do not give away reads as if it were so.
mke2fs -q -t ext4 -F -d /srv/tree $work/ext4.img 4M >/dev/null &&
	mke2fs -q -t ext4 -O ^metadata_csum -F -d /srv/tree $work/ext4-plain.img 4M >/dev/null || give_up "mke2fs"
truncate -s 320M $work/xfs.img && mkfs.xfs -q $work/xfs.img && mount -o loop $work/xfs.img $work/mnt &&
	cp -a /srv/tree/. $work/mnt && umount $work/mnt || give_up "mkfs.xfs"
list() { "$THINARK" ls --json "$1" | jq -r '[.path, .kind // .type, .size // 0] | @tsv' | sort; }

pool() { # ID=IMAGE...
	"$tools/make-pool" /srv/pool 7 65536 252 "$@" >$work/made || give_up "make-pool"
	rm -rf /srv/out
}
salvage() { THINARK_LIMIT=900 thinark --json salvage --metadata /srv/pool/metadata --data /srv/pool/data --to /srv/out; }

pool 1=$work/ext4.img 2=$work/ext4-plain.img 3=$work/xfs.img
salvage
is "sound ones: exit code" $code 0
for thin in 1 2 3; do list /srv/out/orphans/thin-$thin.tar.zst >$work/whole.$thin; done
at_least "entries of a sound one" "$(wc -l <$work/whole.1)" 670
same "the same on xfs" $work/whole.1 $work/whole.3

tried=0 good=0 lies=0 wrong=0 told=0
for b in $(seq $batches); do
	set --
	rm -f $work/bad.*
	for thin in $(seq $batch); do
		case $((thin % 4)) in
		0) kind=ext4-plain ;;
		1) kind=ext4 ;;
		*) kind=xfs ;;
		esac
		cp --sparse=always $work/$kind.img $work/bad.$thin
		"$tools/damage-fs" $work/bad.$thin $((b * 1000 + thin)) >$work/how.$thin || give_up "damage-fs"
		set -- "$@" $thin=$work/bad.$thin
	done
	pool "$@"
	salvage
	case $code in 0 | 3) ;; *) wrong=$((wrong + 1)); tail -n 5 $work/stderr ;; esac
	missing=0
	jq -r 'select(.type == "item") | "\(.thin_id) \(.status)"' $work/stdout | sort -n >$work/statuses
	while read -r thin status; do
		tried=$((tried + 1))
		case $status in
		archived)
			good=$((good + 1))
			list /srv/out/orphans/thin-$thin.tar.zst >$work/got
			cut -f 1 $work/whole.1 >$work/names
			if cut -f 1 $work/got | comm -23 $work/names - | grep -q .; then
				lies=$((lies + 1))
				echo "# batch $b, thin $thin: $(cat $work/how.$thin): archived, and misses" \
					"$(cut -f 1 $work/got | comm -23 $work/names - | head -n 3 | tr '\n' ' ')"
			fi
			;;
		damaged | lost) told=$((told + 1)) missing=1 ;;
		*) wrong=$((wrong + 1)); echo "# batch $b, thin $thin: '$status'" ;;
		esac
	done <$work/statuses
	[ $code -ne 0 ] || [ $missing -eq 0 ] || lies=$((lies + 1))
	echo "# $tried tried, $good whole, $told damaged or lost"
done
at_least "damaged file systems" $tried $((batch * batches))
[ "$batches" -lt 8 ] || at_least "of them 200" $tried 200
is "called archived, with something missing" $lies 0
is "neither archived, damaged nor lost" $wrong 0
at_least "told as damaged or lost" $told $((tried / 4))
at_least "not touched where it mattered" $good $((tried / 10))
is "nothing is mounted" "$(grep -c /run/thinark /proc/mounts)" 0
ok "the machine is alive"
finish
