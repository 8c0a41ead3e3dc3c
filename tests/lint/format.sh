#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# clang-format decides the form.
cd "$1" || exit 1
files=$(find src include tests -name '*.[ch]')
n=$(echo "$files" | wc -l)
echo "$n files checked"
[ "$n" -ge 40 ] || exit 1
clang-format --dry-run -Werror $files
