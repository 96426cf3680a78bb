"""What must hold of PTX in breadth: programs with the toolkit's libraries on the software GPU, what of their PTX and of
the samples' loads and is tested, the same results everywhere, fuzzing."""

from acceptance.line import Line, bench, samples, toolkit
from acceptance.softgpu_core import SAME_RESULTS, SPEED

PREPARE = "scripts/build release && scripts/build release libraries"
PROGRAMS = "--programs build/release/tests/programs --driver-dir build/install/lib/outboard/softgpu"

# Those that bring PTX.
WITH_PTX = ("cublas", "cublasLt", "cufft", "curand", "cusolver", "cusolverMg", "cusparse", "nccl", "cudnn_ops",
            "cudnn_cnn", "cudnn_adv", "cudnn_engines_precompiled", "cudnn_engines_runtime_compiled")
HOUR = 3600
FUZZ_RESULT = r"^(\d+ fuzzers), (\d+) findings"
LOAD_RESULT = r"^(\d+ of \d+) entry kernels load, at least ([\d.]+) % of each$"
FORMS = 'scripts/ptx_forms --samples "$OUTBOARD_SAMPLES"'


def library(name):
    """Why a library of the toolkit cannot be used, or None."""
    return lambda: None if path_of(name).exists() else f"the toolkit has no lib{name}.so"


def path_of(name):
    return toolkit(f"lib64/lib{name}.so")


def programs(text, pattern, *libraries):
    """A line for programs of tests/libraries, natively and through the stack."""
    return Line(f"{text}, natively and through the stack",
                f"ctest --test-dir build/release -C libraries -R '^libraries_({pattern})(_stack)?$' --no-tests=error "
                "--output-on-failure",
                figure=r"^(100)% tests passed", unit="% passed", needs=tuple(map(library, libraries)), seconds=HOUR)


LINES = (
    programs("cuBLAS: sgemm, dgemm, gemmEx of fp16 and bf16, batches, gemv, dot, trsm and others", "blas_.*", "cublas"),
    programs("cuDNN: convolutions and their gradients by each algorithm, pooling, softmax, normalisations and others",
             "dnn_.*", "cudnn"),
    programs("cuFFT: complex and real, one and two dimensions, sizes 8 to 4096", "fft", "cufft"),
    programs("cuRAND: XORWOW, Philox and others give what its host generators give", "random_numbers", "curand"),
    programs("cuSOLVER: LU, Cholesky, QR", "solver", "cusolver", "cublas"),
    programs("cuSPARSE: a sparse matrix times a vector and a matrix", "sparse", "cusparse"),
    programs("NVRTC: compiled to PTX while the program runs, and launched", "runtime_compilation", "nvrtc"),
    programs("Thrust and CUB: sort, scan, reduce_by_key, histogram", "algorithms"),
    Line("At least 99 % of the entry kernels in the PTX of each of the toolkit's libraries load, the others are named",
         "build/release/tests/tools/ptx_load " + " ".join(
             str(path_of(name)) for name in WITH_PTX if path_of(name).exists()),
         figure=LOAD_RESULT, unit="%", limit=">= 99", needs=(library("cublas"),), quick="", seconds=HOUR),
    Line("... and of those in the PTX that nvcc makes from NVIDIA's samples",
         f"{FORMS} --only-make && build/release/tests/tools/ptx_load build/ptx/samples",
         figure=LOAD_RESULT, unit="%", limit=">= 99", needs=(samples,), quick="", seconds=2 * HOUR),
    Line("Forms of instructions in the samples' PTX and in cuBLAS, cuBLASLt, cuRAND, cuSOLVER and cuFFT that no "
         "instruction test runs: none",
         FORMS, figure=r"^(\d+ forms) of instructions .*, (\d+) not tested$", unit="not tested", limit="== 0",
         needs=(samples, library("cublas")), quick="", seconds=2 * HOUR),
    *SAME_RESULTS,
    Line("... and those of the programs with libraries at every level that this machine has, with 1 and 4 threads",
         "python3 -B tests/programs/run.py --driver-dir build/install/lib/outboard/softgpu "
         "--programs build/release/tests/libraries --same-results",
         figure=r"^(\d+) passed, 0 failed$", unit="passed, 0 failed", limit=">= 1", needs=(library("cublas"),),
         seconds=HOUR),
    Line("Two processes get of the software GPU's time what was promised to them, 3:1 within 10 %",
         "python3 -B tests/slices/shares.py --build build/release --seconds 10 "
         "--driver build/release/lib/outboard/softgpu/libcuda.so.1 equal-kernels short-and-long",
         figure=r"^ok +(.+)$"),
    Line("30 minutes of fuzzing the PTX parser and the image loader without a finding",
         "scripts/fuzz --seconds 1800 --coverage image ptx", figure=FUZZ_RESULT, unit="findings", limit="== 0",
         quick="scripts/fuzz --seconds 10 --coverage image ptx", seconds=2 * HOUR),
    Line("... and each finds a planted bug within 60 s",
         "scripts/fuzz --plant image ptx", figure=r"^(\d+ planted faults), (\d+) found", unit="found", seconds=HOUR),
    *SPEED,
    Line("6 500 lines of PTX loaded and one of their kernels run: at most 20 ms",
         bench("softgpu_load_ms"), figure=r"softgpu_load_ms ([\d.e+-]+)", unit="ms", limit="<= 20"),
    Line("cublasSgemm 512^3 on the cores of this machine: at most 1.5 s",
         bench("softgpu_cublas_sgemm_s"), figure=r"softgpu_cublas_sgemm_s ([\d.e+-]+)", unit="s", limit="<= 1.5",
         needs=(library("cublas"),)),
    Line("gpu-run --check finds each planted kernel bug, natively too, and says of it what is known",
         f"python3 -B tests/programs/check_bugs.py {PROGRAMS} --stack build/install",
         figure=r"^(\d+) passed, 0 failed$", unit="passed, 0 failed", limit=">= 60", seconds=HOUR),
    Line("gpu-run --check reports nothing of the samples that pass",
         'scripts/samples --sources "$OUTBOARD_SAMPLES" --check --at-least 60',
         figure=r"^(\d+) of \d+ passed, 0 reported that are right;", unit="samples", limit=">= 60", needs=(samples,),
         quick="", seconds=4 * HOUR),
)
