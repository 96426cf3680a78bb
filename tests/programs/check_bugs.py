#!/usr/bin/env -S python3 -B
"""Runs kernel_bugs under the software GPU's checks, natively and with --stack under gpu-run --check, and holds what is
reported of each bug against what is known of it; and all kernels without their bugs, of which nothing may be reported.
The last line is "N passed, M failed"; the status is 0 only when nothing failed.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from run import SECONDS_PER_RUN, fast_folder

SOURCE = pathlib.Path(__file__).resolve().parent / "kernel_bugs.cu"
PREFIX = "outboard: check: "
FOUND = 76  # gpu-run's status when something was reported and the command says 0


@dataclasses.dataclass(frozen=True)
class Bug:
    """`what`: how the first line begins; `kernel`: up to its parameters; `at`: how the address lies to memory, of which
    MEMORY stands for the allocation that the program has told."""
    kind: str
    what: str
    kernel: str
    at: str
    block: str = "(0,0,0)"
    thread: str = "(0,0,0)"
    checks: str = "memory"
    status: str = "cudaErrorIllegalAddress"


def misaligned(what, kernel, at, thread="(0,0,0)"):
    return Bug("misaligned", what, kernel, at, thread=thread, status="cudaErrorMisalignedAddress")


def unwritten(what, kernel, at, thread="(0,0,0)", block="(0,0,0)"):
    return Bug("uninitialised", what, kernel, at, block, thread, checks="uninitialised", status="cudaSuccess")


def race(what, kernel, variable, thread=""):
    """Of a race `thread` is left out where the order of warps decides."""
    return Bug("race", what, kernel, variable, thread=thread, checks="races", status="cudaSuccess")


END = "0 bytes past the end of "
WRITE, READ = "write of 4 bytes", "read of 4 bytes"
BUGS = {
    "past_end_write": Bug("out of bounds", WRITE, "PastEndWrite", END + "allocation MEMORY", "(1,0,0)", "(36,0,0)"),
    "past_end_read": Bug("out of bounds", READ, "PastEndRead", END + "allocation MEMORY", thread="(5,0,0)"),
    "before_start": Bug("out of bounds", WRITE, "BeforeStart", "4 bytes before the start of allocation MEMORY"),
    "last_granule": Bug("out of bounds", "write of 1 byte", "WriteByte", END + "allocation MEMORY"),
    "short_past_end": Bug("out of bounds", "write of 2 bytes", "WriteShort", END + "allocation MEMORY"),
    "neighbour": Bug("out of bounds", "write of 1 byte", "WriteByte", END + "allocation MEMORY"),
    "far_away": Bug("out of bounds", WRITE, "WriteFar", r"1717986\d+ bytes past the end of ",
                    thread="(3,0,0)"),
    "null_write": Bug("out of bounds", WRITE, "WriteThrough", "the pointer is a null pointer"),
    "write_after_free": Bug("use after free", WRITE, "WriteThrough", "0 bytes into freed allocation MEMORY"),
    "read_after_free": Bug("use after free", READ, "ReadFrom", "400 bytes into freed allocation MEMORY"),
    "vector_over_end": Bug("out of bounds", "read of 16 bytes", "LoadVector",
                           "16 bytes into, and 8 bytes over the end of, allocation MEMORY"),
    "double_over_end": Bug("out of bounds", "read of 8 bytes", "LoadDouble",
                           "8 bytes into, and 4 bytes over the end of, allocation MEMORY"),
    "atomic_past_end": Bug("out of bounds", "atomic of 4 bytes", "AddAt", END + "allocation MEMORY"),
    "cas_past_end": Bug("out of bounds", "atomic of 8 bytes", "Compare", END + "allocation MEMORY"),
    "variable_past_end": Bug("out of bounds", WRITE, "UseTable", END + r"variable (.*::)?table MEMORY"),
    "variable_before_start": Bug("out of bounds", WRITE, "UseTable",
                                 r"4 bytes before the start of variable (.*::)?table MEMORY"),
    "constant_past_end": Bug("out of bounds", READ, "UseConstants", END + r"constant (.*::)?constants MEMORY"),
    "write_constant": Bug("read-only", WRITE, "WriteThrough", r"0 bytes into constant (.*::)?constants MEMORY"),
    "pool_past_end": Bug("out of bounds", "write of 1 byte", "WriteByte", END + "allocation of a pool MEMORY"),
    "pool_after_free": Bug("use after free", WRITE, "WriteThrough", "0 bytes into freed allocation of a pool MEMORY"),
    "pitched_rows": Bug("out of bounds", "write of 1 byte", "Rows", END + "allocation MEMORY"),
    "three_dimensions": Bug("out of bounds", WRITE, "Boxes", "40 bytes past the end of allocation MEMORY", "(2,1,0)",
                            "(3,2,1)"),
    "one_lane": Bug("out of bounds", WRITE, "Diverged", END + "allocation MEMORY", thread="(7,0,0)"),
    "second_warp": Bug("out of bounds", WRITE, "SecondWarp", END + "allocation MEMORY", thread="(45,0,0)"),
    "called_function": Bug("out of bounds", WRITE, "Calls", END + "allocation MEMORY"),
    "inlined_function": Bug("out of bounds", WRITE, "Inlines", END + "allocation MEMORY"),
    "generic_shared": Bug("out of bounds", READ, "Chooses", END + r"variable .*tile at 0x0 of 128 bytes"),
    "generic_global": Bug("out of bounds", READ, "Chooses", END + "allocation MEMORY"),
    "async_copy": Bug("out of bounds", READ, "CopiesAsync", END + "allocation MEMORY", thread="(31,0,0)"),
    "structure_field": Bug("out of bounds", WRITE, "WriteField", "4 bytes past the end of allocation MEMORY"),
    "misaligned_write": misaligned(WRITE, "WriteThrough", "2 bytes into allocation MEMORY"),
    "misaligned_double": misaligned("read of 8 bytes", "LoadDouble", "4 bytes into allocation MEMORY"),
    "misaligned_vector": misaligned("read of 16 bytes", "LoadVector", "8 bytes into allocation MEMORY"),
    "misaligned_atomic": misaligned("atomic of 4 bytes", "AddAt", "1 byte into allocation MEMORY"),
    "shared_past_end": Bug("out of bounds", WRITE, "SharedStatic", END + "variable .*tile at 0x0 of 128 bytes",
                           thread="(9,0,0)"),
    "shared_before_start": Bug("out of bounds", WRITE, "SharedStatic",
                               "4 bytes before the start of variable .*tile at 0x0 of 128 bytes", thread="(9,0,0)"),
    "shared_dynamic": Bug("out of bounds", WRITE, "SharedDynamic",
                          END + "the block's shared memory at 0x0 of 128 bytes", thread="(32,0,0)"),
    "shared_atomic": Bug("out of bounds", "atomic of 4 bytes", "SharedAtomic",
                         END + "variable .*counts at 0x0 of 32 bytes", thread="(7,0,0)"),
    "shared_misaligned": misaligned(READ, "SharedMisaligned", "5 bytes into variable .*bytes at 0x0 of 64 bytes"),
    "local_past_end": Bug("out of bounds", WRITE, "LocalArray", END + r"variable \S+ at 0x0 of 32 bytes",
                          thread="(2,0,0)"),
    "local_before_start": Bug("out of bounds", WRITE, "LocalArray",
                              r"4 bytes before the start of variable \S+ at 0x0 of 32 bytes", thread="(2,0,0)"),
    "local_bytes": Bug("out of bounds", "read of 1 byte", "LocalBytes", END + r"variable \S+ at 0x0 of 13 bytes"),
    "unwritten_global": unwritten(READ, "Sum", "0 bytes into allocation MEMORY"),
    "unwritten_half": unwritten(READ, "Sum", "64 bytes into allocation MEMORY", "(16,0,0)"),
    "unwritten_atomic": unwritten("atomic of 4 bytes", "Count", "0 bytes into allocation MEMORY"),
    "unwritten_shared": unwritten(READ, "SharedUnwritten", "12 bytes into variable .*tile at 0x0 of 128 bytes",
                                  "(28,0,0)", "(1,0,0)"),
    "unwritten_local": unwritten(READ, "LocalUnwritten", r"52 bytes into variable \S+ at 0x0 of 64 bytes"),
    "race_no_barrier": race(r"(read|write) of 4 bytes", "Reverse", "into variable .*tile"),
    "race_second_barrier": race(r"(read|write) of 4 bytes", "Overwrite", "into variable .*tile"),
    "race_write_write": race(WRITE, "SamePlace", "0 bytes into variable .*last", "(0,0,0)"),
    "race_with_atomic": race(r"(read|atomic) of 4 bytes", "PlainAndAtomic", "0 bytes into variable .*count"),
    "race_in_warp": race(READ, "InWarp", "into variable .*tile", "(0,0,0)"),
    "race_reduction": race(r"(read|write) of 4 bytes", "Reduce", "into variable .*sums"),
}


def lines_of(mark):
    """The lines of the source that have a mark, by the bug's name."""
    lines = {}
    for number, line in enumerate(SOURCE.read_text(encoding="utf-8").splitlines(), 1):
        for name in re.findall(rf"{mark} (\w+)", line.partition("//")[2]):
            lines[name] = number
    return lines


