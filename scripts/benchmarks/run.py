"""What all benchmarks share: paths, running a program, its samples."""

import dataclasses
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class NotRun(Exception):
    """Why a row cannot be measured here, and what would change that."""


@dataclasses.dataclass(frozen=True)
class Paths:
    build: pathlib.Path  # of the preset release
    driver: pathlib.Path  # the folder of the software GPU's libcuda.so.1

    @property
    def bench(self):
        return self.build / "tests/bench"


def output_of(command, environment):
    """What a program prints. A failure ends everything, with what it said."""
    process = subprocess.run(list(map(str, command)), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, timeout=300)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: status {process.returncode}\n{process.stdout}{process.stderr}")
    return process.stdout


def samples(command, environment):
    """The samples that a program prints, by name."""
    lines = output_of(command, environment).splitlines()
    return {record["name"]: record["samples"] for record in map(json.loads, lines)}


def pinned(cpu, command):
    return ["taskset", "-c", str(cpu), *command]

