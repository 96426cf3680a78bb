"""Reads the JUnit file that ctest wrote, names what was skipped and what failed, with the end of what each failed test
printed, and ends with "N passed, N failed".

usage: summarize_tests.py RESULTS.xml CTEST_STATUS
"""

import sys
import xml.etree.ElementTree as ElementTree


LINES_OF_A_FAILED_TEST = 30


def summarize(cases, ctest_status):
    """The lines to print and the exit status, from (name, outcome, output); an outcome is passed, failed or skipped."""
    lines = [f"{outcome}: {name}" for name, outcome, _ in cases if outcome == "skipped"]
    for name, outcome, output in cases:
        if outcome == "failed":
            lines.append(f"FAILED: {name}")
            lines += ["  " + line for line in output.splitlines()[-LINES_OF_A_FAILED_TEST:]]
    passed = sum(outcome == "passed" for _, outcome, _ in cases)
    failed = sum(outcome == "failed" for _, outcome, _ in cases)
    if failed == 0 and ctest_status != 0:
        lines.append(f"FAILED: ctest ended with status {ctest_status}")
        failed = 1
    if passed + failed == 0:
        lines.append("FAILED: no test ran")
        failed = 1
    lines.append(f"{passed} passed, {failed} failed")
    return lines, 1 if failed else 0


def outcome_of(case):
    status = case.get("status")
    if status == "run":
        return "passed"
    skipped = case.find("skipped")
    reason = skipped.get("message", "") if skipped is not None else ""
    # A test whose program is missing is "notrun" too, with another reason.
    if status == "disabled" or reason.startswith("SKIP_"):
        return "skipped"
    return "failed"


def read_cases(path):
    """(name, outcome, output) of each; empty when ctest was stopped before it wrote the file."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return []
    return [(case.get("name"), outcome_of(case), case.findtext("system-out") or "") for case in root.iter("testcase")]


if __name__ == "__main__":
    text, exit_status = summarize(read_cases(sys.argv[1]), int(sys.argv[2]))
    print("\n".join(text))
    sys.exit(exit_status)
