#!/usr/bin/env -S python3 -B
"""Runs the test programs on a driver and prints a table; the last line is "N passed, M failed".

Each run gets a fresh folder for the software GPU's memory. With --stack, each program runs under gpu-run, and what it
writes must be what it writes when it runs on the driver directly. The status is 0 only when nothing failed and something
ran.
"""

import argparse
import concurrent.futures
import dataclasses
import difflib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SOURCES = pathlib.Path(__file__).resolve().parent
SECONDS_PER_RUN = 120
USER = 65534  # "nobody" on every Linux
FORMS = ("static", "shared", "driver")

# What a program needs beyond the defaults to show what it is for.
ENVIRONMENT = {"green_contexts": {"SOFTGPU_SMS": "32"}, "memory_pools": {"SOFTGPU_MEMORY": "256MiB"}, "multi_device": {"SOFTGPU_DEVICES": "3"},
               "out_of_memory": {"SOFTGPU_MEMORY": "256MiB"}, "virtual_memory": {"SOFTGPU_MEMORY": "256MiB"},
               "peer_access": {"SOFTGPU_DEVICES": "2"}}
GPUS = {"multi_device": "3", "peer_access": "2"}  # gpu-run -n

# What the stack cannot carry yet, and why.
NOT_THROUGH_THE_STACK = {}
STACK_PARTS = ("bin/gpu-run", "bin/gpu-node", "bin/gpu-worker", "lib/outboard/client", "lib/outboard/softgpu",
               "lib/outboard/liboutboard_grpc.so", "lib/outboard/private")


@dataclasses.dataclass(frozen=True)
class Run:
    """One program under one setting. `environment` is what the setting adds; `stack` the installation under whose
    gpu-run it runs, or None."""
    path: pathlib.Path
    setting: str = ""
    environment: tuple = ()
    stack: pathlib.Path | None = None

    @property
    def name(self):
        return self.path.name.rpartition("_")[0]


@dataclasses.dataclass(frozen=True)
class Outcome:
    run: Run
    complaint: str  # empty when it passed
    digest: str
    seconds: float
    output: str


def fast_folder():
    """Where device memory is best kept: in memory, if there is room."""
    shm = pathlib.Path("/dev/shm")
    if os.access(shm, os.W_OK):
        room = os.statvfs(shm)
        if room.f_bavail * room.f_frsize >= 1 << 30:
            return str(shm)
    return None


def complaint_about(run, status, output, errors):
    """What is wrong with how a run ended, or an empty text."""
    if status is None:
        return f"not finished after {SECONDS_PER_RUN} s"
    if status != 0:
        return f"status {status}"
    lines = output.splitlines()
    digests = len(lines) > 0 and lines[-1].startswith("digest ")
    if (lines[-2:-1] if digests else lines[-1:]) != [f"PASS {run.name}"]:
        return f'the last line is not "PASS {run.name}"'
    expected = SOURCES / f"{run.name}.stdout"
    if expected.exists() and output != expected.read_text():
        return f"the output differs from {expected.name}"
    return ""


