#include "checks.h"

// Wrong uses of modules, the linker and launches.

namespace wrong_uses {

void Checks::Code() {
  CUmodule module;
  CUfunction function;
  CUlibrary library;
  CUkernel kernel;
  CUdeviceptr address;
  size_t size, offset;
  int value;
  Check(
      "Code",
      {
          {"load: null", [&] { return cuModuleLoadData(&module, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"load: bad PTX",
           [&] { return cuModuleLoadData(&module, ".version 8.0\n.target sm_75\n.address_size 64\n.entry ("); },
           CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX: a PTX JIT compilation failed."},
          {"load: newer target",
           [&] { return cuModuleLoadData(&module, ".version 9.0\n.target sm_200\n.address_size 64\n"); },
           CUDA_ERROR_NO_BINARY_FOR_GPU,
           "CUDA_ERROR_NO_BINARY_FOR_GPU: there is no kernel image available that is suitable for the device."},
          {"load: no file", [&] { return cuModuleLoad(&module, "/nonexistent/file.cubin"); }, CUDA_ERROR_FILE_NOT_FOUND,
           "CUDA_ERROR_FILE_NOT_FOUND: the file specified was not found."},
          {"unload: null", [] { return cuModuleUnload(nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"function: none", [&] { return cuModuleGetFunction(&function, module_, "nope"); }, CUDA_ERROR_NOT_FOUND,
           "cuModuleGetFunction: if no function of that name exists, cuModuleGetFunction() returns "
           "CUDA_ERROR_NOT_FOUND."},
          {"function: wrong kind",
           [&] { return cuModuleGetFunction(&function, reinterpret_cast<CUmodule>(store_), "store"); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"global: none", [&] { return cuModuleGetGlobal_v2(&address, &size, module_, "nope"); }, CUDA_ERROR_NOT_FOUND,
           "cuModuleGetGlobal: if no variable of that name exists, cuModuleGetGlobal() returns "
           "CUDA_ERROR_NOT_FOUND."},
          {"global: asks nothing", [&] { return cuModuleGetGlobal_v2(nullptr, nullptr, module_, "answer"); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"attribute: unknown", [&] { return cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX, store_); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"attribute: read only", [&] { return cuFuncSetAttribute(store_, CU_FUNC_ATTRIBUTE_NUM_REGS, 8); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"attribute: too much shared",
           [&] { return cuFuncSetAttribute(store_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1 << 20); },
           CUDA_ERROR_INVALID_VALUE,
           "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: cannot exceed the device attribute "
           "CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN."},
          {"param: past the last", [&] { return cuFuncGetParamInfo(store_, 2, &offset, &size); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"library: null",
           [&] { return cuLibraryLoadData(&library, nullptr, nullptr, nullptr, 0, nullptr, nullptr, 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"library: unload null", [] { return cuLibraryUnload(nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"library: module of a bogus one", [&] { return cuLibraryGetModule(&module, Bogus<CUlibrary>(2)); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"library: global of a bogus one",
           [&] { return cuLibraryGetGlobal(&address, &size, Bogus<CUlibrary>(2), "x"); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"function: no name", [&] { return cuModuleGetFunction(&function, module_, nullptr); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"function: nowhere to put it", [&] { return cuModuleGetFunction(nullptr, module_, "store"); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"name: null", [&] { return cuFuncGetName(nullptr, store_); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"module of no function", [&] { return cuFuncGetModule(&module, nullptr); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"load: no file name", [&] { return cuModuleLoad(&module, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"load: nowhere to put it", [] { return cuModuleLoadData(nullptr, kPtx); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"occupancy: null", [&] { return cuOccupancyMaxActiveBlocksPerMultiprocessor(nullptr, store_, 32, 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"occupancy: empty blocks", [&] { return cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, store_, 0, 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"entry point: none",
           [] {
             void* entry = nullptr;
             return cuGetProcAddress_v2("cuNothing", &entry, 13000, 0, nullptr);
           },
           CUDA_ERROR_NOT_FOUND, "cuGetProcAddress lists CUDA_ERROR_NOT_FOUND."},
          {"entry point: no name",
           [] {
             void* entry = nullptr;
             return cuGetProcAddress_v2(nullptr, &entry, 13000, 0, nullptr);
           },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"error: unknown name",
           [] {
             const char* name = nullptr;
             return cuGetErrorName(static_cast<CUresult>(12345), &name);
           },
           CUDA_ERROR_INVALID_VALUE,
           "cuGetErrorName: if the error code is not recognized, CUDA_ERROR_INVALID_VALUE will be returned."},
          {"library: bogus", [&] { return cuLibraryGetKernel(&kernel, Bogus<CUlibrary>(1), "store"); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"kernel: wrong kind", [&] { return cuKernelGetFunction(&function, reinterpret_cast<CUkernel>(store_)); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
      });
}

void Checks::Linking() {
  constexpr char kInputOptions[] =
      "cuLinkAddData: this method accepts only compiler options, and does not accept any of CU_JIT_WALL_TIME, "
      "CU_JIT_INFO_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER, CU_JIT_TARGET_FROM_CUCONTEXT, or CU_JIT_TARGET.";
  constexpr char kSource[] =
      "CUDA_ERROR_INVALID_SOURCE: the device kernel source is invalid. This includes compilation/linker errors "
      "encountered in device code or user error.";
  constexpr char kCalling[] =
      ".version 8.0\n.target sm_75\n.address_size 64\n.extern .func lost;\n"
      ".visible .entry caller() { call lost; ret; }\n";
  CUlinkState state = nullptr, open = nullptr, stale = nullptr, none = nullptr;
  Do(cuLinkCreate_v2(0, nullptr, nullptr, &state));
  Do(cuLinkCreate_v2(0, nullptr, nullptr, &open));
  Do(cuLinkCreate_v2(0, nullptr, nullptr, &stale));
  Do(cuLinkDestroy(stale));
  const auto add = [](CUlinkState to, CUjitInputType type, const void* data, size_t size,
                      std::vector<CUjit_option> options = {}) {
    std::vector<void*> values(options.size());
    return cuLinkAddData_v2(to, type, const_cast<void*>(data), size, "input", static_cast<unsigned>(options.size()),
                            options.data(), values.data());
  };
  const auto add_file = [](CUlinkState to, const char* path, std::vector<CUjit_option> options = {}) {
    std::vector<void*> values(options.size());
    return cuLinkAddFile_v2(to, CU_JIT_INPUT_PTX, path, static_cast<unsigned>(options.size()), options.data(),
                            values.data());
  };
  const auto create = [&](std::vector<CUjit_option> options, std::vector<uint64_t> numbers) {
    std::vector<void*> values;
    for (const uint64_t number : numbers) values.push_back(Bogus<void*>(number));
    return cuLinkCreate_v2(static_cast<unsigned>(options.size()), options.data(), values.data(), &none);
  };
  Do(add(state, CU_JIT_INPUT_PTX, kPtx, sizeof kPtx));
  Do(add(open, CU_JIT_INPUT_PTX, kCalling, sizeof kCalling));
  void* image = nullptr;
  size_t size = 0;
  Check("Linking",
        {
            {"create: null", [] { return cuLinkCreate_v2(0, nullptr, nullptr, nullptr); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"create: options missing", [&] { return cuLinkCreate_v2(1, nullptr, nullptr, &none); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: no such option", [&] { return create({CU_JIT_NUM_OPTIONS}, {0}); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"create: level 5", [&] { return create({CU_JIT_OPTIMIZATION_LEVEL}, {5}); }, CUDA_ERROR_INVALID_VALUE,
             "CU_JIT_OPTIMIZATION_LEVEL: level of optimizations to apply to generated code (0 - 4)."},
            {"create: target and threads",
             [&] {
               return create({CU_JIT_TARGET, CU_JIT_THREADS_PER_BLOCK}, {CU_TARGET_COMPUTE_75, 64});
             },
             CUDA_ERROR_INVALID_VALUE, "CU_JIT_TARGET: cannot be combined with CU_JIT_THREADS_PER_BLOCK."},
            {"add: null", [&] { return add(state, CU_JIT_INPUT_PTX, nullptr, 8); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"add: type", [&] { return add(state, CU_JIT_NUM_INPUT_TYPES, kCalling, sizeof kCalling); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"add: a log of its own",
             [&] {
               return add(state, CU_JIT_INPUT_PTX, kCalling, sizeof kCalling,
                          {CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES});
             },
             CUDA_ERROR_INVALID_VALUE, kInputOptions},
            {"add: a target of its own",
             [&] { return add(state, CU_JIT_INPUT_PTX, kCalling, sizeof kCalling, {CU_JIT_TARGET_FROM_CUCONTEXT}); },
             CUDA_ERROR_INVALID_VALUE, kInputOptions},
            {"add: no PTX", [&] { return add(state, CU_JIT_INPUT_PTX, "nonsense", 9); }, CUDA_ERROR_INVALID_PTX,
             "CUDA_ERROR_INVALID_PTX: a PTX JIT compilation failed."},
            {"add: defined twice", [&] { return add(state, CU_JIT_INPUT_PTX, kPtx, sizeof kPtx); },
             CUDA_ERROR_INVALID_SOURCE, kSource},
            {"add: destroyed", [&] { return add(stale, CU_JIT_INPUT_PTX, kPtx, sizeof kPtx); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"add file: null", [&] { return add_file(state, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"add file: none", [&] { return add_file(state, "/nowhere/input.ptx"); }, CUDA_ERROR_FILE_NOT_FOUND,
             "CUDA_ERROR_FILE_NOT_FOUND: the file specified was not found."},
            {"add file: a time of its own", [&] { return add_file(state, "/nowhere/input.ptx", {CU_JIT_WALL_TIME}); },
             CUDA_ERROR_INVALID_VALUE, kInputOptions},
            {"complete: null", [&] { return cuLinkComplete(state, nullptr, &size); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"complete: not defined", [&] { return cuLinkComplete(open, &image, &size); }, CUDA_ERROR_INVALID_SOURCE,
             kSource},
            {"complete: destroyed", [&] { return cuLinkComplete(stale, &image, &size); }, CUDA_ERROR_INVALID_HANDLE,
             kHandle},
            {"destroy: twice", [&] { return cuLinkDestroy(stale); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"what was refused is forgotten", [&] { return cuLinkComplete(state, &image, &size); }, CUDA_SUCCESS,
             "cuLinkAddData: adds an input to a pending linker invocation."},
        });
  Do(cuLinkDestroy(state));
  Do(cuLinkDestroy(open));
}

void Checks::Launches() {
  CUdeviceptr p = memory_;
  size_t small = 4;
  void* packed[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &p, CU_LAUNCH_PARAM_BUFFER_SIZE, &small, CU_LAUNCH_PARAM_END};
  void* params[] = {&p, &p};
  CUlaunchAttribute cluster{};
  cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  cluster.value.clusterDim = {2, 1, 1};
  CUlaunchConfig config{1, 1, 1, 1, 1, 1, 0, nullptr, &cluster, 1};
  Check(
      "Launches",
      {
          {"null function", [&] { return Launch(nullptr, 1, 1, 0, nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"wrong kind", [&] { return Launch(reinterpret_cast<CUfunction>(module_), 1, 1, 0, nullptr); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"stale stream", [&] { return Launch(store_, 1, 1, 0, stale_stream_); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"empty grid", [&] { return Launch(store_, 0, 1, 0, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"empty block", [&] { return Launch(store_, 1, 0, 0, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"2048 threads", [&] { return Launch(store_, 1, 2048, 0, nullptr); }, CUDA_ERROR_INVALID_VALUE,
           "CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK is 1024."},
          {"past .maxntid", [&] { return Launch(with_bounds_, 1, 65, 0, nullptr); }, CUDA_ERROR_INVALID_VALUE,
           "CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: the maximum number of threads per block, beyond which a launch "
           "of the "
           "function would fail."},
          {"too much shared", [&] { return Launch(store_, 1, 1, (48 << 10) + 1, nullptr); }, CUDA_ERROR_INVALID_VALUE,
           "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: if the user-specified dynamic shared memory size is "
           "larger "
           "than this value, the launch will fail."},
          {"grid too deep", [&] { return cuLaunchKernel(store_, 1, 1, 65536, 1, 1, 1, 0, nullptr, params, nullptr); },
           CUDA_ERROR_INVALID_VALUE, "CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z is 65535."},
          {"no parameters", [&] { return cuLaunchKernel(store_, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"both kinds", [&] { return cuLaunchKernel(store_, 1, 1, 1, 1, 1, 1, 0, nullptr, params, packed); },
           CUDA_ERROR_INVALID_VALUE,
           "cuLaunchKernel: the error CUDA_ERROR_INVALID_VALUE will be returned if kernel parameters are specified "
           "with "
           "both kernelParams and extra."},
          {"too few bytes", [&] { return cuLaunchKernel(store_, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, packed); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"no configuration", [&] { return cuLaunchKernelEx(nullptr, store_, params, nullptr); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"cluster", [&] { return cuLaunchKernelEx(&config, store_, params, nullptr); }, CUDA_ERROR_NOT_SUPPORTED,
           "CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH is 0."},
      });
  Check("Launches", {
                        {"the next one works", [&] { return Launch(store_, 1, 1, 0, nullptr); }, CUDA_SUCCESS,
                         "No refused launch sticks."},
                        {"and ends well", [] { return cuCtxSynchronize(); }, CUDA_SUCCESS, "as above"},
                    });
}

}  // namespace wrong_uses
