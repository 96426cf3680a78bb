"""The software GPU beside the same work in plain C++ (-O2). SOFTGPU_CPU chooses the CPU level; by default it is the
machine's highest.

A sample is taken by a process of its own, behind a call that does not count, in turns with the baseline's and some
seconds apart: a virtual machine's core may be at half its speed for as long (docs/benchmarks.md).
"""

import dataclasses
import os
import time

from benchmarks.run import NotRun, pinned, samples

TURNS = 6
APART = 5  # seconds


@dataclasses.dataclass(frozen=True)
class Row:
    program: str  # on the device
    baseline: str  # argument of the plain program
    sample: str  # name of the samples, in seconds, in the output of both
    unit: str
    scale: float  # value = scale * seconds, or scale / seconds for a rate
    rate: bool
    one_core: bool  # pinned to one core, one worker thread; else all cores of this process
    library: str = ""  # of the toolkit, without which the program is not built

    def measure(self, paths):
        if self.library and not (paths.bench / self.program).exists():
            raise NotRun(f"{self.program} is not built; that needs a toolkit with {self.library}")
        environment = dict(os.environ, LD_LIBRARY_PATH=str(paths.driver), BENCH_REPETITIONS="1")
        on_device, plain = [paths.bench / self.program], [paths.bench / "baseline", self.baseline]
        pinning = "not pinned"
        if self.one_core:
            # Rarely the core that serves interrupts.
            core = max(os.sched_getaffinity(0))
            on_device, plain, pinning = pinned(core, on_device), pinned(core, plain), f"CPU {core}"
            environment["SOFTGPU_THREADS"] = "1"
        values, baselines = [], []
        for turn in range(TURNS):
            time.sleep(APART if turn else 0)
            for command, figures in ((on_device, values), (plain, baselines)):
                figures += map(self._value, samples(command, environment)[self.sample])
        best, worst = (max, min) if self.rate else (min, max)
        value, baseline = best(values), best(baselines)
        return {"value": value, "unit": self.unit, "baseline": baseline, "ratio": value / baseline,
                "spread": abs(worst(values) - value) / value}, pinning

    def _value(self, seconds):
        return self.scale / seconds if self.rate else self.scale * seconds


ROWS = {
    "softgpu_matmul_gflops": Row("matmul_static", "matmul", "matmul", "GFLOP/s", 2 * 512**3 / 1e9, True, True),
    "softgpu_cublas_sgemm_s": Row("cublas_sgemm_shared", "matmul", "matmul", "s", 1, False, False, "cuBLAS"),
    "softgpu_launch_us": Row("launch_driver", "launch", "launch", "us", 1e6, False, False),
    "softgpu_launch_sync_us": Row("launch_driver", "launch", "launch_sync", "us", 1e6, False, False),
    "softgpu_load_ms": Row("load_driver", "load", "load", "ms", 1e3, False, True),
    "softgpu_vecadd_ms": Row("vecadd_static", "vecadd", "vecadd", "ms", 1e3, False, True),
}
