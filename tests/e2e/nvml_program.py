"""A program of the tests: asks NVML.

usage: nvml_program.py facts       prints what is known of the GPUs, and what is not, as JSON
       nvml_program.py moves       prints used bytes: at first, with memory of its own, and when that is free again
       nvml_program.py fork        asks, and has a forked child ask; then both use CUDA, and both are listed
       nvml_program.py lost        asks at each line of input, and prints the code
       nvml_program.py threads     many threads ask
       nvml_program.py busy        for each line that it reads, prints how busy its GPU and the memory are, in per cent;
                                   from the line "begin" to the line "end" it keeps it as busy as it can
"""

import ctypes
import json
import os
import sys
import threading

import nvml

MEGABYTE = 1 << 20


def facts():
    nvml.init()
    handle = nvml.device()
    unknown = {name: nvml.code_of(name, handle, *arguments) for name, arguments in {
        "nvmlDeviceGetTemperature": (0, ctypes.byref(ctypes.c_uint())),
        "nvmlDeviceGetPowerUsage": (ctypes.byref(ctypes.c_uint()),),
        "nvmlDeviceGetClockInfo": (0, ctypes.byref(ctypes.c_uint())),
        "nvmlDeviceGetUtilizationRates": ((ctypes.c_uint * 2)(),),
        "nvmlDeviceGetMigMode": (ctypes.byref(ctypes.c_uint()), ctypes.byref(ctypes.c_uint())),
        "nvmlDeviceGetEccMode": (ctypes.byref(ctypes.c_uint()), ctypes.byref(ctypes.c_uint())),
    }.items()}
    by_address = ctypes.c_void_p()
    nvml.call("nvmlDeviceGetHandleByPciBusId_v2", nvml.pci(handle).address, ctypes.byref(by_address))
    print(json.dumps({
        "gpus": [[nvml.text("nvmlDeviceGetName", nvml.device(i)), nvml.text("nvmlDeviceGetUUID", nvml.device(i)),
                  nvml.memory(nvml.device(i)), nvml.pci(nvml.device(i)).address.decode()] for i in range(nvml.count())],
        "capability": nvml.capability(handle),
        "driver": nvml.text("nvmlSystemGetDriverVersion"),
        "found": by_address.value == handle.value,
        "persistence": nvml.number("nvmlDeviceGetPersistenceMode", handle),
        "compute_mode": nvml.number("nvmlDeviceGetComputeMode", handle),
        "processes": nvml.processes(handle),
        "unknown": unknown,
        "missing": [name for name in nvml.LOOKED_UP if not hasattr(nvml.library, name)],
    }))
    print("done", flush=True)
    sys.stdin.readline()


def moves():
    import cuda
    nvml.init()
    handle = nvml.device()
    used = [nvml.memory(handle)[2]]
    cuda.init()
    cuda.use_device()
    address = cuda.allocate(MEGABYTE)
    used.append(nvml.memory(handle)[2])
    assert nvml.memory(handle)[:2] == cuda.memory()[::-1], "the driver and NVML agree"
    assert nvml.processes(handle) == {os.getpid(): MEGABYTE}
    cuda.free(address)
    cuda.synchronize()
    used.append(nvml.memory(handle)[2])
    print(*used)


def fork():
    nvml.init()
    before = nvml.memory(nvml.device())
    told, tell = os.pipe()
    go_on, let_go = os.pipe()
    child = os.fork()
    if child == 0:
        assert nvml.memory(nvml.device()) == before
        nvml.init()
        import cuda
        cuda.init()
        cuda.use_device()
        cuda.allocate(MEGABYTE)
        os.write(tell, b"x")
        os.read(go_on, 1)
        os._exit(0)
    os.read(told, 1)
    import cuda
    cuda.init()
    cuda.use_device()
    cuda.allocate(2 * MEGABYTE)
    found = nvml.processes(nvml.device())
    assert found == {child: MEGABYTE, os.getpid(): 2 * MEGABYTE}, found
    os.write(let_go, b"x")
    _, status = os.waitpid(child, 0)
    print(status)


def lost():
    nvml.init()
    handle = nvml.device()
    info = nvml.Memory()
    print("ready", flush=True)
    while sys.stdin.readline():
        print(nvml.code_of("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(info)),
              nvml.code_of("nvmlDeviceGetPowerUsage", handle, ctypes.byref(ctypes.c_uint())), flush=True)
    nvml.call("nvmlShutdown")
    print(nvml.code_of("nvmlInit_v2"))


def threads():
    nvml.init()
    failed = []

    def ask():
        for _ in range(50):
            if nvml.memory(nvml.device())[2] != 0:
                failed.append(1)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    print(len(failed))


def busy():
    import cuda
    nvml.init()
    handle = nvml.device()
    cuda.init()
    cuda.use_device()
    kernel, stop = cuda.kernel("Count"), threading.Event()

    def work():
        cuda.use_device()
        while not stop.is_set():
            for _ in range(8):  # each takes some milliseconds
                cuda.launch(kernel, ctypes.c_uint(100_000))
            cuda.synchronize()
    thread = threading.Thread(target=work)
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "begin\n":
            thread.start()
        elif line == "end\n":
            stop.set()
            thread.join()
        print(*nvml.utilization(handle), flush=True)


if __name__ == "__main__":
    {function.__name__: function for function in (facts, moves, fork, lost, threads, busy)}[sys.argv[1]]()
