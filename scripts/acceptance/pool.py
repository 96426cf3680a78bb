"""What must hold of the pool: a demonstration, placement, decisions, kills, properties, and what goes wrong outside."""

import os
import pathlib

from acceptance.line import Line, tests

PREPARE = "scripts/build release"

LOAD = "build/release/tests/pool_load/pool_load"
POOL = "build/release/bin/gpu-pool"
# Weng et al., "Beware of Fragmentation", USENIX ATC 2023: best-fit on each trace, in per cent.
BESTFIT = {"default": 92.86, "gpushare100": 84.62, "multigpu50": 95.62}
FGD = {"default": 95.0, "gpushare100": 86.2, "multigpu50": 97.0}
WITHIN = 0.3  # per cent of all GPUs


def trace():
    """Why the public trace cannot be replayed, or None."""
    path = os.environ.get("OUTBOARD_TRACE_DATA")
    if not path:
        return "OUTBOARD_TRACE_DATA names no folder with the files of cluster-trace-gpu-v2023"
    if not (pathlib.Path(path) / "openb_node_list_gpu_node.csv").exists():
        return f"{path} (OUTBOARD_TRACE_DATA) has no openb_node_list_gpu_node.csv"
    return None


def cpus():
    return None if os.sched_getaffinity(0) >= {0, 1} else "needs the CPUs 0 and 1"


def value(row, more=""):
    """A command that prints a row's name and value."""
    return (f"scripts/bench {row} {more}--json build/accept/{row}.json && python3 -c \"import json; "
            f"print('{row}', json.load(open('build/accept/{row}.json'))['{row}']['value'])\"")


def bench(row, text, unit, limit, **more):
    return Line(text, value(row), figure=rf"^{row} ([\d.e+-]+)", unit=unit, limit=limit, needs=(cpus,), **more)


def placed(name, policy, text, limit):
    row = f"placement_{name}_{policy}"
    return Line(text, value(row, '--trace "$OUTBOARD_TRACE_DATA" '), figure=rf"^{row} ([\d.]+)", unit="%", limit=limit,
                needs=(trace,), seconds=1800)


def near(name, text, command, other):
    """A line for how far best-fit is from another figure."""
    row = f"placement_{name}_bestfit"
    distance = (f"python3 -c \"import json; got = json.load(open('build/accept/{row}.json'))['{row}']['value']; "
                f"print('distance', round(abs(got - {other}), 3))\"")
    return Line(text, f"{command} && {distance}", figure=r"^distance ([\d.]+)", unit="points", limit=f"<= {WITHIN}",
                needs=(trace,), seconds=1800)


def reordered(name, seed=7):
    row = f"placement_{name}_fgd"
    first, second = (f"build/accept/{row}{suffix}.json" for suffix in ("", ".reordered"))
    run = f'scripts/bench {row} --trace "$OUTBOARD_TRACE_DATA"'
    distance = (f"python3 -c \"import json; a, b = (json.load(open(path))['{row}']['value'] for path in "
                f"('{first}', '{second}')); print('distance', round(abs(a - b), 3))\"")
    return Line(f"{name}: the trace with renamed and reordered nodes gives the same within {WITHIN} points",
                f"{run} --json {first} && {run} --reorder {seed} --json {second} && {distance}",
                figure=r"^distance ([\d.]+)", unit="points", limit=f"<= {WITHIN}", needs=(trace,), seconds=1800)


LINES = (
    Line("scripts/demo-pool: three nodes, ten jobs of two tenants, a drain in the middle; nothing is left",
         "scripts/demo-pool", seconds=600),
    *(placed(name, "fgd", f"FGD on {name}, mean of ten seeds when all GPUs were asked for", f">= {least}")
      for name, least in FGD.items()),
    *(near(name, f"best-fit on {name}: within {WITHIN} points of the published {published}",
           value(f"placement_{name}_bestfit", '--trace "$OUTBOARD_TRACE_DATA" '), published)
      for name, published in BESTFIT.items()),
    *(reordered(name) for name in FGD),
    bench("pool_decisions_per_s", "1 000 nodes x 8 GPUs, 64 clients, best-fit, in memory: at least 5 000 decisions/s",
          "1/s", ">= 5000"),
    bench("pool_decision_p99_ms", "... the 99th percentile of their calls is at most 10 ms", "ms", "<= 10"),
    bench("pool_decisions_per_s_fgd", "... reported: FGD", "1/s", ">= 1"),
    bench("pool_decisions_per_s_durable", "... reported: SQLite, each decision on the disk", "1/s", ">= 1"),
    bench("pool_restart_s", "Restart with 20 000 leases, until all nodes are back: less than 10 s", "s", "<= 10"),
    Line("1 000 kills at random times under load: no lease lost or doubled", f"{LOAD} kills {POOL} 1000 11",
         figure=r"^(\d+ kills, \d+ acknowledged, \d+ lost, \d+ doubled), (\d+) left behind", unit="left behind",
         limit="== 0", quick=f"{LOAD} kills {POOL} 25 11", seconds=1800),
    tests("... and running sessions notice nothing", "^e2e_pool_jobs"),
    tests("Properties with an injected clock: quotas, no starvation, minimum run time, gangs in 1 000 random schedules, "
          "reasons that are true", "^unit_pool"),
    tests("Bad configuration, full disk, clock jump, lying and vanishing nodes", "^(unit_pool|e2e_pool|pool_kills)"),
)