PLACES, FIRSTS = lines_of("BUG"), lines_of("FIRST")


def complaint_about(name, bug, output, reports, status, is_stack):
    """What is wrong with what was said of a bug, or an empty text."""
    if f"status {bug.status}" not in output:
        return f"the program does not end with {bug.status}"
    if is_stack != (status == FOUND) or (not is_stack and status != 0):
        return f"status {status}"
    if not reports:
        return "nothing is reported"
    first, where, *rest = reports[0]
    if not re.match(rf"{bug.kind}: {bug.what} at 0x[0-9a-f]+ in (global|shared|local) memory", first):
        return f'the report does not begin with "{bug.kind}: {bug.what} at ..."'
    if not re.match(rf"kernel (\(anonymous namespace\)::)?{bug.kernel}\(.*\), block {re.escape(bug.block)}", where):
        return f'the report does not name kernel {bug.kernel}, block {bug.block}'
    place = rf" at \S*kernel_bugs\.cu:{PLACES[name]}(,.*)? \(PTX line \d+\)$"
    told = [where] if bug.kind != "race" else rest[:2]
    if not any(re.search(place, line) for line in told):
        return f"the report does not name line {PLACES[name]}"
    if not any(f"thread {bug.thread}" in line for line in told):
        return f"the report does not name thread {bug.thread}"
    if name in FIRSTS and not any(re.search(rf"kernel_bugs\.cu:{FIRSTS[name]}\b", line) for line in told):
        return f"the report does not name line {FIRSTS[name]}"
    at = bug.at
    if memory := re.search(r"^memory (0x[0-9a-f]+) (\d+)$", output, re.MULTILINE):
        at = at.replace("MEMORY", f"{memory[1]} of {memory[2]} bytes")
    if not any(re.match(at, line) or (bug.kind == "race" and re.search(at, line)) for line in rest):
        return f'the report does not say "{at}"'
    return ""


