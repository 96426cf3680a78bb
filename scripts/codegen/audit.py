#!/usr/bin/env python3
"""Compares the spec with the toolkit.

Names with the exports of its libcuda stub and with cuda.h, versions with cudaTypedefs.h.

usage: audit.py [--stub LIBCUDA] [--include FOLDER] [--compiler CXX] SPEC.toml...
Prints every difference; the status is 0 only when there is none.
"""

import argparse
import collections
import pathlib
import re
import subprocess
import sys

import spec

HEADERS = "#define __CUDA_API_VERSION_INTERNAL\n#include <cuda.h>\n#include <cudaProfiler.h>\n"
TYPEDEF_HEADERS = ("cudaTypedefs.h", "cudaProfilerTypedefs.h")
DECLARATION = re.compile(r"\bCUresult\s+(cu[A-Z]\w*)\s*\(")
TYPEDEF = re.compile(r"\*PFN_(cu\w+?)_v(\d+)(?:_(ptsz|ptds))?\)")


def exported(stub) -> set[str]:
    lines = subprocess.run(["nm", "-D", "--defined-only", stub], check=True, capture_output=True, text=True).stdout
    symbols = (line.split()[-1].partition("@")[0] for line in lines.splitlines())
    return {symbol for symbol in symbols if spec.CALL_NAME.fullmatch(symbol)}


def declared(compiler, include) -> set[str]:
    command = [compiler, "-E", "-P", "-x", "c++", "-I", include, "-"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, input=HEADERS).stdout
    return set(DECLARATION.findall(text))


def typedef_versions(include):
    """{(base name, per-thread suffix or ""): its versions, ascending}."""
    versions = collections.defaultdict(set)
    for header in TYPEDEF_HEADERS:
        for base, version, suffix in TYPEDEF.findall((include / header).read_text(encoding="utf-8")):
            versions[base, suffix].add(int(version))
    return {key: sorted(value) for key, value in versions.items()}


def spec_versions(entries):
    versions = collections.defaultdict(list)
    for entry in entries:
        versions[entry.base, ""].append(entry.since)
        if entry.per_thread:
            versions[entry.base, entry.per_thread].append(entry.per_thread_since)
    return versions


def differences(ours, theirs, where):
    yield from (f"{name} is in {where} but not in the spec" for name in sorted(theirs - ours))
    yield from (f"{name} is in the spec but not in {where}" for name in sorted(ours - theirs))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stub", type=pathlib.Path, help="the toolkit's libcuda.so")
    parser.add_argument("--include", type=pathlib.Path, help="the folder of cuda.h")
    parser.add_argument("--compiler", default="c++", help="preprocesses cuda.h (default: c++)")
    parser.add_argument("spec", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    if not arguments.stub and not arguments.include:
        parser.error("nothing to compare with: give --stub, --include or both")
    try:
        entries = [entry for entry in spec.load(arguments.spec) if entry.exported]
    except spec.SpecError as error:
        print(error, file=sys.stderr)
        return 1

    names = {name for entry in entries for name in (entry.name, entry.twin) if name}
    found = []
    if arguments.stub:
        found += differences(names, exported(arguments.stub), arguments.stub.name)
    if arguments.include:
        found += differences(names, declared(arguments.compiler, arguments.include), "cuda.h")
        ours, theirs = spec_versions(entries), typedef_versions(arguments.include)
        for base, suffix in sorted(ours.keys() | theirs.keys()):
            said, known = ours.get((base, suffix), []), theirs.get((base, suffix), [])
            if said != known:
                found.append(f"{base}{suffix and '_' + suffix}: the spec says {said}, cudaTypedefs.h {known}")
    for line in found:
        print(line)
    print(f"{len(entries)} calls, {len(names)} names, {len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
