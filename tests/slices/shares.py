#!/usr/bin/env -S python3 -B
"""Whether leases get the share of a GPU's time that they were promised: runs programs that keep one GPU busy, for some
seconds of real time each, and compares the device time that they got. Prints a line per case; the status is 0 when all
are within bounds.

By default on a driver whose kernels take their time by the clock and no CPU. On a real GPU: --driver libcuda.so.1.
"""

import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOLERANCE = 0.1
WHOLE = 0.98  # of the time, for who is alone
START_SECONDS = 60


class Tenant:
    """A lease with one program."""

    def __init__(self, share, kernel, hard=False, ahead=50, graph=0):
        self.share, self.kernel, self.hard, self.ahead, self.graph = share, kernel, hard, ahead, graph

    def __str__(self):
        waits = " each waited for" if self.ahead == 0 else ""
        graphs = f" in graphs of {self.graph}" if self.graph else ""
        return f"{self.share}{' hard' if self.hard else ''} of {self.kernel / 1000:g} ms{graphs}{waits}"


class Case:
    """Tenants that run together, and what they are to get: of the time (alone), or of what all of them got."""

    def __init__(self, name, *tenants, of_time=None):
        self.name, self.tenants, self.of_time = name, tenants, of_time


CASES = [
    Case("alone", Tenant(0.75, 1000), of_time=(WHOLE, 1.01)),
    Case("alone", Tenant(0.25, 1000), of_time=(WHOLE, 1.01)),
    Case("alone-short", Tenant(0.25, 100), of_time=(WHOLE, 1.01)),
    Case("hard", Tenant(0.25, 1000, hard=True), of_time=(0.25 * (1 - TOLERANCE), 0.25 * (1 + TOLERANCE))),
    Case("hard-waiting", Tenant(0.25, 1000, hard=True, ahead=0),
         of_time=(0.25 * (1 - TOLERANCE), 0.25 * (1 + TOLERANCE))),
    Case("equal-kernels", Tenant(0.75, 1000), Tenant(0.25, 1000)),
    Case("short-and-long", Tenant(0.75, 1000), Tenant(0.25, 20000)),
    Case("long-and-short", Tenant(0.75, 20000), Tenant(0.25, 1000)),
    Case("many-small", Tenant(0.75, 20), Tenant(0.25, 20000)),
    Case("graphs-and-launches", Tenant(0.75, 100, graph=100), Tenant(0.25, 1000)),
    Case("launches-and-graphs", Tenant(0.75, 1000), Tenant(0.25, 100, graph=100)),
    Case("waiting", Tenant(0.75, 1000, ahead=0), Tenant(0.25, 20000)),
    Case("eight", *[Tenant(0.125, 1000)] * 8),
]


class Node:
    """A node of its own, for as long as the context lasts."""

    def __init__(self, build, driver, extra):
        self.build, self.driver, self.extra = build, driver, extra

    @contextlib.contextmanager
    def running(self):
        with tempfile.TemporaryDirectory(prefix="outboard-slices-") as folder:
            self.environment = dict(os.environ, SOFTGPU_DIR=folder, SOFTGPU_THREADS="1")
            reader, writer = os.pipe()
            command = [self.build / "bin/gpu-node", "--listen", f"unix:{folder}/node", "--driver", self.driver,
                       "--announce-fd", str(writer), *self.extra]
            process = subprocess.Popen(list(map(str, command)), env=self.environment, stdin=subprocess.DEVNULL,
                                       pass_fds=(writer,))
            os.close(writer)
            try:
                with os.fdopen(reader) as announcement:
                    word, _, self.address = announcement.readline().strip().partition(" ")
                if word != "ready":
                    sys.exit(f"gpu-node did not start: {self.address}")
                yield
            finally:
                process.terminate()
                process.wait(timeout=30)

    def start(self, tenant, seconds, by_shape):
        program = self.build / "tests/slices/tenant_driver"
        command = [self.build / "bin/gpu-run", "-q", "-n", tenant.share, "-m", "64MiB", "--node", self.address,
                   *(["--hard"] if tenant.hard else []), "--", program, tenant.kernel, seconds, tenant.ahead,
                   tenant.graph, *(["clock"] if by_shape else [])]
        return subprocess.Popen(list(map(str, command)), env=self.environment, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)


def measure(node, case, seconds, by_shape):
    """Device seconds of each tenant."""
    processes = [node.start(tenant, seconds, by_shape) for tenant in case.tenants]
    try:
        for process in processes:
            if process.stdout.readline() != "ready\n":
                sys.exit(f"{case.name}: a tenant did not start")
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        used = [float(process.stdout.readline() or "nan") for process in processes]
        for process in processes:
            process.wait(timeout=START_SECONDS)
        return used
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def judge(case, used, seconds):
    """(whether it is good, what there is to say)."""
    whole = sum(used)
    parts = ", ".join(f"{tenant}: {time / seconds:.3f} of the time, {time / whole if whole else 0:.3f} of all"
                      for tenant, time in zip(case.tenants, used))
    if case.of_time:
        low, high = case.of_time
        return all(low <= time / seconds <= high for time in used), parts
    shares = sum(tenant.share for tenant in case.tenants)
    good = all(abs(time / whole - tenant.share / shares) <= TOLERANCE * tenant.share / shares
               for tenant, time in zip(case.tenants, used)) if whole > 0 else False
    return good and whole <= 1.02 * seconds, f"{whole / seconds:.3f} of the time in all; {parts}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"by default all: {' '.join(c.name for c in CASES)}")
    parser.add_argument("--seconds", type=float, default=10, help="of each case (default 10)")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", metavar="DIR")
    parser.add_argument("--driver", metavar="PATH", help="the libcuda.so.1 to use")
    parser.add_argument("--no-governor", action="store_true", help="to see the checks fail")
    arguments = parser.parse_args()
    clock = arguments.build.resolve() / "tests/bench/clock_driver/libcuda.so.1"
    options = ["--no-governor"] if arguments.no_governor else []
    node = Node(arguments.build.resolve(), arguments.driver or clock, options)
    all_good = True
    for case in CASES:
        if arguments.cases and case.name not in arguments.cases:
            continue
        with node.running():
            used = measure(node, case, arguments.seconds, by_shape=not arguments.driver)
        good, said = judge(case, used, arguments.seconds)
        all_good = all_good and good
        print(f"{'ok  ' if good else 'FAIL'} {case.name:16} {said}", flush=True)
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(main())
