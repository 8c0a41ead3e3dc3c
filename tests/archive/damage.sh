#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Damaged archives: verify finds every one, and restore brings back all that is not in a damaged frame.
. "$1/tests/archive/lib"

mkdir tree
i=0
while [ $i -lt 60 ]; do
	mkdir -p tree/d$i
	# Long enough for many frames, and packed small enough to be verified a thousand times.
	seq ${i}0000 ${i}0999 >tree/d$i/text
	head -c 20000 /dev/urandom >part
	for n in 1 2 3 4 5 6; do cat part part part part part; done >tree/d$i/repeated
	i=$((i + 1))
done
"$tools/pack-tree" tree a || fail "archive"
"$thinark" -q verify a.tar.zst || fail "a good archive is called damaged"
"$thinark" -q verify --deep a.tar.zst || fail "a good archive is called damaged (deep)"

damage() { perl "$src/tests/archive/damage.pl" "$thinark" a "$@" || fail "$1"; }
damage flips 1000 1
damage truncations 100 2
damage swaps 50 3
damage edits 50 4
damage deep 100 5

# A restore of a damaged archive: exit 3, and everything but what lies in the damaged frame.
tried=0
lost=0
size=$(stat -c %s a.tar.zst)
for percent in 3 15 31 47 62 77 88; do
	cp a.tar.zst b.tar.zst
	cp a.json b.json
	printf 'XXXX' | dd of=b.tar.zst bs=1 seek=$((size * percent / 100)) conv=notrunc status=none
	"$thinark" -q restore b.tar.zst --to out 2>log
	[ $? -eq 3 ] || fail "restore at $percent %: not exit 3"
	missing=0
	for f in tree/*/*; do
		o=out/${f#tree/}
		if [ -e "$o" ]; then
			cmp -s "$f" "$o" || fail "$o differs"
		else
			missing=$((missing + 1))
			grep -q "${f#tree/}: " log || fail "$f is lost and not named"
		fi
	done
	[ -z "$(find out -name '.thinark-*')" ] || fail "an unfinished file is left"
	[ $missing -ge 1 ] && [ $missing -le 20 ] || fail "$missing files lost by one damaged frame"
	"$thinark" -q verify --deep b.tar.zst >out.verify 2>&1 && fail "verify"
	tried=$((tried + 1))
	lost=$((lost + missing))
	rm -rf out
done
# Without its seek table it is all still there.
head -c $((size - 20)) a.tar.zst >b.tar.zst
"$thinark" -q restore b.tar.zst --to out 2>log
diff -r tree out >/dev/null || fail "the seek table's loss loses files"
rm -rf out
# Cut in the middle: all before the cut.
head -c $((size / 2)) a.tar.zst >b.tar.zst
"$thinark" -q restore b.tar.zst --to out 2>log
[ $? -eq 3 ] || fail "restore of half an archive: not exit 3"
n=0
for o in out/*/*; do
	cmp -s "tree/${o#out/}" "$o" || fail "$o differs"
	n=$((n + 1))
done
[ $n -ge 50 ] || fail "half an archive gave $n files"
echo "$tried damaged archives restored, $lost files lost in them; $n files of half an archive"
[ $tried -ge 7 ] || fail "too few"
