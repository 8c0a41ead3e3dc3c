#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ls, cat, restore and verify as a user meets them: by path, by name, as CONTAINER/latest, in part, as JSON.
. "$1/tests/archive/lib"
checks=0
# expect CODE COMMAND...: its exit code; output in log
expect() {
	want=$1
	shift
	"$@" >log 2>&1
	got=$?
	[ $got -eq "$want" ] || { cat log; fail "$*: exit $got, not $want"; }
	checks=$((checks + 1))
}
has() { grep -q -- "$1" log || { cat log; fail "no '$1' in the output"; }; checks=$((checks + 1)); }

mkdir -p tree/a/b tree/c
echo one >tree/a/b/file
ln tree/a/b/file tree/c/link
ln -s b tree/a/sym
truncate -s 300000 tree/hole
printf end >>tree/hole
seq 100000 >tree/numbers
chmod 750 tree/a
mkdir dest
"$tools/pack-tree" tree dest/old || fail archive
echo newer >tree/newer
"$tools/pack-tree" tree dest/new || fail archive
# The time of a snapshot is what makes one the newest; the seal is made anew.
sed -i 's/2026-01-01/2026-02-01/' dest/new.json
sum=$(head -c -$(($(printf ',\n  "manifest_sha256": "' | wc -c) + 64 + 4)) dest/new.json | sha256sum | cut -d' ' -f1)
sed -i "s/\"manifest_sha256\": \".*\"/\"manifest_sha256\": \"$sum\"/" dest/new.json
cat >conf.yaml <<EOF
stores:
  - name: d
    type: docker
destinations:
  - name: main
    type: directory
    path: $top/dest
jobs:
  - name: all
    stores: [d]
    destination: main
EOF
t="$thinark -c conf.yaml"

expect 0 $t verify dest/new.tar.zst new old tree/latest
has '^new: good'
expect 0 $t --json verify new
has '"status":"good"'
expect 0 $t ls tree/latest newer
has newer
expect 10 $t ls old newer
expect 10 $t ls none
expect 10 $t ls none/latest
expect 0 $t ls --json new a/b/file c/link
has '"path":"a/b/file","kind":"file","mode":"0644"'
has '"kind":"hardlink"'
has "\"sha256\":\"$(sha256sum tree/a/b/file | cut -d' ' -f1)\""
perl -ne 'exit 1 unless /^\{"v":1,.*\}$/' log || fail "lines that are no JSON objects"

for f in a/b/file c/link hole numbers; do
	$t cat new $f | cmp - tree/$f || fail "cat $f"
	$t cat new /$f | cmp - tree/$f || fail "cat /$f"
	checks=$((checks + 2))
done
expect 10 $t cat new nothing
expect 2 $t cat new a
expect 2 $t cat new ../x
expect 2 $t cat new
expect 2 $t restore new
expect 0 $t cat dest/new.tar.zst newer
# No configuration is needed for a file, and one byte before the end of a name is not it.
expect 0 "$thinark" -c /nonexistent cat dest/new.tar.zst newer
expect 10 $t cat ne newer

expect 0 $t restore new --to all
diff -r tree all || fail "restore"
[ "$(stat -c %a all/a)" = 750 ] || fail "the mode of a folder"
[ "$(stat -c %i all/a/b/file)" = "$(stat -c %i all/c/link)" ] || fail "a hard link"
expect 2 $t restore new --to all
has 'not empty'
# In part: the folders above come with their modes, a link whose first name is left out with its content.
expect 0 $t restore new c/link a/sym --to part
[ "$(cd part && find . | sort | tr '\n' ' ')" = '. ./a ./a/sym ./c ./c/link ' ] || fail "$(find part)"
cmp part/c/link tree/c/link || fail "a link without its first name"
[ "$(stat -c %a part/a)" = 750 ] || fail "the mode of a folder above"
expect 3 $t restore new a/b none --to part2
has 'none: not in the archive'
[ -e part2/a/b/file ] || fail "what is there was not restored"
expect 10 $t restore new none --to part3
expect 0 $t --json restore new --to part4
has '"type":"summary".*"status":"good"'

# Without the manifest, with another's, with one that is no JSON: damaged, and each says why.
mv dest/new.json keep
expect 22 $t verify dest/new.tar.zst
has 'no manifest'
cp dest/old.json dest/new.json
expect 22 $t verify new
has 'SHA-256 of the file'
echo '{' >dest/new.json
expect 22 $t verify new old
has '^old: good'
has 'new.json\|new: '
mv keep dest/new.json
expect 0 $t verify --deep new
# Other tools see a plain archive.
zstd -dcq dest/new.tar.zst | tar -tf - >list || fail "zstd and tar"
[ "$(wc -l <list)" -eq 10 ] || fail "$(cat list)"
bsdtar -tf dest/new.tar.zst | cmp - list || fail "bsdtar"
echo "$checks checks"
[ $checks -ge 45 ] || fail "too few"