def parse(errors):
    """The reports on standard error: lists of lines."""
    reports = []
    for line in errors.splitlines():
        if not line.startswith(PREFIX):
            continue
        line = line.removeprefix(PREFIX)
        if line.startswith("  "):
            reports[-1].append(line.strip())
        else:
            reports.append([line])
    return reports


def execute(program, arguments, checks, driver, stack):
    """Output, standard error, and status (None when it takes too long)."""
    with tempfile.TemporaryDirectory(prefix="softgpu-", dir=fast_folder()) as memory:
        environment = dict(os.environ, SOFTGPU_DIR=memory, SOFTGPU_THREADS="1")
        command = [str(program), *arguments]
        if stack is not None:
            command = [str(stack / "bin/gpu-run"), "-q", f"--check={checks}", "--", *command]
        else:
            environment.update(LD_LIBRARY_PATH=str(driver), SOFTGPU_CHECK=checks)
        try:
            done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  errors="replace", timeout=SECONDS_PER_RUN)
        except subprocess.TimeoutExpired:
            return "", "", None
        return done.stdout, done.stderr, done.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, metavar="DIR",
                        help="where the programs were built")
    parser.add_argument("--driver-dir", type=pathlib.Path, required=True, metavar="DIR",
                        help="where the software GPU's libcuda.so.1 lies")
    parser.add_argument("--stack", type=pathlib.Path, metavar="DIR", help="also under DIR/bin/gpu-run")
    parser.add_argument("--only", action="append", metavar="NAME", help="this bug")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    arguments = parser.parse_args()
    program = arguments.programs.resolve() / "kernel_bugs_static"
    ways = [None] + ([arguments.stack.resolve()] if arguments.stack else [])
    names = arguments.only or [*BUGS]

    def judge(run):
        name, checks, stack = run
        given = [name] if name else []
        output, errors, status = execute(program, given, checks, arguments.driver_dir.resolve(), stack)
        reports = parse(errors)
        if name:
            complaint = complaint_about(name, BUGS[name], output, reports, status, stack is not None)
        else:
            complaint = "something is reported" if reports else "" if status == 0 else f"status {status}"
        if complaint:
            complaint += "".join(f"\n    | {line}" for line in (output + errors).splitlines()[-30:])
        return run, complaint

    runs = [(name, BUGS[name].checks, way) for way in ways for name in names]
    if not arguments.only:
        runs += [("", checks, way) for way in ways for checks in ("memory", "uninitialised,races")]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for (name, checks, stack), complaint in pool.map(judge, runs):
            failed += bool(complaint)
            verdict = f"FAIL {complaint}" if complaint else "pass"
            print(f"{name or 'no bug':24} {'stack' if stack else 'native':7} {checks:20} {verdict}", flush=True)
    print(f"{len(runs) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
