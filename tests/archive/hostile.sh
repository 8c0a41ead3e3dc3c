#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Hostile archives: nothing outside of the target changes, whatever is in them.
. "$1/tests/archive/lib"
need_root

sentinel() {
	mkdir sentinel sentinel/sub
	echo untouched >sentinel/file
	chmod 640 sentinel/file
	chmod 750 sentinel
	setfattr -n user.mark -v mark sentinel/file
	ln -s file sentinel/own
	touch -d '2001-02-03 04:05:06' sentinel/file sentinel/sub sentinel
}
sentinel
mkdir archives
(cd archives && perl "$src/tests/archive/hostile.pl" "$top/sentinel") >count || fail "no archives"

# Also the change time: a mode that is set and set back shows there.
state() { "$tools/list-tree" sentinel; find sentinel . -maxdepth 1 -printf '%p %i %m %U %C@ %n\n' | grep sentinel; }
state >want
tried=0
restored=0
for a in archives/*.tar.zst; do
	name=$(basename "$a" .tar.zst)
	timeout 60 "$thinark" restore "$a" --to target >log 2>&1
	code=$?
	case $code in
	0 | 3 | 22) ;;
	*) cat log; fail "$name: exit $code" ;;
	esac
	state >got
	cmp -s want got || { diff want got; fail "$name changed the sentinel"; }
	[ ! -e newdir ] && [ ! -e new ] || fail "$name wrote beside the target"
	[ "$(stat -c %U . 2>/dev/null)" = "$(id -un)" ] || fail "$name changed the folder above"
	LC_ALL=C grep -q "$(printf '[\033\a]')" log && fail "$name: control characters in the output"
	[ -e target/after ] && restored=$((restored + 1))
	find target -name '.thinark-*' -size -2 ! -name '.thinark-0000000000000000' | grep -q . && fail "$name leaves a part"
	tried=$((tried + 1))
	rm -rf target
	# The other commands read it too.
	timeout 60 "$thinark" ls "$a" >log 2>&1
	case $? in 0 | 22) ;; *) cat log; fail "$name: ls: exit $?" ;; esac
	LC_ALL=C grep -q "$(printf '[\033\a]')" log && fail "$name: ls: control characters"
	timeout 60 "$thinark" -q verify "$a" >log 2>&1
	case $? in 0 | 22) ;; *) cat log; fail "$name: verify: exit $?" ;; esac
done

# What is odd but harmless is restored.
check() { "$thinark" -q restore "archives/$1.tar.zst" --to t 2>/dev/null; eval "$2" || fail "$1"; rm -rf t; }
check twice-file '[ "$(cat t/f)" = second ]'
check twice-dir '[ "$(stat -c %a t/d)" = 755 ] && [ -e t/d/f ]'
check setuid '[ "$(stat -c %a t/su)" = 4755 ]'
check name-newline '[ -e "t/a
b" ]'
check deep '[ -e t/after ]'
check devices '[ -b t/sda ]'
"$thinark" -q restore archives/devices.tar.zst --to t --no-devices || fail "--no-devices"
[ ! -e t/sda ] && [ -e t/after ] || fail "--no-devices"
echo x >t/x
"$thinark" -q restore archives/devices.tar.zst --to t 2>/dev/null
[ $? -eq 2 ] || fail "a folder that is not empty is taken"
ln -s sentinel link
"$thinark" -q restore archives/setuid.tar.zst --to link 2>/dev/null && fail "a symlink is taken as target"
state >got
cmp -s want got || fail "the sentinel changed"

# The attacks are real: a tar that is told to trust them falls for many.
fooled=0
for a in archives/*.tar.zst; do
	rm -rf sentinel t link
	sentinel
	state >want
	mkdir t
	timeout 60 bsdtar -xPf "$a" -C t >log 2>&1
	state >got
	cmp -s want got || fooled=$((fooled + 1))
done
echo "$tried hostile archives, $restored with the rest restored, 0 changes outside; bsdtar -P: $fooled changes"
[ "$fooled" -ge 40 ] || fail "the archives are too harmless"
[ "$tried" -eq "$(cat count)" ] && [ "$tried" -ge 100 ] && [ "$restored" -ge 70 ] || fail "too few"
