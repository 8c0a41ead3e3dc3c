#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Nasty trees restored by this program, by GNU tar and by bsdtar: all must bring everything back.
. "$1/tests/archive/lib"
need_root
# GNU tar writes no hard links between devices, fifos and symlinks.
loose() { awk '$2 !~ /^(10....|4....)$/ { $5 = ""; sub(/ same-as .*/, "") } { print }' "$1"; }
plain() {
	loose "$1" | awk '$2 ~ /^10....$/ { if ($5 == 1) print $1, $2, $3, $6, $7; next }
		$2 ~ /^4....$/ { print $1, $2, $3; next }
		{ print $1, $2, $3, $5, $6 }' | sed 's/ [a-z]*\.[^ ]*=.*//'
}
list() { "$tools/list-tree" "$@"; }

entries=0
for seed in 1 2; do
	mkdir tree
	"$tools/nasty-tree" tree $seed || fail "no tree"
	"$tools/pack-tree" tree a || fail "seed $seed: archive"
	list tree >want
	n=$(wc -l <want)
	entries=$((entries + n))
	"$thinark" -q verify --deep a.tar.zst || fail "seed $seed: verify"
	zstd -tq a.tar.zst || fail "seed $seed: zstd"

	"$thinark" -q restore a.tar.zst --to ours || fail "seed $seed: restore: $?"
	list ours >got
	same want got
	list tree blocks 2>blocks.want
	list ours blocks 2>blocks.got
	# Sparse files with longer names that are no UTF-8 come back without holes (pack.c).
	[ "$(cat blocks.got)" -le $(($(cat blocks.want) * 11 / 10 + 2000)) ] ||
		fail "holes were filled: $(cat blocks.got) blocks of $(cat blocks.want)"

	# Neither extracts a path that is longer than PATH_MAX.
	list tree without deep >want
	mkdir gnu
	tar --warning=no-timestamp --warning=no-unknown-keyword --zstd --xattrs --xattrs-include='*' --acls --numeric-owner \
		--exclude=deep -xpf a.tar.zst -C gnu ||
		fail "seed $seed: GNU tar"
	list gnu without deep >got
	same want got

	# It keeps the time of a root that exists, and counts fractions of negative times upwards.
	list tree without deep no-root no-fraction >want
	mkdir bsd
	bsdtar --numeric-owner --acls --xattrs --exclude='deep/*' -xpf a.tar.zst -C bsd || fail "seed $seed: bsdtar"
	list bsd without deep no-root no-fraction >got
	# The seconds of such times differ by one there: compare them without.  And it takes the
	# spelling of '=' and '%' in the names of attributes for the names.
	sed -E 's/ -[0-9]+\.0+ / - /' want >want.b
	sed -E 's/ -[0-9]+\.0+ / - /; s/a%3Db%25c%253D/a=b%c%3D/g' got >got.b
	same want.b got.b
	rm -rf tree ours gnu bsd
done

# The other way round: what other tars write is restored too.
mkdir tree
"$tools/nasty-tree" tree 4 >/dev/null
rm -rf tree/deep tree/large tree/all-hole tree/sock
list tree >want
for format in gnu posix; do
	tar --format=$format -S --xattrs --xattrs-include='*' --acls --numeric-owner -C tree -cf - . 2>/dev/null |
		zstd -q -o $format.tar.zst
	"$thinark" -q restore $format.tar.zst --to out || fail "GNU tar's $format: $?"
	if [ $format = gnu ]; then
		# It has no fractions of a second and no attributes.
		plain want >want.g
		list out >got
		plain got >got.g
		same want.g got.g
	else
		loose want >want.l
		list out >got
		loose got >got.l
		same want.l got.l
	fi
	"$thinark" -q verify $format.tar.zst >/dev/null || fail "verify of GNU tar's $format"
	rm -rf out
done
for map in 0.0 0.1 1.0; do
	tar --format=posix --sparse-version=$map -S --xattrs --xattrs-include='*' --acls --numeric-owner -C tree \
		-cf - . 2>/dev/null | zstd -q -o sparse.tar.zst
	"$thinark" -q restore sparse.tar.zst --to out || fail "sparse $map"
	list out >got
	loose got >got.l
	same want.l got.l
	rm -rf out sparse.tar.zst
done
# It cuts long names of sparse files, so only a folder of others.
bsdtar --format=pax --numeric-owner --acls --xattrs --zstd -C tree/wide -cf bsd.tar.zst . || fail "bsdtar -c"
"$thinark" -q restore bsd.tar.zst --to out || fail "bsdtar's"
list tree/wide no-fraction | sed -E 's/ -[0-9]+\.0+ / - /' >want.b
list out no-fraction | sed -E 's/ -[0-9]+\.0+ / - /' >got
same want.b got

echo "$entries entries restored by three programs"
[ "$entries" -ge 8000 ] || fail "too few"
