#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Printed documents are current, and docs/architecture.md names every module that exists.
src=$1
t=$2/thinark
bad=0
same() {
	"$t" doc "$1" | cmp - "$src/$2" || { echo "$2: run 'thinark doc $1 >$2'"; bad=1; }
}
same schema conf/schema.json
same sample conf/thinark.yaml
same man docs/thinark.8
same man5 docs/thinark.yaml.5
for f in "$src"/src/*/*.c "$src"/src/plug/*/*.c; do
	name=$(basename "$f" .c)
	grep -qw "$name" "$src/docs/architecture.md" || { echo "docs/architecture.md does not name $name"; bad=1; }
done
"$t" --help | awk 'length > 80 { print "help is wider than 80: " $0; bad = 1 } END { exit bad }' || bad=1
"$t" --help 2>/dev/null | grep -q Commands || { echo "help does not go to stdout"; bad=1; }
# A wrong configuration with ten mistakes: ten located messages and exit code 2.
# A checkout may be anybody's, and a configuration that others can write is refused before it is read.
copy=$(mktemp -d) || exit 1
cp "$src/tests/golden/ten-mistakes.yaml" "$copy" && chmod 644 "$copy/ten-mistakes.yaml"
out=$("$t" -c "$copy/ten-mistakes.yaml" check 2>&1)
code=$?
chmod 664 "$copy/ten-mistakes.yaml"
loose=$("$t" -c "$copy/ten-mistakes.yaml" check 2>&1)
[ $? -eq 2 ] && echo "$loose" | grep -q "chmod go-w '$copy/ten-mistakes.yaml'" ||
	{ echo "a configuration that its group can write is read: $loose"; bad=1; }
rm -r "$copy"
n=$(echo "$out" | grep -cE 'ten-mistakes\.yaml:[0-9]+:[0-9]+: ')
echo "ten mistakes: $n messages, exit code $code"
[ "$n" -eq 10 ] && [ "$code" -eq 2 ] || bad=1
exit $bad
