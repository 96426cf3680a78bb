"""A program of the tests: is refused something, prints the code, and prints that of a call that works.

usage: refused_program.py load FILE      loads a module
       refused_program.py managed        asks for managed memory, twice
"""

import ctypes
import sys

import cuda


def code_of(name, *arguments):
    print(getattr(cuda.library, name)(*arguments))


def main():
    cuda.init()
    cuda.use_device()
    address = ctypes.c_uint64()
    if sys.argv[1] == "load":
        code_of("cuModuleLoad", ctypes.byref(address), sys.argv[2].encode())
    else:
        for _ in range(2):
            code_of("cuMemAllocManaged", ctypes.byref(address), ctypes.c_size_t(4), 1)
    code_of("cuCtxSynchronize")


if __name__ == "__main__":
    main()
