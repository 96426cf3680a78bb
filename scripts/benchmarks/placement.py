"""Where the pool's policies put the tasks of Alibaba's cluster-trace-gpu-v2023 ("openb"), and how long they take to
decide. The trace is not part of the project: --trace names the folder with its files."""

import dataclasses
import os
import pathlib
import statistics

from benchmarks.run import NotRun, pinned, samples

POLICIES = ("bestfit", "spread", "fgd")
BASELINES = {"bestfit": "random", "spread": "bestfit", "fgd": "bestfit"}
NODES = "openb_node_list_gpu_node.csv"
TASKS = "openb_pod_list_"  # and the trace's name, .csv
TIMED_NODES = 1000

# Of the GPUs of the cluster, in per cent: Weng et al., "Beware of Fragmentation", USENIX ATC 2023, and its artifact.
PUBLISHED = {
    "default": {"random": 86.30, "bestfit": 92.86, "fgd": 95.23},
    "gpushare100": {"random": 78.90, "bestfit": 84.62, "fgd": 86.64},
    "multigpu50": {"random": 81.28, "bestfit": 95.62, "fgd": 97.09},
}


@dataclasses.dataclass(frozen=True)
class TraceRow:
    """GPU allocation when all of the GPUs have been asked for, in per cent, mean of ten seeds. Its baseline is what
    another policy makes of the same tasks."""
    folder: pathlib.Path | None
    trace: str
    policy: str
    reorder: int | None

    def measure(self, paths):
        got, baseline = self._samples(paths, self.policy), self._samples(paths, BASELINES[self.policy])
        allocated = got["allocated"]
        value, other = 100 * statistics.mean(allocated), 100 * statistics.mean(baseline["allocated"])
        return {"value": value, "unit": "%", "baseline": other, "ratio": value / other,
                "spread": (max(allocated) - min(allocated)) / max(allocated)}, (
                    f"baseline is {self._described(BASELINES[self.policy])}; {self._described(self.policy)}: "
                    f"ties in {sum(got['ties']) / sum(got['decisions']):.0%} of {sum(got['decisions']):.0f} decisions, "
                    f"{1e6 * statistics.median(got['seconds']):.1f} us each")

    def _samples(self, paths, policy):
        if self.folder is None:
            raise NotRun("needs --trace DIR, a folder with the files of cluster-trace-gpu-v2023")
        files = self.folder / NODES, self.folder / f"{TASKS}{self.trace}.csv"
        for file in files:
            if not file.exists():
                raise NotRun(f"{file} is missing: give the folder with the files of cluster-trace-gpu-v2023")
        more = [] if self.reorder is None else [self.reorder]
        return samples([paths.bench / "placement", "trace", policy, *files, *more], dict(os.environ))

    def _described(self, policy):
        published = PUBLISHED.get(self.trace, {}).get(policy)
        return policy if published is None else f"{policy} (published {published:.2f})"


@dataclasses.dataclass(frozen=True)
class TimeRow:
    """Microseconds for one decision and the end of an earlier task, beside one look at each GPU."""
    policy: str

    def measure(self, paths):
        core = max(os.sched_getaffinity(0))
        command = [paths.bench / "placement", "time", self.policy, TIMED_NODES]
        got = samples(pinned(core, command), dict(os.environ))
        times, looks = ([1e6 * seconds for seconds in got[name]] for name in ("placement", "looks"))
        value, baseline = min(times), min(looks)
        return {"value": value, "unit": "us", "baseline": baseline, "ratio": value / baseline,
                "spread": (max(times) - value) / value}, f"CPU {core}"


def rows(folder=None, reorder=None):
    """The rows of the traces with published figures, and of any others whose task files lie in the folder."""
    found = [] if folder is None else [path.stem.removeprefix(TASKS) for path in folder.glob(f"{TASKS}*.csv")]
    traces = [*PUBLISHED, *sorted(set(found) - set(PUBLISHED))]
    return {**{f"placement_us_{policy}": TimeRow(policy) for policy in POLICIES},
            **{f"placement_{trace}_{policy}": TraceRow(folder, trace, policy, reorder)
               for trace in traces for policy in POLICIES}}
