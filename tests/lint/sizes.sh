#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Files stay under 600 lines, functions under 80, and every file has one SPDX line.
cd "$1" || exit 1
bad=0
count=0
for f in $(git ls-files '*.c' '*.h' '*.sh' '*.cmake' 'CMakeLists.txt' 2>/dev/null || find src include tests cmake -name '*.[ch]'); do
	count=$((count + 1))
	lines=$(wc -l <"$f")
	[ "$lines" -le 600 ] || { echo "$f: $lines lines"; bad=1; }
	[ "$(grep -c 'SPDX-License-Identifier: Apache-2.0' "$f")" -ge 1 ] || { echo "$f: no SPDX line"; bad=1; }
	case $f in
	*.c)
		awk -v f="$f" '/^{/ { start = NR } /^}/ { if (start && NR - start > 80) {
			printf "%s:%d: function of %d lines\n", f, start, NR - start; bad = 1 } start = 0 }
			END { exit bad }' "$f" || bad=1
		;;
	esac
done
echo "$count files checked"
[ "$count" -ge 40 ] || bad=1
exit $bad
