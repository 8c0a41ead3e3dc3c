# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What the scripts share, which source this once they have a folder $dir of their own: each check is counted, and the
# first that fails ends the script.
count=0

fail() { echo "FAILED: $*"; exit 1; }
check() {
	count=$((count + 1))
	"$@" || fail "$*"
}
# code WANTED COMMAND...: its exit code; its output is in $dir/log
code() {
	want=$1
	shift
	"$@" >"$dir/log" 2>&1
	got=$?
	count=$((count + 1))
	[ "$got" -eq "$want" ] || { cat "$dir/log"; fail "exit code $got, not $want: $*"; }
}
