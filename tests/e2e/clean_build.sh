#!/bin/bash
# Clones the last commit into a temporary folder and runs a script there on two CPUs.
#
# The last line is "clean build and tests: M minutes"; the status is that of the script.
#
# usage: clean_build.sh [scripts/test | .ci/run]
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d "${TMPDIR:-/var/tmp}/clean-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
git -c safe.directory='*' clone --quiet --no-hardlinks . "$work/src"
# A toolkit that scripts/setup once downloaded is not built again: downloads are no part of the time.
if [ -e build/toolkit/bin/nvcc ]; then export CUDAToolkit_ROOT=$PWD/build/toolkit; fi
cpus=$(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0))[:2], sep=",")')

SECONDS=0
status=0
taskset --cpu-list "$cpus" "$work/src/${1:-scripts/test}" </dev/null || status=$?
awk -v seconds="$SECONDS" 'BEGIN { printf "clean build and tests: %.1f minutes\n", seconds / 60 }'
exit "$status"
