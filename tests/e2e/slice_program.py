"""A program of the tests: takes what it can get of a slice, by fair means or foul.

usage: slice_program.py look              for each line that it reads, prints how many bytes of the device are not free
       slice_program.py together N COMMAND...   runs COMMAND N times, each with a number of its own behind it; prints a
                                          line of each, and passes on each line that it reads to all
       slice_program.py NAME              waits for a line, does what NAME says, takes all that it is given, says
                                          "taken" and waits for another line

NAME is one of: plain, without-preload, fork, reset, contexts, free-twice.
"""

import contextlib
import ctypes
import os
import subprocess
import sys
import threading

BLOCK = 256 << 10


def say(what):
    print(what, flush=True)


def look():
    import cuda
    cuda.init()
    cuda.use_device()
    say("ready")
    for _ in sys.stdin:
        free, total = cuda.memory()
        say(total - free)


def together(count, command):
    children = [subprocess.Popen([*command, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for seed in range(count)]
    while lines := [line for line in (child.stdout.readline() for child in children) if line]:
        print("".join(lines), end="", flush=True)
        line = sys.stdin.readline()
        for child in children:
            with contextlib.suppress(BrokenPipeError):
                print(line, end="", file=child.stdin, flush=True)
    sys.exit(any([child.wait() for child in children]))


def take_all():
    """Addresses of all that there is."""
    import cuda
    addresses = []
    for allocate in (cuda.allocate, cuda.allocate_ordered):
        for size in (BLOCK, 512):
            try:
                while True:
                    addresses.append(allocate(size))
            except cuda.CudaError as error:
                if error.code != cuda.OUT_OF_MEMORY:
                    raise
    return addresses


def start():
    import cuda
    cuda.init()
    cuda.use_device()
    return cuda


def plain():
    start()


def without_preload():
    """Also without the folder of our libraries: what it finds then is what the machine has itself."""
    if "LD_PRELOAD" in os.environ:
        del os.environ["LD_PRELOAD"]
        os.execv(sys.executable, [sys.executable, "-B", *sys.argv[:1], "plain-now"])
    start()


def fork():
    """Before CUDA is touched: each child has a session of its own."""
    for _ in range(4):
        reader, writer = os.pipe()
        if os.fork() == 0:
            start()
            take_all()
            os.write(writer, b"x")
            while os.read(0, 1):  # until the parent has its last line
                pass
            os._exit(0)
        os.read(reader, 1)
    start()


def reset():
    """While another thread takes and frees."""
    cuda = start()
    is_over = threading.Event()

    def take():
        while not is_over.is_set():
            with contextlib.suppress(cuda.CudaError):
                cuda.use_device()
                cuda.free(cuda.allocate(BLOCK))
                cuda.allocate(BLOCK)
    thread = threading.Thread(target=take)
    thread.start()
    for _ in range(100):
        with contextlib.suppress(cuda.CudaError):
            cuda.allocate(4 * BLOCK)
            cuda.allocate_ordered(BLOCK)
        cuda.call("cuDevicePrimaryCtxReset_v2", 0)
        cuda.use_device()
    is_over.set()
    thread.join()
    cuda.use_device()


def contexts():
    cuda = start()
    for turn in range(20):
        context = ctypes.c_void_p()
        cuda.call("cuCtxCreate_v2", ctypes.byref(context), 0, 0)
        with contextlib.suppress(cuda.CudaError):
            for _ in range(8):
                cuda.allocate(BLOCK)
        if turn % 4 != 0:
            cuda.call("cuCtxDestroy_v2", context)
    context = ctypes.c_void_p()
    cuda.call("cuCtxCreate_v2", ctypes.byref(context), 0, 0)


def free_twice():
    cuda = start()
    for allocate in (cuda.allocate, cuda.allocate_ordered):
        for first in (cuda.free, cuda.free_ordered):
            for second in (cuda.free, cuda.free_ordered):
                for _ in range(4):
                    address = allocate(BLOCK)
                    for free, at in ((first, address + 512), (first, address), (second, address), (second, address)):
                        with contextlib.suppress(cuda.CudaError):
                            free(at)
                    cuda.synchronize()


def main():
    action = sys.argv[1]
    if action == "look":
        return look()
    if action == "together":
        return together(int(sys.argv[2]), sys.argv[3:])
    cheats = {"plain": plain, "without-preload": without_preload, "fork": fork, "reset": reset, "contexts": contexts,
              "free-twice": free_twice}
    if action == "plain-now":  # the line was read before
        plain()
    else:
        say("ready")
        os.read(0, 64)  # nothing ahead, for who comes by exec
        cheats[action]()
    taken = take_all()
    say("taken")
    os.read(0, 64)
    del taken


if __name__ == "__main__":
    main()
