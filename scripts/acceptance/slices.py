"""What must hold of slices of a GPU: another size while programs run, and what is left at their end."""

from acceptance.line import Line, tests

PREPARE = "scripts/build release"

CHANGES = "python3 -B tests/e2e/lease_changes_test.py build/release build/release/tests/e2e"
ENDLESS = "LeaseChanges.test_a_kernel_without_an_end_ends_with_its_lease_and_leaves_all_memory"
CHURN = "LeaseChanges.test_a_program_that_takes_and_frees_all_the_time"

LINES = (
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
