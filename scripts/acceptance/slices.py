"""What must hold of slices: memory to the byte by every way to it, nothing that another left, shares of the device's
time, and tenants that cheat."""

import os

from acceptance.line import Line, tests

PREPARE = "scripts/build release && cmake --install build/release --prefix build/install"

CHANGES = "python3 -B tests/e2e/lease_changes_test.py build/release build/release/tests/e2e"
ENDLESS = "LeaseChanges.test_a_kernel_without_an_end_ends_with_its_lease_and_leaves_all_memory"
CHURN = "LeaseChanges.test_a_program_that_takes_and_frees_all_the_time"
SHARES = "python3 -B tests/slices/shares.py --build build/release"
SECONDS = 10  # of each case: 20 turns and more


def cpus():
    return None if os.sched_getaffinity(0) >= {0, 1} else "needs the CPUs 0 and 1"


def shares(text, *cases):
    names = " ".join(cases)
    return Line(text, f"{SHARES} --seconds {SECONDS} {names}", figure=r"^(?:ok  |FAIL) (\S+ .*)$", needs=(cpus,),
                quick=f"{SHARES} --seconds 3 {names}")


def slices(text, *classes):
    """A line for the end-to-end tests of these classes."""
    return Line(text, f"python3 -B tests/e2e/slices_test.py build/release build/release/tests/e2e {' '.join(classes)}",
                seconds=1800)


LINES = (
    shares("Two tenants, 0.75 and 0.25, kernels of 1 ms: device time 3:1 within 10 %", "equal-kernels"),
    shares("... kernels of 1 ms against kernels of 20 ms, either way round", "short-and-long", "long-and-short"),
    shares("... graphs of 100 kernels against single launches, either way round", "graphs-and-launches",
           "launches-and-graphs"),
    shares("Alone each gets at least 98 % of the whole", "alone", "alone-short"),
    shares("--hard 0.25 alone gets 0.25 within 10 %", "hard", "hard-waiting"),
    shares("Eight tenants of 0.125: each within 10 %", "eight"),
    Line("A slice that is alone pays at most 2 % for the governor: launches with it, as part of those without",
         "scripts/bench governor_overhead_ratio --json build/accept/governor.json && python3 -c \"import json; "
         "print('ratio', json.load(open('build/accept/governor.json'))['governor_overhead_ratio']['value'])\"",
         figure=r"^ratio ([\d.]+)", unit="of the launches", limit=">= 0.98", needs=(cpus,), seconds=1800),
    tests("What is charged and refunded, by each way to memory", "^unit_(slice|worker_custom|worker_softgpu)"),
    slices("Every way to device memory goes to the slice's cap, is refused a granule past it, gives back and goes again",
           "Ways.test_each_goes_to_the_cap_and_no_further"),
    slices("... eight processes that race on all of them under one lease: exact to the byte",
           "Ways.test_eight_processes_race_for_one_slice"),
    slices("Nobody finds what a killed tenant has left, by any way, neither a neighbour nor the next lease; where nothing "
           "clears, the same search finds it", "Residue"),
    slices("Tenants that cheat stay inside: without the preload, by the protocol alone, forking, with a ticket used twice, "
           "with contexts reset and made, freeing what they do not have", "Cheats"),
    Line("A lease resized up and down 200 times while its program takes and frees: no error but "
         "CUDA_ERROR_OUT_OF_MEMORY where it asks for more than it has",
         f"OUTBOARD_TEST_RESIZES=200 {CHANGES} {CHURN}", figure=r"^(\d+) resizes, (\d+) refused", unit="refused",
         quick=f"OUTBOARD_TEST_RESIZES=20 {CHANGES} {CHURN}", seconds=1200),
    Line("... below what is in use, over restarts of the pool, with a node that does not answer; what programs see",
         CHANGES),
    Line("A kernel without an end is stopped, and another lease has all of the memory, within 1 s of the end of the "
         "grace",
         f"{CHANGES} {ENDLESS}", figure=r"^another has the memory ([\d.]+) s after the grace of 2s", unit="s",
         limit="<= 1"),
    Line("... at once, without a grace", f"{CHANGES} {ENDLESS}",
         figure=r"^another has the memory ([\d.]+) s after the grace of 0s", unit="s", limit="<= 1"),
    tests("Books of pool, node and ledger agree in random schedules and over restarts", "^unit_(pool|node|slice)"),
)
