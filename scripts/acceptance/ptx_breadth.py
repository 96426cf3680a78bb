"""What must hold of PTX in breadth: programs with the toolkit's libraries on the software GPU, and what of the
libraries' own PTX loads."""

from acceptance.line import Line, toolkit

PREPARE = "scripts/build release product libraries"

# Those that bring PTX.
WITH_PTX = ("cublas", "cublasLt", "cufft", "curand", "cusolver", "cusolverMg", "cusparse", "nccl", "cudnn_ops",
            "cudnn_cnn", "cudnn_adv", "cudnn_engines_precompiled", "cudnn_engines_runtime_compiled")
HOUR = 3600


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
    Line("At least 99 % of the entry kernels in the PTX of the toolkit's libraries load",
         "build/release/tests/tools/ptx_load " + " ".join(
             str(path_of(name)) for name in WITH_PTX if path_of(name).exists()),
         figure=r"^(\d+ of \d+) entry kernels load \(([\d.]+) %\)$", unit="%", limit=">= 99",
         needs=(library("cublas"),), quick="", seconds=HOUR),
)
