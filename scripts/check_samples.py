#!/usr/bin/env -S python3 -B
"""Checks that docs/samples.md has a result of every listed sample, and the cause of each that did not pass through the
stack."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from cuda_samples import outcome, table


def gaps(page):
    """(name, what is missing) of each listed sample."""
    results = {result.name: result for result in table.parse_results(page)}
    for sample in table.parse(page):
        if not sample.listed:
            continue
        result = results.get(sample.name)
        if result is None:
            yield sample.name, "has no result"
        elif result.verdict != outcome.PASS and not result.cause:
            yield sample.name, f"has the result {result.verdict} and no cause"


def main():
    page = (ROOT / "docs/samples.md").read_text(encoding="utf-8")
    listed = sum(sample.listed for sample in table.parse(page))
    found = list(gaps(page))
    for name, what in found:
        print(f"docs/samples.md: {name} {what}")
    print(f"{listed} listed samples, {len(found)} without a result or a cause")
    return 1 if found or not listed else 0


if __name__ == "__main__":
    sys.exit(main())
