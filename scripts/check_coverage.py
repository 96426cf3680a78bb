#!/usr/bin/env -S python3 -B
"""Checks that every supported call of the spec is tested: a regular one by the tests that are generated from its entry,
one that is written by hand, in whole or in half, by a test that calls it by its exported name."""

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts/codegen"))

import generate  # noqa: E402
import spec  # noqa: E402

SUFFIXES = {".cc", ".cu", ".h"}
# Names within these are no calls.
COMMENTS_AND_TEXTS = re.compile(r'R"\((?:.|\n)*?\)"|"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*(?:.|\n)*?\*/')
# Nor are custom::cuX, which is no exported function, a member of a driver's table, and a definition.
CALL = re.compile(r"(?<![\w:.>])(?<!CUresult )(cu[A-Z]\w*)\s*\(")
OWN_HEADER = re.compile(r'#include "(tests/[^"]+)"')
GENERATED = re.compile(r'Register<.*>\("(\w+)"\)')


def sources(folder, root):
    """What a folder's tests are made of, with the headers of tests/ that they include."""
    texts = {}
    waiting = [path for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES]
    while waiting:
        path = waiting.pop()
        if path not in texts and path.is_file():
            texts[path] = path.read_text(encoding="utf-8")
            waiting += [root / header for header in OWN_HEADER.findall(texts[path])]
    return texts.values()


def called_by_tests(folder, root=ROOT):
    """The exported names that a folder's tests call."""
    return {name for text in sources(folder, root) for name in CALL.findall(COMMENTS_AND_TEXTS.sub(" ", text))}


def called_by_programs(folder, entries, root=ROOT):
    """The same of programs, where cuda.h chooses which version of a call a name without suffix is."""
    bases = [entry.base for entry in entries]
    return {name for name in called_by_tests(folder, root) if bases.count(name) < 2}


def untested(entries, called):
    """(entry, what is missing) of each supported call that is not tested."""
    generated = set(GENERATED.findall(generate.tests(entries)))
    for entry in entries:
        if not entry.exported or entry.unsupported:
            continue
        by_hand = entry.client_by_hand or entry.server_by_hand
        if by_hand and entry.name not in called:
            yield entry, "is written by hand, and no test calls it"
        if not by_hand and entry.name not in generated:
            yield entry, "has no generated test"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", metavar="FOLDER", nargs="+", type=pathlib.Path, default=[],
                        help="tests that are linked with the client's libcuda.so.1")
    parser.add_argument("--programs", metavar="FOLDER", nargs="+", type=pathlib.Path, default=[],
                        help="programs that are run with it")
    arguments = parser.parse_args()
    entries = spec.load(sorted((ROOT / "common/api").glob("*.toml")))
    called = set()
    for folder in arguments.tests:
        called |= called_by_tests(folder)
    for folder in arguments.programs:
        called |= called_by_programs(folder, entries)
    supported = sum(entry.exported and not entry.unsupported for entry in entries)
    missing = list(untested(entries, called))
    for entry, what in missing:
        print(f"{entry.file}: [{entry.name}] {what}")
    print(f"{supported - len(missing)} of {supported} supported calls are tested, {len(missing)} are not")
    return 1 if missing or not supported else 0


if __name__ == "__main__":
    sys.exit(main())
