"""Calls of the driver API by ctypes, as programs make them that know nothing of Outboard."""

import ctypes

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, NOT_INITIALIZED = 0, 1, 2, 3
UNAVAILABLE, NO_BINARY_FOR_GPU, NOT_SUPPORTED = 46, 209, 801

KERNELS = b"""
.version 7.0
.target sm_75
.address_size 64
.visible .entry Nothing() { ret; }
.visible .entry Endless() { again: bra again; }
.visible .entry Count(.param .u32 times)
{
  .reg .pred %p<2>;
  .reg .b32 %r<2>;
  ld.param.u32 %r1, [times];
again:
  sub.u32 %r1, %r1, 1;
  setp.ne.u32 %p1, %r1, 0;
  @%p1 bra again;
  ret;
}
.visible .entry Store(.param .u64 address, .param .u32 value)
{
  .reg .b64 %rd<2>;
  .reg .b32 %r<2>;
  ld.param.u64 %rd1, [address];
  ld.param.u32 %r1, [value];
  st.global.u32 [%rd1], %r1;
  ret;
}
"""

library = ctypes.CDLL("libcuda.so.1")


class CudaError(Exception):
    def __init__(self, name, code):
        super().__init__(f"{name} returned {code}")
        self.code = code


def call(name, *arguments):
    code = getattr(library, name)(*arguments)
    if code != SUCCESS:
        raise CudaError(name, code)


def init():
    call("cuInit", 0)


def device_count():
    count = ctypes.c_int()
    call("cuDeviceGetCount", ctypes.byref(count))
    return count.value


def device_memory(ordinal=0):
    total = ctypes.c_size_t()
    call("cuDeviceTotalMem_v2", ctypes.byref(total), ordinal)
    return total.value


def use_device(ordinal=0):
    """Makes the device's primary context current."""
    context = ctypes.c_void_p()
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), ordinal)
    call("cuCtxSetCurrent", context)


def memory():
    """(free, total) in bytes."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return free.value, total.value


def allocate(size):
    address = ctypes.c_uint64()
    call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
    return address.value


def free(address):
    call("cuMemFree_v2", ctypes.c_uint64(address))


def allocate_ordered(size):
    """From the device's pool, in the order of the legacy stream."""
    address = ctypes.c_uint64()
    call("cuMemAllocAsync", ctypes.byref(address), ctypes.c_size_t(size), None)
    return address.value


def free_ordered(address):
    call("cuMemFreeAsync", ctypes.c_uint64(address), None)


def write(address, data):
    call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), data, ctypes.c_size_t(len(data)))


def read(address, size):
    data = ctypes.create_string_buffer(size)
    call("cuMemcpyDtoH_v2", data, ctypes.c_uint64(address), ctypes.c_size_t(size))
    return data.raw


def synchronize():
    call("cuCtxSynchronize")


def load_file(path):
    """The module in a file."""
    module = ctypes.c_void_p()
    call("cuModuleLoad", ctypes.byref(module), str(path).encode())
    return module


def kernel(name):
    """One of KERNELS."""
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    call("cuModuleLoadData", ctypes.byref(module), KERNELS)
    call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
    return function


def launch(function, *parameters, stream=None):
    """One thread. `parameters`: of ctypes."""
    addresses = (ctypes.c_void_p * len(parameters))(*map(ctypes.addressof, parameters))
    call("cuLaunchKernel", function, 1, 1, 1, 1, 1, 1, 0, stream, addresses, None)
