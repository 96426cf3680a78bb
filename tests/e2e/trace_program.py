"""A program of the tests: calls of every class, more than once each."""

import ctypes

import cuda


def main():
    cuda.init()
    cuda.use_device()
    nothing = cuda.kernel("Nothing")
    address = cuda.allocate(4096)
    event = ctypes.c_void_p()
    low, high = ctypes.c_int(), ctypes.c_int()
    cuda.call("cuEventCreate", ctypes.byref(event), 0)
    for _ in range(3):
        cuda.call("cuCtxGetStreamPriorityRange", ctypes.byref(low), ctypes.byref(high))
        cuda.write(address, b"x" * 4096)
        for _ in range(100):
            cuda.launch(nothing)
            cuda.call("cuEventRecord", event, None)
        cuda.read(address, 4096)
        cuda.synchronize()
    cuda.free(address)


if __name__ == "__main__":
    main()
