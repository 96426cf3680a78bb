"""What a run of a sample showed."""

import dataclasses
import re

PASS, FAIL, REFUSED, NOT_BUILT, NOT_RUN = "pass", "fail", "refused", "not built", "not run"
WAIVED = 2  # EXIT_WAIVED of the samples' headers

# The sample's own verdict, in the words in which samples give it.
OWN_FAILURE = re.compile(
    r"\bFAIL(ED|URE)?\b|\b(?i:tests? (has )?failed)\b|\b(?i:verification (failed|mismatch))\b|\bERROR!|\bError! "
    r"|\bNot Matching\b|\b(?i:results? (do|does)( not|n't) match)\b|\batomic\w+ failed\b|\bare different\b")
OWN_SUCCESS = re.compile(r"\bPASS(ED)?\b|\b(?i:test passed)\b")
OWN_REFUSAL = re.compile(r"\bwai?ving\b|\bwaived\b|skipping execution|^Device \d+ does(n't| not) support\b",
                         re.IGNORECASE | re.MULTILINE)

# What says that something is missing, rather than wrong: our log, and the names of the errors that stand for it.
MISSING = re.compile(
    r"^outboard: .*\b(is not supported|cannot run on the software GPU|has no PTX)\b"
    r"|CUDA_ERROR_NOT_SUPPORTED|CUDA_ERROR_NO_BINARY_FOR_GPU"
    r"|cudaErrorCallRequiresNewerDriver|cudaErrorNotSupported|cudaErrorNoKernelImageForDevice"
    r"|API call is not supported in the installed CUDA driver|operation not supported"
    r"|no kernel image is available", re.MULTILINE)

# What our log says of a kernel that a fault has ended, which not every sample looks for.
FAULT = re.compile(r"^outboard: error: (?!kernel ).* in kernel .*$", re.MULTILINE)

# What gpu-run --check says of a kernel: the first line of a report.
REPORT = re.compile(r"^outboard: check: (?=\S).*$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Outcome:
    verdict: str
    cause: str = ""


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"


def line_of(match, text):
    start, end = text.rfind("\n", 0, match.start()) + 1, text.find("\n", match.end())
    return text[start:end if end >= 0 else len(text)].strip()


def judge(status, output, seconds):
    """The outcome of a run that ended with `status` (None: the time of `seconds` was over; negative: a signal)."""
    missing = MISSING.search(output)
    if report := REPORT.search(output):
        return Outcome(FAIL, report[0])
    if status is None:
        return Outcome(FAIL, f"not finished after {seconds} s; last line: {last_line(output)}")
    if status == 0:
        if failure := OWN_FAILURE.search(output) or FAULT.search(output):
            return Outcome(FAIL, line_of(failure, output))
        refusal = OWN_REFUSAL.search(output)
        if refusal and not OWN_SUCCESS.search(output):
            return Outcome(REFUSED, line_of(refusal, output))
        return Outcome(PASS)
    if missing:
        return Outcome(REFUSED, line_of(missing, output))
    if status == WAIVED:
        refusal = OWN_REFUSAL.search(output)
        return Outcome(REFUSED, line_of(refusal, output) if refusal else last_line(output))
    what = f"signal {-status}" if status < 0 else f"status {status}"
    return Outcome(FAIL, f"{what}: {last_line(output)}")
