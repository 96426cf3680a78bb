"""What it takes to build a sample: read from its CMakeLists.txt, of which this knows as much as the samples use.

Branches of conditions are all taken, and what only other systems know is left out. A sample is built in a copy of its
folder, so its source and binary folders are both ".".
"""

import dataclasses
import re

COMMAND = re.compile(r"(\w+)\s*\(([^()]*)\)")
WORD = re.compile(r'"[^"]*"|[^\s"]+')

# What nvcc is told for what target_link_libraries names.
LIBRARIES = {
    "CUDA::cuda_driver": ("-lcuda",),
    "CUDA::cudart": ("-cudart=shared",),
    # With what it needs itself, as CMake's FindCUDAToolkit has it.
    "CUDA::cusolver": ("-lcusolver", "-lcublas", "-lcusparse", "-lnvJitLink"),
    "OpenMP::OpenMP_CXX": ("-Xcompiler=-fopenmp", "-lgomp"),
    "${OPENGL_LIBRARIES}": ("-lGL", "-lGLU"),
    "${GLUT_LIBRARIES}": ("-lglut",),
    "${NVJITLINK_LIB}": ("-lnvJitLink",),
    "${NVVM_LIB}": ("-lnvvm",),
    "${CUDA_LIB}": ("-lcuda",),
    "pthread": ("-lpthread",),
    "dl": ("-ldl",),
    "rt": ("-lrt",),
}
OF_OTHER_SYSTEMS = re.compile(r".*\.lib|socket|PUBLIC|PRIVATE")

# What the CMakeLists.txt of a whole folder says.
FOLDER_OPTIONS = {
    "7_libNVVM": ("-I../common/include", "-DLIBDEVICE_MAJOR_VERSION=1", "-DLIBDEVICE_MINOR_VERSION=0",
                  '-DLIBCUDADEVRT="{toolkit}/lib64/libcudadevrt.a"'),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """`options` and `libraries` are nvcc's, the latter to stand behind the sources; `images` are what the program loads
    while it runs: (nvcc's option, source, output)."""
    sources: tuple
    options: tuple
    libraries: tuple
    images: tuple


def commands(text):
    """The commands of a CMakeLists.txt as (name, words), with the variables that it sets put in."""
    variables = {"CMAKE_CURRENT_SOURCE_DIR": ".", "CMAKE_CURRENT_BINARY_DIR": "."}
    for name, arguments in COMMAND.findall(re.sub(r"#[^\n]*", "", text)):
        words = [re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], match[0]), word.strip('"'))
                 for word in WORD.findall(arguments)]
        if name == "set" and len(words) == 2:
            variables[words[0]] = words[1]
        yield name, words


def link_options(words):
    options = []
    for word in words:
        if word in LIBRARIES:
            options += LIBRARIES[word]
        elif word.startswith("CUDA::"):
            options.append("-l" + word.removeprefix("CUDA::"))
        elif not OF_OTHER_SYSTEMS.fullmatch(word):
            raise ValueError(f"its CMakeLists.txt links {word}, of which scripts/cuda_samples/recipe.py knows nothing")
    return options


def read(folder, text, is_folder, toolkit):
    """The recipe of a sample of `folder` with this CMakeLists.txt. `is_folder` says whether a path beside it is one."""
    sources, images = [], []
    options = ["-I../../../Common", *(option.format(toolkit=toolkit) for option in FOLDER_OPTIONS.get(folder, ()))]
    for name, words in commands(text):
        if name == "add_executable":
            sources += words[1:]
        elif name == "target_include_directories":
            options += ["-I" + word for word in words[1:] if is_folder(word)]
        elif name == "target_link_libraries":
            options += link_options(words[1:])
        elif name == "set_target_properties" and words[-2:] == ["CUDA_SEPARABLE_COMPILATION", "ON"]:
            options.append("-rdc=true")
        elif name == "add_custom_command" and "${CMAKE_CUDA_COMPILER}" in words:
            option = "-fatbin" if "-fatbin" in words else "-ptx"
            images.append((option, words[words.index(option) + 1], words[words.index("-o") + 1]))
    if not sources:
        raise ValueError("its CMakeLists.txt has no add_executable")
    options = dict.fromkeys(options)  # each once
    libraries = tuple(option for option in options if option.startswith("-l"))
    return Recipe(tuple(sources), tuple(option for option in options if option not in libraries), libraries,
                  tuple(images))
