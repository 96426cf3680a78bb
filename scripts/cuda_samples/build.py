"""Copies the samples' sources and builds programs from them. The checkout itself is only read."""

import os
import pathlib
import shutil
import subprocess

from cuda_samples import recipe

DEFAULT_ARCHITECTURE = "compute_75"
SECONDS = 600  # for the build of one sample by nvcc; its CMake files build for eight architectures and more
STOCK_SECONDS = 3600
COMMON_OPTIONS = ("-O2", "-lineinfo", "--extended-lambda", "-Wno-deprecated-gpu-targets")


class BuildError(Exception):
    """Why there is no program: one line."""


def find_toolkit(root):
    """The CUDA toolkit's folder, looked for where the build of the project looks for it."""
    for folder in (os.environ.get("CUDAToolkit_ROOT"), "/usr/local/cuda", root / "build/toolkit"):
        if folder and (pathlib.Path(folder) / "bin/nvcc").exists():
            return pathlib.Path(folder).resolve()
    raise FileNotFoundError("no nvcc in CUDAToolkit_ROOT, /usr/local/cuda or build/toolkit: run scripts/setup")


def cause_of(output):
    """The first line of a build's output that names an error, or its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else "no output"
    return next((line for line in lines if "error" in line or "cannot find" in line), last)


def run(command, folder, seconds, log):
    """Runs a command of a build; raises BuildError. The log gets the command and what it writes."""
    log.write(" ".join(map(str, command)) + "\n")
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired as late:
        raise BuildError(f"not built after {seconds} s") from late
    log.write(done.stdout)
    if done.returncode != 0:
        raise BuildError(cause_of(done.stdout))


class Builder:
    """Builds samples of the checkout `sources` under `work`, which has the checkout's shape, so that a sample finds its
    data. Thread-safe for different samples."""

    def __init__(self, sources, work, toolkit, driver):
        """`driver` is a folder with a libcuda.so, for a toolkit that brings none to link with."""
        self.sources, self.work, self.toolkit, self.driver = sources, work, toolkit, driver
        shutil.copytree(sources / "Common", work / "Common", dirs_exist_ok=True)
        shared = sources / "Samples/7_libNVVM/common"
        if shared.exists():
            shutil.copytree(shared, work / "Samples/7_libNVVM/common", dirs_exist_ok=True)

    def build(self, sample, stock):
        """The path of the sample's program, which exists. `stock`: built by its own CMake files, unchanged."""
        source = self.sources / "Samples" / sample.folder / sample.name
        if not source.is_dir():
            raise BuildError(f"the checkout has no Samples/{sample.folder}/{sample.name}")
        folder = self.work / "Samples" / sample.folder / sample.name
        shutil.copytree(source, folder, dirs_exist_ok=True)
        logs = self.work / "logs"
        logs.mkdir(exist_ok=True)
        with open(logs / f"{sample.name}.build.txt", "w") as log:
            return self._by_cmake(sample, folder, log) if stock else self._by_nvcc(sample, folder, log)

    def _by_nvcc(self, sample, folder, log):
        try:
            text = (folder / "CMakeLists.txt").read_text(errors="replace")
            found = recipe.read(sample.folder, text, lambda path: (folder / path).is_dir(), self.toolkit)
        except ValueError as reason:
            raise BuildError(str(reason)) from reason
        architecture = sample.architecture or DEFAULT_ARCHITECTURE
        code = f"-gencode=arch={architecture},code={architecture}"
        program = folder / sample.name
        drivers = (self.toolkit / "lib64/stubs", self.driver)
        driver = next(path for path in drivers if (path / "libcuda.so").exists())
        libraries = self.toolkit / "lib64"
        command = [self.toolkit / "bin/nvcc", *COMMON_OPTIONS, code, *found.options, *found.sources, "-o", program,
                   f"-L{libraries}", f"-L{driver}", "-Xlinker", f"-rpath={libraries}", *found.libraries]
        note, wanted = folder / ".built-by", "\n".join(map(str, command))
        if not program.exists() or not note.exists() or note.read_text() != wanted:
            run(command, folder, SECONDS, log)
            note.write_text(wanted)
        for option, image, output in found.images:
            run([self.toolkit / "bin/nvcc", code, "-Wno-deprecated-gpu-targets", option, image, "-o", output], folder,
                SECONDS, log)
        return program

    def _by_cmake(self, sample, folder, log):
        build = folder / "build"
        nvcc = self.toolkit / "bin/nvcc"
        run(["cmake", "-S", folder, "-B", build, f"-DCMAKE_CUDA_COMPILER={nvcc}", f"-DCUDAToolkit_ROOT={self.toolkit}"],
            folder, STOCK_SECONDS, log)
        run(["cmake", "--build", build], folder, STOCK_SECONDS, log)
        return build / sample.name
