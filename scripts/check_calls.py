#!/usr/bin/env -S python3 -B
"""Checks that a libcuda.so.1 exports every call that the spec has as supported, with its twin, so that a program finds
natively what it finds through the stack.

usage: check_calls.py LIBRARY
"""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts/codegen"))

import spec  # noqa: E402


def exported_names(library):
    table = subprocess.run(["nm", "--dynamic", "--defined-only", "--format=just-symbols", library], check=True,
                           capture_output=True, text=True).stdout
    return {line.partition("@")[0] for line in table.split()}


def main():
    entries = [entry for entry in spec.load(sorted((ROOT / "common/api").glob("*.toml")))
               if entry.exported and not entry.unsupported]
    wanted = {name for entry in entries for name in (entry.name, entry.twin) if name}
    missing = sorted(wanted - exported_names(sys.argv[1]))
    for name in missing:
        print(f"{sys.argv[1]} lacks {name}")
    print(f"{len(wanted)} calls, {len(missing)} missing")
    return 1 if missing or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
