"""One line of acceptance: a sentence that must hold, the command that shows it, and how to judge what the command
prints."""

import ctypes
import dataclasses
import operator
import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

LIMITS = {">=": operator.ge, "<=": operator.le, "==": operator.eq}


@dataclasses.dataclass(frozen=True)
class Line:
    """`figure` is a regular expression whose groups, joined by spaces, are the figure; its last match in the output
    counts. Without one, the command's status alone decides. `limit` compares the figure's last group, a number: ">=
    1.5". Any status but 0 fails. `needs` are functions that return why the command cannot run here, or None. `quick`
    replaces the command under --quick; an empty one leaves the line out there. `seconds` bounds the command."""

    text: str
    command: str
    figure: str = ""
    unit: str = ""
    limit: str = ""
    needs: tuple = ()
    quick: str | None = None
    seconds: int = 600


def judge(line, status, output):
    """(figure, verdict) of a command that ended with `status`, or with None when its time was over."""
    if status is None:
        return "none", f"FAIL: not done after {line.seconds} s"
    matches = list(re.finditer(line.figure, output, re.MULTILINE)) if line.figure else []
    if not line.figure:
        figure = f"status {status}"
    elif matches:
        figure = " ".join([*matches[-1].groups(), *filter(None, [line.unit])])
    else:
        figure = "none"
    if status != 0:
        return figure, f"FAIL: status {status}"
    if line.figure and not matches:
        return figure, "FAIL: no figure in the output"
    if line.limit:
        sign, bound = line.limit.split()
        if not LIMITS[sign](float(matches[-1].groups()[-1]), float(bound)):
            return figure, f"FAIL: must be {line.limit}"
    return figure, "PASS"


def tests(text, pattern, **more):
    """A line for the release build's tests whose names match."""
    return Line(text, f"ctest --test-dir build/release -R '{pattern}' --no-tests=error --output-on-failure",
                figure=r"^(100)% tests passed", unit="% passed", **{"seconds": 900, **more})


def gpu():
    """Why no NVIDIA driver can be used, or None."""
    try:
        return None if ctypes.CDLL("libcuda.so.1").cuInit(0) == 0 else "cuInit fails on this machine"
    except OSError:
        return "this machine has no NVIDIA driver"


def root():
    return None if os.geteuid() == 0 else "needs root"


def tool(name):
    return lambda: None if shutil.which(name) else f"{name} is not installed"


def file(path):
    return lambda: None if (ROOT / path).exists() else f"{path} is missing"


def toolkit(path):
    """Where a file of the CUDA toolkit is; where it would be, if the toolkit has none."""
    roots = [os.environ.get("CUDAToolkit_ROOT"), "/usr/local/cuda", ROOT / "build/toolkit"]
    found = [root / path for root in map(pathlib.Path, filter(None, roots)) if (root / "bin/nvcc").exists()]
    return (found or [ROOT / "build/toolkit" / path])[0]


def cpu(*flags):
    def missing():
        for text in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if text.startswith("flags"):
                absent = [flag for flag in flags if flag not in text.split()]
                return f"this CPU has no {', '.join(absent)}" if absent else None
        return "/proc/cpuinfo names no flags"
    return missing


V3 = cpu("avx2", "bmi2", "fma")
V4 = cpu("avx512f", "avx512bw", "avx512dq", "avx512vl")


def samples():
    """Why NVIDIA's samples cannot be used, or None."""
    path = os.environ.get("OUTBOARD_SAMPLES")
    if not path:
        return "OUTBOARD_SAMPLES names no checkout of NVIDIA/cuda-samples v13.0"
    if not (pathlib.Path(path) / "test_args.json").exists():
        return f"{path} (OUTBOARD_SAMPLES) is no checkout of NVIDIA/cuda-samples v13.0"
    return None


def commit():
    asked = subprocess.run(["git", "-c", "safe.directory=*", "rev-parse", "--quiet", "--verify", "HEAD"],
                           cwd=ROOT, capture_output=True)
    return None if asked.returncode == 0 else "there is no commit to clone"


def bench(row, environment=""):
    """The command that measures one row and prints "ROW VALUE"."""
    return (f"{environment} scripts/bench {row} --json build/accept/bench.json && python3 -c \"import json; "
            f"print('{row}', json.load(open('build/accept/bench.json'))['{row}']['value'])\"").strip()
