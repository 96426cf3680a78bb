"""Calls of NVML by ctypes, as programs make them that know nothing of Outboard."""

import ctypes

SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, INSUFFICIENT_SIZE = 0, 1, 2, 3, 7
DRIVER_NOT_LOADED, GPU_IS_LOST = 9, 15

# What NCCL and PyTorch look up by these names, and give up if one is missing.
LOOKED_UP = """
nvmlInit nvmlInit_v2 nvmlShutdown nvmlErrorString nvmlDeviceGetCount nvmlDeviceGetCount_v2 nvmlDeviceGetHandleByIndex
nvmlDeviceGetHandleByIndex_v2 nvmlDeviceGetHandleByPciBusId nvmlDeviceGetHandleByPciBusId_v2 nvmlDeviceGetHandleByUUID
nvmlDeviceGetUUID nvmlDeviceGetIndex nvmlDeviceGetPciInfo nvmlDeviceGetPciInfo_v3 nvmlDeviceGetNvLinkState
nvmlDeviceGetNvLinkRemotePciInfo nvmlDeviceGetNvLinkRemotePciInfo_v2 nvmlDeviceGetNvLinkRemoteDeviceType
nvmlDeviceGetNvLinkCapability nvmlDeviceGetCudaComputeCapability nvmlDeviceGetP2PStatus nvmlDeviceGetFieldValues
nvmlDeviceGetGpuFabricInfoV nvmlDeviceGetPlatformInfo nvmlSystemGetConfComputeState nvmlSystemGetConfComputeSettings
nvmlDeviceGetComputeRunningProcesses nvmlDeviceGetComputeRunningProcesses_v3 nvmlSystemGetCudaDriverVersion_v2
nvmlSystemGetDriverVersion nvmlDeviceGetMemoryInfo nvmlDeviceGetUtilizationRates nvmlDeviceGetTemperature
nvmlDeviceGetPowerUsage nvmlDeviceGetClockInfo nvmlDeviceGetTopologyCommonAncestor nvmlDeviceGetCpuAffinity
""".split()


class Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class Pci(ctypes.Structure):
    _fields_ = [("short_address", ctypes.c_char * 16), ("domain", ctypes.c_uint), ("bus", ctypes.c_uint),
                ("device", ctypes.c_uint), ("id", ctypes.c_uint), ("subsystem", ctypes.c_uint),
                ("address", ctypes.c_char * 32)]


class Process(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong), ("gpu_instance", ctypes.c_uint),
                ("compute_instance", ctypes.c_uint)]


class NvmlError(Exception):
    def __init__(self, name, code):
        super().__init__(f"{name} returned {code}")
        self.code = code


library = ctypes.CDLL("libnvidia-ml.so.1")


def code_of(name, *arguments):
    return getattr(library, name)(*arguments)


def call(name, *arguments):
    code = code_of(name, *arguments)
    if code != SUCCESS:
        raise NvmlError(name, code)


def init():
    call("nvmlInit_v2")


def count():
    number = ctypes.c_uint()
    call("nvmlDeviceGetCount_v2", ctypes.byref(number))
    return number.value


def device(index=0):
    handle = ctypes.c_void_p()
    call("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(handle))
    return handle


def text(name, *arguments):
    buffer = ctypes.create_string_buffer(96)
    call(name, *arguments, buffer, len(buffer))
    return buffer.value.decode()


def number(name, handle, *arguments):
    value = ctypes.c_uint()
    call(name, handle, *arguments, ctypes.byref(value))
    return value.value


def memory(handle):
    """(total, free, used) in bytes."""
    info = Memory()
    call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(info))
    return info.total, info.free, info.used


class Utilization(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint) for name in ("gpu", "memory")]


def utilization(handle):
    """(gpu, memory) in per cent."""
    rates = Utilization()
    call("nvmlDeviceGetUtilizationRates", handle, ctypes.byref(rates))
    return rates.gpu, rates.memory


def capability(handle):
    major, minor = ctypes.c_int(), ctypes.c_int()
    call("nvmlDeviceGetCudaComputeCapability", handle, ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def pci(handle):
    info = Pci()
    call("nvmlDeviceGetPciInfo_v3", handle, ctypes.byref(info))
    return info


def processes(handle):
    """{pid: bytes}"""
    name, room = "nvmlDeviceGetComputeRunningProcesses_v3", ctypes.c_uint(0)
    code = code_of(name, handle, ctypes.byref(room), None)
    while code == INSUFFICIENT_SIZE:
        infos = (Process * room.value)()
        code = code_of(name, handle, ctypes.byref(room), infos)
    if code != SUCCESS:
        raise NvmlError(name, code)
    return {info.pid: info.used for info in infos[:room.value]} if room.value else {}
