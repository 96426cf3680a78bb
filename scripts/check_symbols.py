"""Checks what the linker made of a libcuda.so.1, the client's or the software GPU's, or of the client's libnvidia-ml.so.1.

The library must have that SONAME, export nothing but cu* or nvml* names, and need nothing but the C library; where it is
said so, it must export exactly the names of another library, and need no newer C library than that. Objects
that are compiled for a newer CPU level must define no weak symbol: the linker keeps one definition of each, and if it
kept theirs, code for every CPU would run instructions that only newer ones have. Weak symbols that carry the level in
their name, and so exist at no other level, may be told by a regular expression.

usage: check_symbols.py [--library LIBRARY] [--soname NAME] [--same-names-as LIBRARY] [--newest-glibc VERSION]
                        [--level-objects OBJECT...] [--own-names REGEX]
"""

import argparse
import re
import subprocess
import sys

ALLOWED_LIBRARIES = {"libc.so.6", "ld-linux-x86-64.so.2", "libm.so.6", "libpthread.so.0"}
EXPORTED_NAME = re.compile(r"^cu[A-Z]\w*$")
EXPORTED_NAMES = {"libcuda.so.1": EXPORTED_NAME, "libnvidia-ml.so.1": re.compile(r"^nvml[A-Z]\w*$")}  # by SONAME
GLIBC_VERSION = re.compile(r"(\w+)@GLIBC_([0-9.]+)")
DYNAMIC_ENTRY = re.compile(r"\((NEEDED|SONAME|TEXTREL)\)(?:[^\[]*\[([^\]]*)\])?")


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def exported_names(symbol_table):
    """Names of the defined global symbols in what `readelf --dyn-syms` printed."""
    for line in symbol_table.splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[4] in ("GLOBAL", "WEAK", "UNIQUE") and fields[6] != "UND":
            yield fields[7].split("@")[0]


def library_complaints(library, wanted="libcuda.so.1"):
    names = list(exported_names(output_of("readelf", "--wide", "--dyn-syms", library)))
    for name in names:
        if not EXPORTED_NAMES[wanted].match(name):
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
    if soname != wanted:
        yield f"{library}: SONAME is {soname}, not {wanted}"


def name_complaints(library, model):
    """What differs between the cu* names that two libraries export."""
    ours, theirs = (
        {name for name in exported_names(output_of("readelf", "--wide", "--dyn-syms", path)) if EXPORTED_NAME.match(name)}
        for path in (library, model)
    )
    for name in sorted(theirs - ours):
        yield f"{library}: does not export {name}"
    for name in sorted(ours - theirs):
        yield f"{library}: exports {name}, which {model} does not"


def glibc_complaints(library, newest):
    """What the library uses of a C library that is newer than `newest`, as in "2.34"."""
    limit = tuple(map(int, newest.split(".")))
    for line in output_of("readelf", "--wide", "--dyn-syms", library).splitlines():
        version = GLIBC_VERSION.search(line)
        if version and " UND " in line and tuple(map(int, version[2].split("."))) > limit:
            yield f"{library}: needs {version[1]} of glibc {version[2]}"


def object_complaints(path, own_names=None):
    for line in output_of("nm", "--defined-only", "--demangle", path).splitlines():
        fields = line.split(maxsplit=2)
        if len(fields) == 3 and fields[1] in "WVwvu" and not (own_names and re.search(own_names, fields[2])):
            yield f"{path}: defines the weak symbol {fields[2]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library")
    parser.add_argument("--soname", choices=EXPORTED_NAMES, default="libcuda.so.1", help="of --library")
    parser.add_argument("--same-names-as", help="a library whose cu* names --library must export")
    parser.add_argument("--newest-glibc", help="the newest version of the C library that --library may need")
    parser.add_argument("--level-objects", nargs="+", default=[])
    parser.add_argument("--own-names", help="matched against demangled names")
    arguments = parser.parse_args()
    if not arguments.library and not arguments.level_objects:
        parser.error("nothing to check")
    complaints = list(library_complaints(arguments.library, arguments.soname)) if arguments.library else []
    if arguments.same_names_as:
        complaints.extend(name_complaints(arguments.library, arguments.same_names_as))
    if arguments.newest_glibc:
        complaints.extend(glibc_complaints(arguments.library, arguments.newest_glibc))
    for path in arguments.level_objects:
        complaints.extend(object_complaints(path, arguments.own_names))
    for complaint in complaints:
        print(complaint)
    print(f"{bool(arguments.library):d} library, {len(arguments.level_objects)} objects, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
