"""A program of the tests: forks, and prints what parent and child come to.

usage: fork_program.py before          forks between calls that need no cuInit; both use CUDA after it
       fork_program.py after NAME...   forks after cuInit; the child makes these calls with null arguments and prints
                                       what each returns
       fork_program.py outlive         forks after cuInit; the child makes no call. Prints both pids; both stay for ever
"""

import ctypes
import os
import signal
import sys

import cuda


def work(text):
    address = cuda.allocate(64)
    cuda.write(address, text.encode().ljust(64))
    print(cuda.read(address, 64).decode().strip(), flush=True)
    cuda.free(address)


def open_sockets():
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum(os.readlink(link).startswith("socket:") for link in links if os.path.islink(link))


def in_child(body):
    """Runs it in a child that then exits as programs do, and ends with the child's status if that is not 0."""
    child = os.fork()
    if child == 0:
        body()
        sys.stdout.flush()
        ctypes.CDLL(None).exit(0)  # with the exit handlers of libraries
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0:
        sys.exit(f"the child ended with {status}")


def before():
    version = ctypes.c_int()
    cuda.call("cuDriverGetVersion", ctypes.byref(version))

    def use(text):
        cuda.init()
        cuda.use_device()
        work(text)
    in_child(lambda: use("child"))
    use("parent")


def after(names):
    sockets_at_first = open_sockets()
    cuda.init()
    cuda.use_device()

    def call_all():
        for name in names:
            print(name, getattr(cuda.library, name)(*[ctypes.c_void_p()] * 12), flush=True)
        print("sockets", open_sockets() - sockets_at_first)
    in_child(call_all)
    work("parent")


def outlive():
    cuda.init()
    child = os.fork()
    if child == 0:
        for stream in range(3):
            os.close(stream)
        signal.pause()
    print(os.getpid(), child, flush=True)
    signal.pause()


if __name__ == "__main__":
    {"before": before, "after": lambda: after(sys.argv[2:]), "outlive": outlive}[sys.argv[1]]()
