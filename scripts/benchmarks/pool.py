"""What gpu-pool decides in a second, with 1 000 nodes of 8 GPUs and 64 clients, and how soon it is back with all leases
after kill -9. One decision is an allocation of a part of a GPU and its release, two calls."""

import dataclasses
import os
import statistics
import tempfile

from benchmarks.run import NotRun, pinned, samples

LEASES = 20000
CPUS = 2  # the pool runs on the first, the clients on the second
# By which the policy "fragmentation" judges: parts of a GPU, and whole ones.
SHAPES = "shapes: [{gpus: 0.25, weight: 3}, {gpus: 0.5, weight: 3}, {gpus: 1, weight: 3}, {gpus: 8, weight: 1}]\n"
POLICIES = {"": "policy: best-fit\n", "_fgd": "policy: fragmentation\n" + SHAPES, "_durable": "policy: best-fit\n"}


def load(paths, what, *arguments):
    """What the load prints, on the second CPU; it starts the pool on the first."""
    if os.sched_getaffinity(0) < set(range(CPUS)):
        raise NotRun("needs the CPUs 0 and 1")
    command = [paths.build / "tests/pool_load/pool_load", what, paths.build / "bin/gpu-pool", *arguments]
    return samples(pinned(1, command), dict(os.environ))


def decisions(paths, kind, cache={}):
    """Both rows of a kind are of one run."""
    if kind not in cache:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
            config.write(POLICIES[kind])
            config.flush()
            store = ["--store", "@store"] if kind == "_durable" else []
            cache[kind] = load(paths, "decisions", "--config", config.name, *store)
    return cache[kind]


@dataclasses.dataclass(frozen=True)
class RateRow:
    """Decisions per second; the baseline are pairs of calls that decide nothing."""
    kind: str

    def measure(self, paths):
        got = decisions(paths, self.kind)
        rates, baseline = got["decisions"], statistics.median(got["calls"])
        value = statistics.median(rates)
        return {"value": value, "unit": "1/s", "baseline": baseline, "ratio": value / baseline,
                "spread": (max(rates) - min(rates)) / value}, "pool on CPU 0, clients on CPU 1"


@dataclasses.dataclass(frozen=True)
class LatencyRow:
    """The 99th percentile of the calls of decisions, in milliseconds; the baseline is the mean of those that decide
    nothing, as many at a time."""
    kind: str

    def measure(self, paths):
        got = decisions(paths, self.kind)
        times = [1e3 * seconds for seconds in got["p99"]]
        value, baseline = statistics.median(times), 1e3 * statistics.median(got["idle_seconds"])
        return {"value": value, "unit": "ms", "baseline": baseline, "ratio": value / baseline,
                "spread": (max(times) - min(times)) / value}, "pool on CPU 0, clients on CPU 1"


@dataclasses.dataclass(frozen=True)
class RestartRow:
    """Seconds from the start until all nodes are back and the pool has each of their leases open; the baseline is a
    start without nodes."""

    def measure(self, paths):
        got = load(paths, "restart", LEASES)
        value, baseline = got["restart"][0], got["empty"][0]
        return {"value": value, "unit": "s", "baseline": baseline, "ratio": value / baseline, "spread": 0.0}, (
            f"{got['leases'][0]:.0f} leases")


ROWS = {**{f"pool_decisions_per_s{kind}": RateRow(kind) for kind in POLICIES},
        **{f"pool_decision_p99_ms{kind}": LatencyRow(kind) for kind in POLICIES}, "pool_restart_s": RestartRow()}
