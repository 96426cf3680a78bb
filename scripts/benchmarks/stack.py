"""A program under gpu-run beside the same program on the same driver without it.

The program is pinned to one CPU, node and worker to another; runs of both kinds alternate. Where it may, a row has a
network of its own in which TCP uses reno congestion control.
"""

import contextlib
import os
import select
import statistics
import subprocess
import tempfile
import time

from benchmarks.run import pinned, samples

PAIRS = 5
SECONDS_PER_PROGRAM = 120
CLIENT_CPU, SERVER_CPU = 0, 1
MIB = 1 << 20


def congestion_control():
    with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as file:
        return file.read().strip()


PINNING = f"client CPU {CLIENT_CPU}, server CPU {SERVER_CPU}"


class Stack:
    """A node on loopback with a driver of its own; programs that run on it, and natively on the same driver."""

    def __init__(self, paths, driver, memory):
        self.paths, self.driver = paths, driver
        self.environment = dict(os.environ, SOFTGPU_DIR=memory, SOFTGPU_THREADS="1")

    @contextlib.contextmanager
    def node(self, *options):
        reader, writer = os.pipe()
        command = [self.paths.build / "bin/gpu-node", "--listen", "127.0.0.1:0", "--driver", self.driver,
                   "--announce-fd", str(writer), *options]
        process = subprocess.Popen(list(map(str, pinned(SERVER_CPU, command))), env=self.environment,
                                   stdin=subprocess.DEVNULL, pass_fds=(writer,))
        os.close(writer)
        try:
            with os.fdopen(reader) as announcement:
                word, _, self.address = announcement.readline().strip().partition(" ")
            if word != "ready":
                raise SystemExit(f"gpu-node did not start: {self.address}")
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)

    def through(self, command, *options):
        run = [self.paths.build / "bin/gpu-run", "-q", *options, "--node", self.address, "--"]
        return pinned(CLIENT_CPU, [*run, *command])

    def native(self, command):
        environment = ["env", f"LD_LIBRARY_PATH={os.path.dirname(self.driver)}"]
        return pinned(CLIENT_CPU, [*environment, *command])

    def pairs(self, measure_through, measure_native):
        """Figures of both kinds, taken in turns."""
        with self.node():
            measure_through()  # the first session finds the node cold
            return tuple(zip(*((measure_through(), measure_native()) for _ in range(PAIRS))))


def clock_stack(paths, memory):
    return Stack(paths, paths.bench / "clock_driver/libcuda.so.1", memory)


def sample(stack, command, name):
    return statistics.median(samples(command, stack.environment)[name])


def row(unit, through, native, value, baseline):
    spread = (max(through) - min(through)) / statistics.median(through)
    return {"value": value, "unit": unit, "baseline": baseline, "ratio": value / baseline if baseline else 0.0,
            "spread": spread}


def measure_program(paths, memory, argument, name):
    stack = clock_stack(paths, memory)
    program = [paths.bench / "stack_driver", argument]
    return stack.pairs(lambda: sample(stack, stack.through(program), name),
                       lambda: sample(stack, stack.native(program), name))


def launch_async(paths, memory):
    through, native = measure_program(paths, memory, "launch_async", "launch_async")
    return row("ns", through, native, 1e9 * statistics.median(through), 1e9 * statistics.median(native))


def ratio_row(through, native):
    ratio = statistics.median(a / b for a, b in zip(through, native))
    return row("x", through, native, ratio, 1.0)


def launch_loop(paths, memory):
    return ratio_row(*measure_program(paths, memory, "launch_loop", "launch_loop"))


def governor_overhead(paths, memory):
    """A slice that is alone on its GPU, with turns and without: a loop of many short kernels."""
    governed, free = clock_stack(paths, memory), clock_stack(paths, memory)
    program = [paths.bench / "stack_driver", "launch_loop"]

    def measure(stack):
        return sample(stack, stack.through(program, "-n", "0.5"), "launch_loop")

    with governed.node(), free.node("--no-governor"):
        measure(governed), measure(free)  # the first sessions find the nodes cold
        return ratio_row(*zip(*((measure(governed), measure(free)) for _ in range(PAIRS))))


def sync_rtt(paths, memory):
    stack = clock_stack(paths, memory)
    program, ping_pong = [paths.bench / "stack_driver", "sync"], [paths.bench / "ping_pong", CLIENT_CPU, SERVER_CPU]
    return ratio_row(*stack.pairs(lambda: sample(stack, stack.through(program), "sync"),
                                  lambda: sample(stack, ping_pong, "ping_pong")))


def client_rss(paths, memory):
    through, native = measure_program(paths, memory, "sync", "rss")
    added = (statistics.median(through) - statistics.median(native)) / MIB
    return row("MiB", through, native, added, statistics.median(native) / MIB)


def wall(command, environment):
    """Seconds from start to end. By a pidfd: wait with a timeout looks only every 50 ms."""
    start = time.monotonic()
    process = subprocess.Popen(list(map(str, command)), env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
    with open(os.pidfd_open(process.pid), "rb") as ended:
        ready, _, _ = select.select([ended], [], [], SECONDS_PER_PROGRAM)
    seconds = time.monotonic() - start
    if not ready:
        process.kill()
    if process.wait() != 0:
        raise SystemExit(f"{command[-1]}: status {process.returncode}")
    return seconds


def vectoradd_added(paths, memory):
    stack = Stack(paths, paths.driver / "libcuda.so.1", memory)
    program = [paths.build / "tests/programs/vector_add_static"]

    through, native = stack.pairs(lambda: wall(stack.through(program), stack.environment),
                                  lambda: wall(stack.native(program), stack.environment))
    added = 1e3 * (statistics.median(through) - statistics.median(native))
    return row("ms", through, native, added, 1e3 * statistics.median(native))


class Row:
    def __init__(self, function):
        self.function = function

    def measure(self, paths):
        with tempfile.TemporaryDirectory(prefix="outboard-bench-") as memory:
            return self.function(paths, memory), f"{PINNING}, {congestion_control()}"


ROWS = {
    "launch_async_ns": Row(launch_async),
    "launch_loop_ratio": Row(launch_loop),
    "sync_rtt_ratio": Row(sync_rtt),
    "governor_overhead_ratio": Row(governor_overhead),
    "vectoradd_added_ms": Row(vectoradd_added),
    "client_rss_mib": Row(client_rss),
}
