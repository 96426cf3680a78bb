"""Holds the rules about who includes whom (docs/architecture.md, "Layers") and prints one line for each breach.

usage: check_layers.py [ROOT]
"""

import pathlib
import re
import sys

SOURCE_FOLDERS = ("proto", "client", "common", "server", "tests")
SOURCE_SUFFIXES = {".h", ".cc", ".c", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
QUOTED = re.compile(r'^\s*#\s*include\s*"')

# Sources under the first folder include nothing under the second, except what lies under the third.
FORBIDDEN = (
    ("client", "server", None, "the client knows nothing of the server"),
    ("server", "client", None, "the server knows nothing of the client"),
    ("common", "client", None, "common rests on common alone"),
    ("common", "server", None, "common rests on common alone"),
    ("common/base", "common", "common/base", "common/base is the lowest layer"),
    ("server/softgpu/ptx", "server", "server/softgpu/ptx", "the parser knows only PTX"),
    ("server/softgpu/ptx", "common", "common/base", "the parser knows only PTX"),
    ("server/softgpu/exec", "server/softgpu/device", None, "the engine knows no devices"),
    ("server/softgpu/exec", "server/softgpu/api", None, "the engine knows no driver API"),
    ("server/softgpu/exec", "common", "common/base", "the engine knows neither images nor private tables"),
    ("server/softgpu/device", "server/softgpu/api", None, "devices know no driver API"),
    ("client", "tests", None, "the product knows no tests"),
    ("common", "tests", None, "the product knows no tests"),
    ("server", "tests", None, "the product knows no tests"),
)

# Where CUDA's headers are unknown.
WITHOUT_CUDA = ("common/base", "server/pool", "server/softgpu/ptx", "server/softgpu/exec")
CUDA_HEADER = re.compile(r"^(cuda|cuda_\w+|cudaProfiler|cudaTypedefs|driver_types)\.h$")

# Code that runs inside applications, which bring their own copies of these.
INSIDE_APPLICATIONS = ("common", "client/shim", "client/nvml", "client/session", "server/softgpu")
APPLICATION_LIBRARIES = re.compile(r"^(absl|spdlog|fmt|grpc|grpcpp|google/protobuf)/|\.pb\.h$")

# The only sources that may see gRPC and protobuf types. A name stands for a folder or for the start of a file's path.
RPC_HEADER = re.compile(r"^(grpc|grpcpp|google/protobuf)/|\.pb\.h$")
RPC_EDGES = ("client/transport/grpc", "client/run", "client/admin", "server/worker/service", "server/node/service",
             "server/pool/service", "server/node/main", "server/pool/main", "server/worker/main", "tests")

# Programs as users have them: they know nothing of the project and include what lies beside them.
STAND_ALONE = ("tests/programs/", "tests/bench/")


def under(path, folder):
    return path == folder or path.startswith(folder + "/")


def resolves(root, source, target):
    if ".." in target.split("/"):
        return False
    if source.startswith(STAND_ALONE) and (root / source).parent.joinpath(target).is_file():
        return True
    if re.search(r"\.gen\.(h|inc)$", target):
        return (root / target).parent.is_dir()  # the file itself lies in the build folder
    return (root / target).is_file()


def complaints_about(root, source, target, quoted):
    """What is wrong with `source` (a path from the root) including `target`."""
    ours = target.split("/")[0] in SOURCE_FOLDERS and "/" in target
    if (quoted or ours) and not target.endswith(".pb.h") and not resolves(root, source, target):
        yield f"{target} is no file's path from the project's root"
    for folder, other, exception, why in FORBIDDEN:
        if under(source, folder) and under(target, other) and not (exception and under(target, exception)):
            yield f"{folder} must not include {target}: {why}"
    if CUDA_HEADER.match(target) and any(under(source, folder) for folder in WITHOUT_CUDA):
        yield f"{target} is unknown here: only layers above see CUDA's headers"
    if APPLICATION_LIBRARIES.search(target) and any(under(source, folder) for folder in INSIDE_APPLICATIONS):
        yield f"{target} must not be used in code that runs inside applications"
    if RPC_HEADER.search(target) and not source.startswith(RPC_EDGES):
        yield f"{target} must stay in the files at the edge"


def check(root):
    """All breaches in the tree under `root`, as "path:line: what is wrong", and the number of sources read."""
    breaches = []
    sources = sorted(path for folder in SOURCE_FOLDERS for path in (root / folder).rglob("*")
                     if path.suffix in SOURCE_SUFFIXES and path.is_file())
    for path in sources:
        source = path.relative_to(root).as_posix()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            match = INCLUDE.match(line)
            if match:
                for complaint in complaints_about(root, source, match.group(1), bool(QUOTED.match(line))):
                    breaches.append(f"{source}:{number}: {complaint}")
    return breaches, len(sources)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    breaches, sources = check(root)
    for breach in breaches:
        print(breach)
    print(f"{sources} sources, {len(breaches)} breaches")
    return 1 if breaches or sources == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
