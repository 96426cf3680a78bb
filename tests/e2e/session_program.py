"""A program of the tests: opens a session, says so, and does as its arguments say.

usage: session_program.py hold       stays until it is killed
       session_program.py idle       does nothing until it reads a line, then as `work`
       session_program.py work       copies back and forth until a call fails, then prints the code and that it stays
       session_program.py step       copies back and forth for each line that it reads, and says that it was right
       session_program.py watch COMMAND...   starts COMMAND and prints the free bytes before that, when it has printed
                                     a line, and after its end; then waits until they are what they were before
       session_program.py leave N    takes N bytes, says so, and ends at its next line of input without freeing them
       session_program.py leave-ordered N    the same with memory of a pool
       session_program.py spin       starts a kernel that never ends, and ends
       session_program.py launch     the same with launches that it never waits for
       session_program.py wait       the same with one wait, for a kernel that never ends
       session_program.py take N     reads a line, takes blocks of N bytes until memory is out, prints the bytes, reads
                                     a line, frees all, prints the free bytes
       session_program.py take-ordered N     the same with memory of a pool
       session_program.py churn LEAST MOST   takes, uses and frees, over and over: LEAST bytes it must get, and more
                                     than MOST never; for each line that it reads it says so, "right TOTAL FREE TOOK",
                                     with all that it could take then
       session_program.py sizes N    takes N bytes and prints, for each line that it reads, the first device's total and
                                     free memory, and its total, free and used memory as NVML says
       session_program.py facts      prints devices, their memory, and free and total memory of the first
"""

import itertools
import random
import select
import signal
import subprocess
import sys
import time

import cuda
import nvml


def until_it_fails(action):
    print("ready", flush=True)
    try:
        while True:
            action()
    except cuda.CudaError as first:
        for again in range(3):
            try:
                cuda.synchronize()
                sys.exit("a lost session works again")
            except cuda.CudaError as error:
                if error.code != first.code:
                    sys.exit(f"first {first.code}, then {error.code}")
        print(f"lost {first.code}", flush=True)


def copies():
    """Returns what copies once to the device and back."""
    address = cuda.allocate(4096)
    numbers = itertools.count(1)
    def copy():
        data = bytes([next(numbers) % 256]) * 4096
        cuda.write(address, data)
        if cuda.read(address, 4096) != data:
            sys.exit("what was written does not come back")
    return copy


def idle():
    copy = copies()
    def wait_and_copy():
        sys.stdin.readline()
        copy()
    until_it_fails(wait_and_copy)


def step():
    copy = copies()
    print("ready", flush=True)
    for _ in sys.stdin:
        copy()
        print("right", flush=True)


def launch():
    nothing = cuda.kernel("Nothing")
    until_it_fails(lambda: cuda.launch(nothing))


def wait():
    cuda.launch(cuda.kernel("Endless"))
    until_it_fails(cuda.synchronize)


def take(block, allocate=cuda.allocate, free=cuda.free):
    print("ready", flush=True)
    sys.stdin.readline()
    addresses = []
    try:
        while True:
            addresses.append(allocate(block))
    except cuda.CudaError as error:
        if error.code != cuda.OUT_OF_MEMORY:
            raise
    # The program goes on.
    cuda.synchronize()
    for address in addresses[-1:]:
        cuda.write(address, b"x" * 16)
        if cuda.read(address, 16) != b"x" * 16:
            sys.exit("what was written does not come back")
    print(f"took {len(addresses) * block}", flush=True)
    sys.stdin.readline()
    for address in addresses:
        free(address)
    cuda.synchronize()
    print(f"free {cuda.memory()[0]}", flush=True)


def take_all(block):
    """The addresses of blocks of so many bytes, as many as there are."""
    addresses = []
    try:
        while True:
            addresses.append(cuda.allocate(block))
    except cuda.CudaError as error:
        if error.code != cuda.OUT_OF_MEMORY:
            raise
    return addresses


def churn(least, most):
    # All sizes are multiples of one, so that holes between what others take fit as well.
    block = 1 << 18
    generator = random.Random(1)
    print("ready", flush=True)
    while True:
        # What it may always have, in pieces.
        pieces = [cuda.allocate(block) for _ in range(least // block)]
        free, total = cuda.memory()
        if not (least <= total <= most and free <= total):
            sys.exit(f"{free} of {total} bytes free")
        # What it may have, or not, and what it never may.
        for size in (block * generator.randrange(1, (most - least) // block), most - least + 1):
            try:
                pieces.append(cuda.allocate(size))
                if size > most - least:
                    sys.exit(f"{least} and {size} bytes were taken, of {most} at most")
            except cuda.CudaError as error:
                if error.code != cuda.OUT_OF_MEMORY:
                    raise
        data = generator.randbytes(64)
        for address in pieces:
            cuda.write(address, data)
        if any(cuda.read(address, 64) != data for address in pieces):
            sys.exit("what was written does not come back")
        generator.shuffle(pieces)
        if select.select([sys.stdin], [], [], 0)[0]:
            if not sys.stdin.readline():
                return
            for address in pieces:
                cuda.free(address)
            pieces = take_all(block)
            print(f"right {cuda.memory()[1]} {cuda.memory()[0]} {len(pieces) * block}", flush=True)
        for address in pieces:
            cuda.free(address)


def watch(command):
    before = cuda.memory()[0]
    print(f"before {before}", flush=True)
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    print(f"during {cuda.memory()[0]}", flush=True)
    child.stdin.close()
    status = child.wait()
    print(f"after {cuda.memory()[0]} status {status}", flush=True)
    end = time.monotonic() + 60
    while cuda.memory()[0] < before:
        if time.monotonic() > end:
            sys.exit(f"of {before} bytes {cuda.memory()[0]} came back")
        time.sleep(0.01)


def leave(size, allocate=cuda.allocate):
    allocate(size)
    print("taken", flush=True)
    sys.stdin.readline()


def spin():
    cuda.launch(cuda.kernel("Endless"))
    print("ready", flush=True)


def hold():
    cuda.allocate(1 << 20)
    print("ready", flush=True)
    signal.pause()


def sizes(held):
    address = cuda.allocate(held)
    nvml.init()
    print("ready", flush=True)
    for _ in sys.stdin:
        free, total = cuda.memory()
        print(total, free, *nvml.memory(nvml.device()), flush=True)
    cuda.free(address)


def facts():
    print(cuda.device_count(), [cuda.device_memory(i) for i in range(cuda.device_count())], *cuda.memory())


def main():
    cuda.init()
    cuda.use_device()
    actions = {"hold": hold, "idle": idle, "step": step, "work": lambda: until_it_fails(copies()), "launch": launch, "wait": wait,
               "take": lambda: take(int(sys.argv[2])),
               "churn": lambda: churn(int(sys.argv[2]), int(sys.argv[3])), "facts": facts,
               "sizes": lambda: sizes(int(sys.argv[2])),
               "take-ordered": lambda: take(int(sys.argv[2]), cuda.allocate_ordered, cuda.free_ordered),
               "watch": lambda: watch(sys.argv[2:]), "leave": lambda: leave(int(sys.argv[2])), "spin": spin,
               "leave-ordered": lambda: leave(int(sys.argv[2]), cuda.allocate_ordered)}
    actions[sys.argv[1]]()


if __name__ == "__main__":
    main()
