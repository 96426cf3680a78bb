"""Checks what the linker made of the software GPU's library.

The library must have the SONAME libcuda.so.1, export nothing but cu* names, and need nothing but the C library. Objects
that are compiled for a newer CPU level must define no weak symbol: the linker keeps one definition of each, and if it
kept theirs, code for every CPU would run instructions that only newer ones have. Weak symbols that carry the level in
their name, and so exist at no other level, may be told by a regular expression.

usage: check_symbols.py [--library LIBRARY] [--level-objects OBJECT...] [--own-names REGEX]
"""

import argparse
import re
import subprocess
import sys

ALLOWED_LIBRARIES = {"libc.so.6", "ld-linux-x86-64.so.2", "libm.so.6", "libpthread.so.0"}
EXPORTED_NAME = re.compile(r"^cu[A-Z]\w*$")
DYNAMIC_ENTRY = re.compile(r"\((NEEDED|SONAME|TEXTREL)\)(?:[^\[]*\[([^\]]*)\])?")


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def exported_names(symbol_table):
    """Names of the defined global symbols in what `readelf --dyn-syms` printed."""
    for line in symbol_table.splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[4] in ("GLOBAL", "WEAK", "UNIQUE") and fields[6] != "UND":
            yield fields[7].split("@")[0]


def library_complaints(library):
    names = list(exported_names(output_of("readelf", "--wide", "--dyn-syms", library)))
    for name in names:
        if not EXPORTED_NAME.match(name):
            yield f"{library}: exports {name}"
    if not names:
        yield f"{library}: exports nothing"
    soname = None
    for kind, value in DYNAMIC_ENTRY.findall(output_of("readelf", "--wide", "--dynamic", library)):
        if kind == "SONAME":
            soname = value
        elif kind == "TEXTREL":
            yield f"{library}: has relocations in its code"
        elif value not in ALLOWED_LIBRARIES:
            yield f"{library}: needs {value}"
    if soname != "libcuda.so.1":
        yield f"{library}: SONAME is {soname}, not libcuda.so.1"


def object_complaints(path, own_names=None):
    for line in output_of("nm", "--defined-only", "--demangle", path).splitlines():
        fields = line.split(maxsplit=2)
        if len(fields) == 3 and fields[1] in "WVwvu" and not (own_names and re.search(own_names, fields[2])):
            yield f"{path}: defines the weak symbol {fields[2]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library")
    parser.add_argument("--level-objects", nargs="+", default=[])
    parser.add_argument("--own-names", help="matched against demangled names")
    arguments = parser.parse_args()
    if not arguments.library and not arguments.level_objects:
        parser.error("nothing to check")
    complaints = list(library_complaints(arguments.library)) if arguments.library else []
    for path in arguments.level_objects:
        complaints.extend(object_complaints(path, arguments.own_names))
    for complaint in complaints:
        print(complaint)
    print(f"{bool(arguments.library):d} library, {len(arguments.level_objects)} objects, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