def execute(run, driver, user):
    """Runs a program to its end or to the time limit."""
    with tempfile.TemporaryDirectory(prefix="softgpu-", dir=fast_folder()) as memory, \
         tempfile.TemporaryDirectory(prefix="home-") as home:
        environment = dict(os.environ, **ENVIRONMENT.get(run.name, {}), **dict(run.environment))
        environment["SOFTGPU_DIR"] = memory
        command = [str(run.path)]
        if run.stack is not None:
            command = [str(run.stack / "bin/gpu-run"), "-q", "-n", GPUS.get(run.name, "1"), "--"] + command
        elif driver is not None:
            environment["LD_LIBRARY_PATH"] = str(driver)
        if user:
            environment["HOME"] = home
            environment.pop("XDG_RUNTIME_DIR", None)
            os.chown(memory, USER, USER)
            os.chown(home, USER, USER)
            command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] + command
        start = time.monotonic()
        process = subprocess.Popen(command, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
        try:
            output, errors = process.communicate(timeout=SECONDS_PER_RUN)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
            output, errors = process.communicate()
            status = None
        seconds = time.monotonic() - start
    complaint = complaint_about(run, status, output, errors)
    if complaint:
        complaint += "".join(f"\n    | {line}" for line in (output + errors).splitlines()[-30:])
    digest = re.search(r"^digest ([0-9a-f]{16})$", output, re.MULTILINE)
    return Outcome(run, complaint, digest.group(1) if digest else "", seconds, output)


def report(outcomes):
    """Prints a line for each outcome as it comes, and returns them all."""
    done = []
    for outcome in outcomes:
        verdict = f"FAIL {outcome.complaint}" if outcome.complaint else "pass"
        print(f"{outcome.run.path.name:28} {outcome.run.setting:14} {outcome.seconds:7.2f} s  {verdict}", flush=True)
        done.append(outcome)
    return done


def compare(natives, outcomes):
    """`outcomes` of the stack, each with a complaint when the native run of the program and setting wrote other text."""
    texts = {(native.run.path, native.run.setting): native for native in natives}
    for outcome in outcomes:
        native = texts[outcome.run.path, outcome.run.setting.removesuffix("stack").strip()]
        if not outcome.complaint and native.complaint:
            outcome = dataclasses.replace(outcome, complaint="the native run failed")
        elif not outcome.complaint and outcome.output != native.output:
            outcome = dataclasses.replace(outcome, complaint="the output differs from the native run's" + "".join(
                f"\n    | {line}" for line in difflib.unified_diff(native.output.splitlines(),
                                                                   outcome.output.splitlines(), lineterm="", n=0)))
        yield outcome


def copy_stack(stack, to):
    """Copies the parts of an installation, or of a build folder that has its shape."""
    for part in STACK_PARTS:
        source, target = stack / part, to / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        elif source.exists():
            shutil.copy(source, target)
    return to


def cpu_levels():
    """The levels v2, v3, v4, each with what this machine lacks for it (empty: nothing)."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    flags = set(re.search(r"^flags\s*:(.*)$", text, re.MULTILINE).group(1).split())
    needs = {"v2": {"sse4_2", "popcnt"}, "v3": {"avx2", "bmi1", "bmi2", "fma"},
             "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}}
    return {level: sorted(needed - flags) for level, needed in needs.items()}


def same_results(programs, execute_all):
    """Compares digests across CPU levels and numbers of threads. Returns how many programs agreed and how many not."""
    settings = []
    for level, lacking in cpu_levels().items():
        if lacking:
            print(f"{level}: not run, this machine lacks {' '.join(lacking)}")
            continue
        settings += [(f"{level} {threads} threads", (("SOFTGPU_CPU", level), ("SOFTGPU_THREADS", str(threads))))
                     for threads in (1, 4)]
    # How the runtime is linked makes no difference to results.
    other_form = {program.with_name(program.name.removesuffix("static") + "shared") for program in programs}
    programs = [program for program in programs if program not in other_form or program.name.endswith("_static")]
    by_program = {}
    for outcome in report(execute_all([Run(program, *setting) for program in programs for setting in settings])):
        by_program.setdefault(outcome.run.path, []).append(outcome)
    passed = failed = 0
    for path, outcomes in by_program.items():
        digests = {outcome.run.setting: outcome.digest for outcome in outcomes}
        if any(outcome.complaint for outcome in outcomes):
            failed += 1
        elif len(set(digests.values())) != 1:
            failed += 1
            print(f"{path.name}: results differ: {digests}")
        elif any(digests.values()):
            passed += 1
    print(f"{len(by_program) - passed - failed} programs print no digest, since their results depend on time or order")
    return passed, failed


def find_programs(folder, only):
    programs = sorted(path for path in folder.iterdir()
                      if path.is_file() and os.access(path, os.X_OK) and path.name.rpartition("_")[2] in FORMS)
    if only:
        programs = [path for path in programs if path.name in only or path.name.rpartition("_")[0] in only]
    return programs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, metavar="DIR",
                        help="where the programs were built")
    parser.add_argument("--driver-dir", type=pathlib.Path, metavar="DIR",
                        help="where libcuda.so.1 lies; by default the machine's own driver is used")
    parser.add_argument("--stack", type=pathlib.Path, metavar="DIR",
                        help="also run under DIR/bin/gpu-run, and compare; the driver is the software GPU beside it")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="a program, with or without _static, _shared or _driver")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="run all with SOFTGPU_CHAOS=1 to N")
    parser.add_argument("--user", action="store_true", help="run as an ordinary user")
    parser.add_argument("--threads", type=int, metavar="N", help="sets SOFTGPU_THREADS")
    parser.add_argument("--cpu", choices=("v2", "v3", "v4"), help="sets SOFTGPU_CPU")
    parser.add_argument("--same-results", action="store_true",
                        help="compare results across CPU levels and numbers of threads")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N",
                        help="programs at a time")
    arguments = parser.parse_args()

    driver = arguments.driver_dir.resolve() if arguments.driver_dir else None
    if driver is not None and not (driver / "libcuda.so.1").exists():
        parser.error(f"{driver} has no libcuda.so.1")
    stack = arguments.stack.resolve() if arguments.stack else None
    if stack is not None:
        if arguments.same_results:
            parser.error("--same-results compares native runs")
        driver = driver or stack / "lib/outboard/softgpu"
    programs = find_programs(arguments.programs.resolve(), arguments.only)
    if stack is not None:
        for program in programs:
            if why := NOT_THROUGH_THE_STACK.get(program.name.rpartition("_")[0]):
                print(f"{program.name}: left out: {why}")
        programs = [program for program in programs if program.name.rpartition("_")[0] not in NOT_THROUGH_THE_STACK]
    if not programs:
        parser.error(f"{arguments.programs} has no such programs")
    environment = ()
    if arguments.threads is not None:
        environment += (("SOFTGPU_THREADS", str(arguments.threads)),)
    if arguments.cpu is not None:
        environment += (("SOFTGPU_CPU", arguments.cpu),)
    seeds = [(f"seed {seed}", (("SOFTGPU_CHAOS", str(seed)),)) for seed in range(1, arguments.seeds + 1)] or [("", ())]

    with tempfile.TemporaryDirectory(prefix="programs-") as copies, \
         concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        user = arguments.user and os.geteuid() == 0
        if user:
            # The user may not be able to reach the folders where things were built.
            os.chmod(copies, 0o755)
            if driver is not None:
                driver = pathlib.Path(shutil.copytree(driver, copies + "/driver", symlinks=True))
            if stack is not None:
                stack = copy_stack(stack, pathlib.Path(copies) / "stack")
            programs = [pathlib.Path(shutil.copy(program, copies)) for program in programs]
            for archive in arguments.programs.resolve().glob("*.a"):  # that programs read
                shutil.copy(archive, copies)

        def execute_all(runs):
            return pool.map(lambda run: execute(run, driver, user), runs)

        if arguments.same_results:
            passed, failed = same_results(programs, execute_all)
        else:
            runs = [Run(program, setting, environment + added) for setting, added in seeds for program in programs]
            if stack is None:
                outcomes = report(execute_all(runs))
            else:
                natives = list(execute_all(runs))
                runs = [dataclasses.replace(run, setting=f"{run.setting} stack".strip(), stack=stack) for run in runs]
                outcomes = report(compare(natives, execute_all(runs)))
            failed = sum(1 for outcome in outcomes if outcome.complaint)
            passed = len(outcomes) - failed
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
