#!/bin/bash
# Parses all PTX inside executables and libraries. TOOLS is the folder of ptx_extract and ptx_parse; a folder stands for
# the executables, libraries and PTX files in it. Ends with ptx_parse's line of figures; the status is 0 when every text
# and every body was parsed.
#
# usage: parse_ptx.sh TOOLS FILE_OR_FOLDER...
set -euo pipefail

tools=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/texts"
number=0
while IFS= read -r -d '' program; do
  [ "$(head -c 4 "$program" | od -An -c | tr -d ' ')" = '177ELF' ] || continue
  number=$((number + 1))
  "$tools/ptx_extract" "$program" "$work/texts/$number" >"$work/log" || {
    echo "$program: $(cat "$work/log")"
    exit 1
  }
done < <(find -L "$@" -type f ! -name '*.o' -print0)
[ "$number" != 0 ] || { echo "no executables or libraries in $*"; exit 1; }
find "$@" -type f -name '*.ptx' -exec cp --backup=numbered -t "$work/texts" {} +
"$tools/ptx_parse" "$work/texts"
