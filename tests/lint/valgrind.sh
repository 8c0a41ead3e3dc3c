#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The fast unit tests under valgrind: no bad access, nothing undefined, nothing lost.
src=$1
build=$2
command -v valgrind >/dev/null || { echo "valgrind is missing (tests/packages)"; exit 1; }
if grep -q '^THINARK_\(SANITIZE\|FUZZ\):BOOL=ON' "$build/CMakeCache.txt"; then
	echo "valgrind does not go with sanitizers: they look for the same"
	exit 0
fi
bad=0
count=0
check() {
	count=$((count + 1))
	log=$build/valgrind-$(basename "$1").log
	valgrind -q --leak-check=full --errors-for-leak-kinds=definite,possible --error-exitcode=99 \
		"$@" >"$log" 2>&1 && return
	echo "$1:"
	tail -n 40 "$log"
	bad=1
}
# Those that measure time, fork a lot or archive large trees are left to the sanitizers.
for name in base dest docker manifest plan pool; do
	check "$build/tests/test_$name"
done
for target in cfg dm docker json ledger names thinmeta; do
	check "$build/tests/fuzz_$target" "$src/tests/fuzz/corpus/fuzz_$target"
done
echo "$count programs checked"
[ "$count" -ge 13 ] || bad=1
exit $bad
