"""What must hold of the driver API in breadth: samples, coverage, wrong uses, many objects, round trips, fuzzing."""

import sys

from acceptance.line import ROOT, Line, gpu, samples, tests

sys.path.insert(0, str(ROOT / "scripts/codegen"))
import spec

PREPARE = "scripts/build release"

SOFTGPU = "build/install/lib/outboard/softgpu"
PROGRAMS = "build/release/tests/programs"
SAMPLES = 'scripts/samples --sources "$OUTBOARD_SAMPLES"'
WRONG_USE = f"python3 tests/programs/run.py --only wrong_use --programs {PROGRAMS}"
RUN_RESULT = r"^(\d+ passed), (\d+) failed$"
HOUR = 3600


def call(name):
    """Why a call cannot be made through the stack, or None."""
    def missing():
        found = [entry for entry in spec.load(sorted((ROOT / "common/api").glob("*.toml"))) if entry.name == name]
        return None if found and not found[0].unsupported else f"{name} is not carried through the stack"
    return missing


LINES = (
    tests("The samples' list is fixed, with what each needs", "^unit_scripts_samples_test$"),
    Line("At least 60 of the listed samples pass through the stack, their sources unmodified",
         f"{SAMPLES} --at-least 60", figure=r"^(\d+) of \d+ passed", unit="passed", limit=">= 60", needs=(samples,),
         quick="", seconds=5 * HOUR),
    Line("... ten of them built stock, for all their architectures",
         f"{SAMPLES} --stock", figure=r"^(\d+) of \d+ passed", unit="passed", limit=">= 10", needs=(samples,), quick="",
         seconds=HOUR),
    Line("The published table has every listed sample, and the cause of each that does not pass",
         "scripts/check_samples.py", figure=r"^(\d+ listed samples), (\d+) without a result or a cause$",
         unit="missing", limit="== 0"),
    tests("A program that has nothing but SASS is refused on the software GPU", "^e2e_refused"),
    Line("Every supported call has its generated tests or, written by hand, its own",
         "ctest --test-dir build/release -R '^coverage$' --no-tests=error -V",
         figure=r"(\d+ of \d+ supported calls) are tested, (\d+) are not$", unit="missing", limit="== 0"),
    tests("... and these pass", "^(generated|unit_(shim|stack|worker)|programs$|e2e_programs$)", seconds=HOUR),
    Line("At least 150 wrong uses, each with the sentence that it follows",
         f"folder=$(mktemp -d) && trap 'rm -rf $folder' EXIT && SOFTGPU_DIR=$folder LD_LIBRARY_PATH={SOFTGPU} "
         f"{PROGRAMS}/wrong_use_driver | grep -c ': CUDA_'", figure=r"^(\d+)$", unit="wrong uses", limit=">= 150"),
    Line("... give the same codes natively on the software GPU and through the stack",
         f"{WRONG_USE} --stack build/install", figure=RUN_RESULT, unit="failed", limit="== 0"),
    Line("... and natively on an NVIDIA GPU, whose codes win", WRONG_USE, figure=RUN_RESULT, unit="failed",
         limit="== 0", needs=(gpu,)),
    Line("24 threads x 10 000 mixed calls, 300 streams, 10 000 events, 2 000 modules: right results, nothing grows",
         "python3 tests/e2e/many_objects_test.py build/release build/release/tests/e2e --full",
         figure=r"many_objects_driver ([\d.]+ MiB; gpu-worker [\d.]+) MiB$", unit="MiB in the end",
         quick="python3 tests/e2e/many_objects_test.py build/release build/release/tests/e2e", seconds=2 * HOUR),
    Line("tsan clean through the in-memory transport",
         "scripts/build tsan unit_stack unit_stack_memory && TSAN_OPTIONS=halt_on_error=1:die_after_fork=0 "
         "$(setarch -R true && echo setarch -R) ctest --test-dir build/tsan -R '^unit_stack' --no-tests=error "
         "--output-on-failure",
         figure=r"^(100)% tests passed", unit="% passed", seconds=2 * HOUR),
    Line("Round trips per call are what its class says, counted in a trace",
         "ctest --test-dir build/release -R '^e2e_round_trips$' --no-tests=error -V",
         figure=r"(\d+ calls, \d+ round trips)$"),
    tests("A graph of 500 kernels launches as one message", "GraphOf500Kernels.*OneMessage",
          needs=(call("cuGraphLaunch"),)),
    Line("10 minutes per fuzzer without a finding, at least 90 % of each decoder's lines reached",
         "scripts/fuzz --seconds 600 --coverage", figure=r"^(\d+ fuzzers), (\d+) findings", unit="findings",
         limit="== 0", quick="scripts/fuzz --seconds 10 --coverage", seconds=2 * HOUR),
    Line("... and each finds a planted bug within 60 s",
         "scripts/fuzz --plant", figure=r"^(\d+ planted faults), (\d+) found", unit="found", seconds=2 * HOUR),
    tests("A client that sends random valid frames ends at most its own worker", "^e2e_hostile"),
)
