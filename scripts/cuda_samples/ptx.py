"""The PTX that nvcc makes from the samples' sources, in a folder per sample: what scripts/ptx_forms looks at."""

import concurrent.futures
import pathlib
import re
import subprocess

from cuda_samples import build, recipe

NEWEST = "compute_90"  # beside what the sample needs: the compiler has more instructions for it
SECONDS = 900  # for one source


def architectures(sample):
    return (sample.architecture or build.DEFAULT_ARCHITECTURE, NEWEST)


def sources_of(sample, folder, toolkit):
    """(nvcc's options, sources with device code) of a sample's folder."""
    try:
        found = recipe.read(sample.folder, (folder / "CMakeLists.txt").read_text(errors="replace"),
                            lambda path: (folder / path).is_dir(), toolkit)
        options = list(found.options)
        names = {*found.sources, *(source for _, source, _ in found.images)}
    except (ValueError, FileNotFoundError):
        # One that is never run, as it needs what the recipe does not know.
        options = ["-I" + "../" * (len(pathlib.PurePath(sample.folder).parts) + 2) + "Common"]
        names = {path.name for path in folder.glob("*.cu")}
    return options, sorted(name for name in names if name.endswith(".cu") and (folder / name).exists())


def compile_one(nvcc, sample, folder, options, source, architecture, output):
    """None, or why there is no PTX. The output keeps the command beside it and is made anew when that changes."""
    # The samples' own -arch and the like are for machine code.
    kept = [option for option in options if not re.match(r"-(arch|code|gencode|cudart|Xlinker)", option)]
    command = [str(nvcc), *build.COMMON_OPTIONS, *kept, "-ptx", f"-arch={architecture}", source, "-o", str(output)]
    note, wanted = output.with_suffix(".command"), "\n".join([*command, str((folder / source).stat().st_mtime_ns)])
    if output.exists() and note.exists() and note.read_text() == wanted:
        return None
    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"not compiled after {SECONDS} s"
    if done.returncode != 0:
        return build.cause_of(done.stdout)
    note.write_text(wanted)
    return None


def make(sources, work, samples, toolkit, jobs=2):
    """Makes work/SAMPLE/ARCHITECTURE/SOURCE.ptx of every source with device code. Yields (sample's name, source,
    architecture, None or why there is none), in the table's order. The checkout is only read."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        runs = []
        for sample in samples:
            folder = pathlib.Path(sources) / "Samples" / sample.folder / sample.name
            options, names = sources_of(sample, folder, toolkit)
            for name in names:
                for architecture in dict.fromkeys(architectures(sample)):
                    output = work / sample.name / architecture / (name.replace("/", "-") + ".ptx")
                    runs.append((sample.name, name, architecture,
                                 pool.submit(compile_one, toolkit / "bin/nvcc", sample, folder, options, name,
                                             architecture, output)))
        for sample_name, name, architecture, run in runs:
            yield sample_name, name, architecture, run.result()
