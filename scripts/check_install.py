#!/usr/bin/env -S python3 -B
"""Checks that an installed tree works on other machines, and wherever it is moved.

Every program and library in it needs only the C and C++ runtimes and what lies in the tree, finds that by run paths
relative to itself, and uses no symbol of a C library newer than 2.34. The client's driver and management library need
the C library alone.

usage: check_install.py FOLDER
"""

import pathlib
import re
import subprocess
import sys

NEWEST_GLIBC = (2, 34)
C_LIBRARY = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}
SYSTEM = C_LIBRARY | {"libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2", "libstdc++.so.6",
                      "libgcc_s.so.1"}
DRIVERS = ("lib/outboard/client/libcuda.so.1", "lib/outboard/client/libnvidia-ml.so.1",
           "lib/outboard/softgpu/libcuda.so.1")
PROGRAMS = ("bin/gpu-run", "bin/gpu-node", "bin/gpu-worker", "bin/gpu-pool", "bin/gpu-admin")
PLUGIN = "lib/outboard/liboutboard_grpc.so"
PRIVATE = "lib/outboard/private"
DYNAMIC_ENTRY = re.compile(r"\((NEEDED|RPATH|RUNPATH)\)[^\[]*\[([^\]]*)\]")


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def is_elf(path):
    if path.is_symlink() or not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def complaints_about(tree, path):
    name = path.relative_to(tree).as_posix()
    needed, run_paths = set(), []
    for kind, value in DYNAMIC_ENTRY.findall(output_of("readelf", "--wide", "--dynamic", path)):
        if kind == "NEEDED":
            needed.add(value)
        else:
            run_paths += value.split(":")
    private = {library.name for library in (tree / PRIVATE).glob("*")}
    allowed = C_LIBRARY if name in DRIVERS else SYSTEM | private
    for library in sorted(needed - allowed):
        yield f"{name}: needs {library}"
    for run_path in run_paths:
        if not run_path.startswith("$ORIGIN"):
            yield f"{name}: its run path {run_path} is not relative to itself"
    if name in PROGRAMS + (PLUGIN,) and needed & private:
        found = [(path.parent / run_path.replace("$ORIGIN", ".")).resolve() for run_path in run_paths]
        if (tree / PRIVATE).resolve() not in found:
            yield f"{name}: its run path does not lead to {PRIVATE}"
    versions = re.findall(r"\bGLIBC_(\d+)\.(\d+)", output_of("readelf", "--wide", "--version-info", path))
    newest = max(((int(major), int(minor)) for major, minor in versions), default=(0, 0))
    if newest > NEWEST_GLIBC:
        yield f"{name}: needs a C library of version {newest[0]}.{newest[1]}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.splitlines()[-1])
    tree = pathlib.Path(sys.argv[1]).resolve()
    complaints = [f"{name} is missing" for name in (*PROGRAMS, *DRIVERS, PLUGIN) if not (tree / name).exists()]
    files = sorted(filter(is_elf, tree.rglob("*")))
    for path in files:
        complaints += complaints_about(tree, path)
    for complaint in complaints:
        print(complaint)
    print(f"{len(files)} programs and libraries, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
