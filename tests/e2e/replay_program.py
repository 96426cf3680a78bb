"""A program of the tests: whatever a worker asks its client for. Prints what comes out.

usage: replay_program.py [BYTES]

A kernel stores numbers at device addresses; what it stored goes to page-locked memory, from there to the device again
while it may still change, and back; a host function runs between."""

import ctypes
import sys

import cuda

SIZE = int(sys.argv[1]) if len(sys.argv) > 1 else 256 << 10


def pinned():
    address = ctypes.c_void_p()
    cuda.call("cuMemHostAlloc", ctypes.byref(address), ctypes.c_size_t(SIZE), 0)
    return address


def main():
    cuda.init()
    cuda.use_device()
    store = cuda.kernel("Store")
    stream = ctypes.c_void_p()
    cuda.call("cuStreamCreate", ctypes.byref(stream), 1)
    there, elsewhere = (ctypes.c_uint64(cuda.allocate(SIZE)) for _ in range(2))
    cuda.call("cuMemsetD8_v2", there, 7, ctypes.c_size_t(SIZE))
    cuda.synchronize()
    here, back = pinned(), pinned()
    calls = []
    host_function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: calls.append(len(calls)))
    for turn in range(3):
        cuda.launch(store, ctypes.c_uint64(there.value + 4 * turn), ctypes.c_uint32(turn), stream=stream)
        cuda.call("cuMemcpyDtoHAsync_v2", here, there, ctypes.c_size_t(SIZE), stream)
        cuda.call("cuMemcpyHtoDAsync_v2", elsewhere, here, ctypes.c_size_t(SIZE), stream)
        cuda.call("cuLaunchHostFunc", stream, host_function, None)
    cuda.call("cuMemcpyDtoHAsync_v2", back, elsewhere, ctypes.c_size_t(SIZE), stream)
    cuda.call("cuStreamSynchronize", stream)
    print(calls, list(ctypes.string_at(back, 16)), cuda.read(elsewhere.value, 4))


if __name__ == "__main__":
    main()
