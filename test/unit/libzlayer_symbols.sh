#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The library shows what the public headers declare, all of it, and nothing else.
set -eu
library=$1
headers=$2
tmp=$(mktemp -d "${TMPDIR:-/tmp}/zl-unit-symbols.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

nm -D --defined-only "$library" | awk '{ print $NF }' | sort -u >"$tmp/has"
# Each declaration is ZL_PUBLIC ... NAME( and may go over several lines.
cat "$headers"/*.h | tr '\n' ' ' | grep -o 'ZL_PUBLIC [^(;]*(' |
        sed -n -E 's/.*[ *](zl_[a-z0-9_]+) *\($/\1/p' | sort -u >"$tmp/wants"

status=0
if foreign=$(grep -v '^zl_' "$tmp/has"); then
        echo "exported, but not ours: $foreign"
        status=1
fi
if extra=$(comm -23 "$tmp/has" "$tmp/wants" | grep '^zl_'); then
        echo "exported, but in no public header: $extra"
        status=1
fi
if missing=$(comm -13 "$tmp/has" "$tmp/wants" | grep .); then
        echo "declared public, but not exported: $missing"
        status=1
fi
[ -s "$tmp/wants" ] || { echo "no public declarations found in $headers"; status=1; }
exit $status
