#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Folders archived as containers by the program itself: as root, and as somebody without any rights on the host.
set -u
thinark=$2/thinark
dir=$(mktemp -d /var/tmp/thinark-tree-XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
. "$(dirname "$0")/lib/check.sh"

# as USER COMMAND...: with a home that holds the lock
as() {
	user=$1
	shift
	if [ "$(id -u)" -ne 0 ] || [ "$user" = 0 ]; then
		HOME=$dir/home env -u XDG_RUNTIME_DIR "$@"
	else
		HOME=$dir/home setpriv --reuid "$user" --regid "$user" --clear-groups env -u XDG_RUNTIME_DIR "$@"
	fi
}

mkdir "$dir/home" "$dir/one" "$dir/one/sub" "$dir/two" "$dir/out"
echo hello >"$dir/one/file"
ln "$dir/one/file" "$dir/one/sub/link"
ln -s ../file "$dir/one/sub/sym"
echo other >"$dir/two/file"
cat >"$dir/c.yaml" <<END
stores:
  - name: folders
    type: tree
    trees: [{name: one, path: $dir/one}, {name: two, path: $dir/two}, {name: none, path: $dir/none}]
destinations: [{name: out, type: directory, path: $dir/out}]
jobs:
  - {name: good, stores: [folders], exclude_containers: [none], destination: out}
  - {name: all, stores: [folders], destination: out, archive_name_format: "all/{container}-{time}"}
END
chmod 644 "$dir/c.yaml"
[ "$(id -u)" -ne 0 ] || chown -R 65534:65534 "$dir/home" "$dir/one" "$dir/two" "$dir/out"

code 3 as 65534 "$thinark" -c "$dir/c.yaml" ps
check grep -q '^one  *-  *-  *-  *folders  *-  *-  *-$' "$dir/log"
check grep -q "none: $dir/none: No such file" "$dir/log"
code 0 as 65534 "$thinark" -c "$dir/c.yaml" check
check grep -q '3 containers, 1 that cannot be archived' "$dir/log"
code 0 as 65534 "$thinark" -c "$dir/c.yaml" -n run good
check grep -q "good: one: $dir/one -> $dir/out/one/" "$dir/log"
check [ -z "$(ls "$dir/out")" ]
code 0 as 65534 "$thinark" -c "$dir/c.yaml" run good
check grep -q '2 of 2 containers archived, 0 incomplete, 0 failed' "$dir/log"
code 0 as 65534 "$thinark" -c "$dir/c.yaml" archives

mkdir "$dir/x"
check tar --zstd -xpf "$dir"/out/one/*.tar.zst -C "$dir/x"
check diff -r "$dir/one" "$dir/x"
check [ "$dir/x/file" -ef "$dir/x/sub/link" ]
check grep -q '"kind": "folder"' "$dir"/out/one/*.json
check grep -q "\"path\": \"$dir/one\"" "$dir"/out/one/*.json
check grep -q '"snapshot": null' "$dir"/out/one/*.json
check grep -q '"complete": true' "$dir"/out/one/*.json

# One that is not there fails alone.
code 3 as 65534 "$thinark" -c "$dir/c.yaml" --json run all
check grep -q '"status":"failed".*"container":"none".*"path":".*/none"' "$dir/log"
check grep -q '"good":2,"incomplete":0,"failed":1' "$dir/log"

# What cannot be read makes the archive incomplete.
chmod 0 "$dir/two/file"
sleep 1.1
code 3 as 65533 "$thinark" -c "$dir/c.yaml" -n run
if [ "$(id -u)" -eq 0 ]; then
	code 3 as 65534 "$thinark" -c "$dir/c.yaml" run good
	check grep -q "two: 'file': open: Permission denied" "$dir/log"
	sleep 1.1
	code 0 as 0 "$thinark" -c "$dir/c.yaml" run good
fi

# A key of another type is a mistake; so is a store of folders without any, or with the same name twice.
sed 's|type: tree|type: tree\n    root: /x|' "$dir/c.yaml" >"$dir/bad.yaml"
code 2 "$thinark" -c "$dir/bad.yaml" check
check grep -q "bad.yaml:4:5: root: is no key of type 'tree'" "$dir/log"
sed 's|type: tree|type: docker|' "$dir/c.yaml" >"$dir/bad.yaml"
code 2 "$thinark" -c "$dir/bad.yaml" check
check grep -q "trees: is no key of type 'docker'" "$dir/log"
sed '/trees:/d' "$dir/c.yaml" >"$dir/bad.yaml"
code 2 "$thinark" -c "$dir/bad.yaml" check
check grep -q 'trees: missing' "$dir/log"
sed 's|name: two|name: one|' "$dir/c.yaml" >"$dir/bad.yaml"
code 2 "$thinark" -c "$dir/bad.yaml" check
check grep -q "name: 'one' is already used" "$dir/log"

# Killed in the middle: the next run, of folders only and to another place, removes what is left.
head -c 1000000 /dev/urandom >"$dir/two/noise"
sed "s|$dir/out}|$dir/other}|" "$dir/c.yaml" >"$dir/other.yaml"
(sed "s|$dir/out}|$dir/slow}|" "$dir/c.yaml" && echo 'rate_limit: 65536') >"$dir/slow.yaml"
mkdir "$dir/other" "$dir/slow"
export THINARK_STATE_DIR="$dir/state"
"$thinark" -c "$dir/slow.yaml" run good >"$dir/log" 2>&1 &
victim=$!
n=0
until find "$dir/slow" -name '*.part*' | grep -q . || [ $n -ge 100 ]; do
	n=$((n + 1))
	sleep 0.1
done
check kill -9 $victim
wait $victim 2>/dev/null
check sh -c "find $dir/slow -name '*.part*' | grep -q ."
check sh -c "ls $dir/state/ledger | grep -q archive"
code 0 "$thinark" -c "$dir/other.yaml" run good
check sh -c "! find $dir/slow -name '*.part*' | grep -q ."
check sh -c "! ls $dir/state/ledger | grep -q ."

echo "$count checks"
[ "$count" -ge 30 ] || exit 1
