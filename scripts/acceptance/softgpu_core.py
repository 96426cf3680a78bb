"""What must hold of the software GPU's core: the engine, the driver and the devices."""

from acceptance.line import V3, V4, Line, bench, commit, file, root, tool, toolkit

PREPARE = "scripts/build release"

PROGRAMS = ("python3 tests/programs/run.py --driver-dir build/install/lib/outboard/softgpu "
            "--programs build/release/tests/programs")
RUN_RESULT = r"^(\d+ passed), (\d+) failed$"
TEST_RESULT = r"^(\d+ passed, \d+ failed)$"
PARSE_RESULT = r"^(\d+ files), .* (\d+ instructions), .* (\d+) failures"
CUBLAS = toolkit("lib/libcublas.so.13")

# Of the software GPU in breadth as well.
SPEED = (
    Line("Tiled matmul 512^3, one core, v4: at least 2.5 GFLOP/s",
         bench("softgpu_matmul_gflops", "SOFTGPU_CPU=v4"), figure=r"softgpu_matmul_gflops ([\d.e+-]+)", unit="GFLOP/s",
         limit=">= 2.5", needs=(V4,)),
    Line("Tiled matmul 512^3, one core, v3: at least 1.2 GFLOP/s",
         bench("softgpu_matmul_gflops", "SOFTGPU_CPU=v3"), figure=r"softgpu_matmul_gflops ([\d.e+-]+)", unit="GFLOP/s",
         limit=">= 1.2", needs=(V3,)),
    Line("Vector add of 16M floats, one core: at most 90 ms",
         bench("softgpu_vecadd_ms"), figure=r"softgpu_vecadd_ms ([\d.e+-]+)", unit="ms", limit="<= 90"),
)
SAME_RESULTS = (
    Line("Results are bit-equal at v2 and v3 and with 1 and 4 threads",
         PROGRAMS + " --same-results", figure=RUN_RESULT, unit="failed", limit="== 0", needs=(V3,), seconds=3600),
    Line("... and at v4",
         PROGRAMS + " --same-results", figure=RUN_RESULT, unit="failed", limit="== 0", needs=(V4,), seconds=3600),
)

LINES = (
    Line("A clean clone in a fresh minimal Debian 12 root: scripts/test passes, installing what it needs",
         "tests/e2e/fresh_root.sh", figure=r"^fresh root: ([\d.]+) minutes", unit="minutes",
         needs=(root, tool("debootstrap"), commit), quick="", seconds=3600),
    Line("Clean build and tests in at most 10 minutes on 2 cores",
         "tests/e2e/clean_build.sh", figure=r"^clean build and tests: ([\d.]+) minutes", unit="minutes", limit="<= 10",
         needs=(commit,), quick="", seconds=2400),
    Line("Every test program passes natively, static and shared cudart",
         PROGRAMS, figure=RUN_RESULT, unit="failed", limit="== 0", seconds=900),
    Line("... as an ordinary user",
         PROGRAMS + " --user", figure=RUN_RESULT, unit="failed", limit="== 0", needs=(root,), seconds=900),
    Line("... with SOFTGPU_CHAOS for 20 seeds",
         PROGRAMS + " --seeds 20", figure=RUN_RESULT, unit="failed", limit="== 0",
         quick=PROGRAMS + " --seeds 2", seconds=5400),
    Line("Set of implemented forms = set of tested forms",
         "ctest --test-dir build/release -R '^instruction_forms$' --no-tests=error -V",
         figure=r"forms (implemented \d+), (tested \d+), difference (\d+)", limit="== 0"),
    Line("All PTX that nvcc makes from the test programs parses",
         "tests/e2e/parse_ptx.sh build/release/tests/tools build/release/tests/programs",
         figure=PARSE_RESULT, unit="failures", limit="== 0"),
    Line("All PTX in the toolkit's cuBLAS parses",
         f"tests/e2e/parse_ptx.sh build/release/tests/tools {CUBLAS}",
         figure=PARSE_RESULT, unit="failures", limit="== 0", needs=(file(CUBLAS),), seconds=1200),
    *SPEED,
    Line("Empty kernel, launch and return: at most 5 us (median)",
         bench("softgpu_launch_us"), figure=r"softgpu_launch_us ([\d.e+-]+)", unit="us", limit="<= 5"),
    *SAME_RESULTS,
    Line("asan green on unit, instruction and corpus tests", "scripts/test asan", figure=TEST_RESULT, seconds=1600),
    Line("tsan green on unit, instruction and corpus tests", "scripts/test tsan", figure=TEST_RESULT, seconds=1600),
    Line("Each fuzzer runs 5 minutes without a finding",
         "scripts/fuzz --seconds 300", figure=r"^(\d+ fuzzers), (\d+) findings", unit="findings", limit="== 0",
         quick="scripts/fuzz --seconds 10", seconds=3600),
    Line("Each fuzzer finds a planted bug within 60 s",
         "scripts/fuzz --plant", figure=r"^(\d+ planted faults), (\d+) found", unit="found", seconds=3600),
)
