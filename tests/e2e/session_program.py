"""A program of the tests: opens a session, says so, and does as its arguments say.

usage: session_program.py hold       stays until it is killed
       session_program.py work       copies back and forth until a call fails, then prints the code and that it stays
       session_program.py take N     takes blocks of N bytes until memory is out; prints the bytes, frees all, prints the
                                     free bytes
       session_program.py watch COMMAND...   starts COMMAND and prints the free bytes before that, when it has printed
                                     a line, and after its end; then waits until they are what they were before
       session_program.py leave N    takes N bytes, says so, and ends at its next line of input without freeing them
       session_program.py spin       starts a kernel that never ends, and ends
       session_program.py facts      prints devices, their memory, and free and total memory of the first
"""

import signal
import subprocess
import sys
import time

import cuda


def work():
    address = cuda.allocate(4096)
    cuda.write(address, bytes(4096))
    print("ready", flush=True)
    try:
        number = 0
        while True:
            number = (number + 1) % 256
            cuda.write(address, bytes([number]) * 4096)
            if cuda.read(address, 4096) != bytes([number]) * 4096:
                sys.exit("what was written does not come back")
    except cuda.CudaError as first:
        for again in range(3):
            try:
                cuda.synchronize()
                sys.exit("a lost session works again")
            except cuda.CudaError as error:
                if error.code != first.code:
                    sys.exit(f"first {first.code}, then {error.code}")
        print(f"lost {first.code}", flush=True)


def take(block):
    addresses = []
    try:
        while True:
            addresses.append(cuda.allocate(block))
    except cuda.CudaError as error:
        if error.code != cuda.OUT_OF_MEMORY:
            raise
    # The program goes on.
    for address in addresses[-1:]:
        cuda.write(address, b"x" * 16)
        if cuda.read(address, 16) != b"x" * 16:
            sys.exit("what was written does not come back")
    print(f"took {len(addresses) * block}", flush=True)
    sys.stdin.readline()
    for address in addresses:
        cuda.free(address)
    print(f"free {cuda.memory()[0]}", flush=True)


SPIN = b"""
.version 7.0
.target sm_75
.address_size 64
.visible .entry spin()
{
AGAIN:
  bra AGAIN;
}
"""


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


def main():
    cuda.init()
    cuda.use_device()
    if sys.argv[1] == "hold":
        cuda.allocate(1 << 20)
        print("ready", flush=True)
        signal.pause()
    elif sys.argv[1] == "watch":
        watch(sys.argv[2:])
    elif sys.argv[1] == "leave":
        cuda.allocate(int(sys.argv[2]))
        print("taken", flush=True)
        sys.stdin.readline()
    elif sys.argv[1] == "spin":
        cuda.launch(cuda.load(SPIN), b"spin")
        print("ready", flush=True)
    elif sys.argv[1] == "work":
        work()
    elif sys.argv[1] == "take":
        take(int(sys.argv[2]))
    else:
        print(cuda.device_count(), [cuda.device_memory(i) for i in range(cuda.device_count())], *cuda.memory())


if __name__ == "__main__":
    main()
