#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One file per foreign library, and an upward include does not compile.
src=$1
build=$2
bad=0
checked=0

# header pattern -> the files that may include it
only() {
	pattern=$1
	shift
	found=$(cd "$src" && grep -rlE "#include <($pattern)>" src include | sort | tr '\n' ' ')
	checked=$((checked + 1))
	for f in $found; do
		case " $* " in
		*" $f "*) ;;
		*) echo "$f: must not include <$pattern> (only $*)"; bad=1 ;;
		esac
	done
	[ -n "$found" ] || { echo "<$pattern> is included nowhere: is this rule still true?"; bad=1; }
}
only 'libdevmapper\.h' src/sys/dm.c
only 'libmount\.h|libmount/libmount\.h' src/sys/view.c
only 'archive\.h|archive_entry\.h' src/sys/pack.c
only 'zstd\.h' src/sys/frames.c src/sys/unframe.c
only 'yaml\.h' src/model/cfg_load.c
only 'jansson\.h' include/base/json.h
only 'openssl/[a-z]*\.h' src/sys/frames.c src/sys/digest.c
only 'curl/[a-z]*\.h' src/sys/engine.c
only 'linux/dm-ioctl\.h' include/sys/dmraw.h

# Every header of a higher layer must be out of reach of a lower one.
lower=
for layer in base model sys plug run cli; do
	lower="$lower -I$src/include/$layer"
	case $layer in
	base) higher='model sys plug run cli' ;;
	model) higher='sys plug run cli' ;;
	sys) higher='plug run cli' ;;
	plug) higher='run cli' ;;
	run) higher='cli' ;;
	cli) higher='' ;;
	esac
	for h in $higher; do
		for header in "$src/include/$h"/*.h; do
			name=$(basename "$header")
			checked=$((checked + 1))
			if echo "#include \"$name\"" | cc -fsyntax-only $lower -x c - 2>/dev/null; then
				echo "$layer can include $h/$name"
				bad=1
			fi
		done
	done
done
# The build itself must give each layer just those folders.
for pair in base:model model:sys sys:plug plug:run run:cli; do
	flags=$(grep '"command":' "$build/compile_commands.json" | grep "/src/${pair%:*}/[a-z_/]*\.c" | head -n 1)
	checked=$((checked + 1))
	case $flags in
	'') echo "no compile command of layer ${pair%:*}"; bad=1 ;;
	*"/include/${pair#*:}"*) echo "the build gives ${pair%:*} the headers of ${pair#*:}"; bad=1 ;;
	esac
done
# Plug-ins never include one another.
if (cd "$src/src/plug" && grep -nE '#include ".*(docker|directory|thin)\.h"' -r .); then
	echo "a plug-in includes another"
	bad=1
fi
echo "$checked rules checked"
[ "$checked" -ge 30 ] || bad=1
exit $bad
