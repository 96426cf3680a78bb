#include "server/softgpu/api/launch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/libcuda/launch_buffer.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/find_function.h"
#include "server/softgpu/api/green_context.h"
#include "server/softgpu/api/launch_attributes.h"
#include "server/softgpu/api/occupancy.h"
#include "server/softgpu/api/stream_call.h"

// Execution control: launches.

using namespace outboard::softgpu::api;
using outboard::softgpu::KernelInfo;
using outboard::softgpu::KernelParam;

namespace {

CUresult CopyPackedParams(void** extra, const KernelInfo& info, std::vector<std::byte>* params) {
  outboard::LaunchBuffer given;
  if (const CUresult result = outboard::ReadLaunchBuffer(extra, &given); result != CUDA_SUCCESS) return result;
  if (info.params.empty()) return CUDA_SUCCESS;
  const KernelParam& last = info.params.back();
  if (!given.data || !given.bytes || *given.bytes < uint64_t{last.offset} + last.size) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(params->data(), given.data, std::min(*given.bytes, params->size()));
  return CUDA_SUCCESS;
}

// Fills `params`, which has the kernel's param_bytes.
CUresult CopyParams(void** kernel_params, void** extra, const KernelInfo& info, std::vector<std::byte>* params) {
  if (kernel_params && extra) return CUDA_ERROR_INVALID_VALUE;
  if (extra) return CopyPackedParams(extra, info, params);
  if (info.params.empty()) return CUDA_SUCCESS;
  if (!kernel_params) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < info.params.size(); ++i) {
    if (!kernel_params[i]) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(params->data() + info.params[i].offset, kernel_params[i], info.params[i].size);
  }
  return CUDA_SUCCESS;
}

CUresult LaunchKernel(CUfunction f, const LaunchShape& shape, CUstream hStream, void** kernel_params, void** extra,
                      DefaultStream null_means) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    std::shared_ptr<Function> function;
    if (CUresult result = FindFunction(context, f, &function); result != CUDA_SUCCESS) return result;
    std::shared_ptr<outboard::softgpu::api::Stream> stream;
    if (CUresult result = FindStream(context, hStream, null_means, &stream); result != CUDA_SUCCESS) return result;
    if (&stream->context != &context) return CUDA_ERROR_INVALID_HANDLE;
    KernelOperation kernel;
    if (CUresult result =
            MakeLaunch(context, stream->green.get(), std::move(function), shape, kernel_params, extra, &kernel);
        result != CUDA_SUCCESS)
      return result;
    const auto launch = std::make_shared<const Operation>(Operation{std::move(kernel)});
    if (const auto captured = stream->CaptureInstead([&] { return launch; })) return *captured;
    stream->Submit([launch, textures = context.driver.textures.Table()] { Run(*launch, textures); });
    return CUDA_SUCCESS;
  });
}

CUresult LaunchWithConfig(const CUlaunchConfig* config, CUfunction f, void** kernel_params, void** extra,
                          DefaultStream null_means) {
  LaunchAttributes attributes;
  CUresult result = config ? ReadAttributes(*config, &attributes) : CUDA_ERROR_INVALID_VALUE;
  if (result == CUDA_SUCCESS && attributes.asks_for_clusters()) result = CUDA_ERROR_NOT_SUPPORTED;
  if (result != CUDA_SUCCESS) {
    return ContextCall([&](Driver&, Context&) { return result; });
  }
  return LaunchKernel(f,
                      {{config->gridDimX, config->gridDimY, config->gridDimZ},
                       {config->blockDimX, config->blockDimY, config->blockDimZ},
                       config->sharedMemBytes,
                       attributes.cooperative},
                      config->hStream, kernel_params, extra, null_means);
}

CUresult LaunchHostFunction(CUstream hStream, CUhostFn fn, void* user_data, DefaultStream null_means) {
  if (!fn) return ContextCall([](Driver&, Context&) { return CUDA_ERROR_INVALID_VALUE; });
  return StreamCall(hStream, null_means, [&](Context& context, outboard::softgpu::api::Stream& stream) -> CUresult {
    const auto operation = [&] {
      return std::make_shared<const Operation>(Operation{HostOperation{context.driver, {fn, user_data}}});
    };
    if (const auto captured = stream.CaptureInstead(operation)) return *captured;
    stream.Submit([&context, fn, user_data] { context.driver.host_thread.Run([=] { fn(user_data); }); });
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult outboard::softgpu::api::CheckLaunch(const LaunchShape& shape, const Function& function, uint64_t sms) {
  const LaunchLimits& limits = function.module.context.device.limits;
  const KernelInfo& info = function.info;
  const auto& [grid, block, dynamic_shared_bytes, cooperative] = shape;
  if (grid.Count() == 0 || block.Count() == 0) return CUDA_ERROR_INVALID_VALUE;
  if (grid.x > limits.grid[0] || grid.y > limits.grid[1] || grid.z > limits.grid[2]) return CUDA_ERROR_INVALID_VALUE;
  if (block.x > limits.block[0] || block.y > limits.block[1] || block.z > limits.block[2])
    return CUDA_ERROR_INVALID_VALUE;
  if (block.Count() > MaxThreads(info, limits)) return CUDA_ERROR_INVALID_VALUE;
  const auto& required = info.required_threads;
  if (required[0] != 0 &&
      (block.x != required[0] || block.y != std::max(required[1], 1u) || block.z != std::max(required[2], 1u))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (dynamic_shared_bytes > MaxDynamicShared(info, *function.settings, limits)) return CUDA_ERROR_INVALID_VALUE;
  if (uint64_t{info.static_shared_bytes} + dynamic_shared_bytes > limits.shared_per_block_optin)
    return CUDA_ERROR_INVALID_VALUE;
  if (Registers(info, limits) * block.Count() > limits.registers) return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  if (cooperative) {
    const uint64_t per_sm = BlocksPerSm(function, static_cast<unsigned>(block.Count()), dynamic_shared_bytes);
    if (grid.Count() > per_sm * sms) return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
  }
  return CUDA_SUCCESS;
}

CUresult outboard::softgpu::api::MakeLaunch(Context& context, const GreenContext* green,
                                            std::shared_ptr<Function> function, const LaunchShape& shape,
                                            void** kernel_params, void** extra, KernelOperation* operation) {
  const uint32_t sm_count = context.device.memory->facts().sm_count;
  const uint64_t sms = green ? green->sm_ids->size() : sm_count;
  if (CUresult result = CheckLaunch(shape, *function, sms); result != CUDA_SUCCESS) return result;
  if (CUresult result = function->Prepare(&operation->kernel); result != CUDA_SUCCESS) return result;
  Launch& launch = operation->launch;
  launch.grid = shape.grid;
  launch.block = shape.block;
  launch.dynamic_shared_bytes = shape.dynamic_shared_bytes;
  launch.cooperative = shape.cooperative;
  launch.params.resize(function->info.param_bytes);
  if (CUresult result = CopyParams(kernel_params, extra, function->info, &launch.params); result != CUDA_SUCCESS)
    return result;
  launch.sm_count = sm_count;
  if (green) launch.sms = green->sm_ids;
  launch.residents =
      sms * BlocksPerSm(*function, static_cast<unsigned>(shape.block.Count()), shape.dynamic_shared_bytes);
  launch.chaos = context.driver.NextChaos();
  if (function->module.uses_heap) {
    if (CUresult result = context.PrepareHeap(); result != CUDA_SUCCESS) return result;
  }
  operation->context = context.shared_from_this();
  operation->code = function->module.linked;
  operation->function = std::move(function);
  operation->packed = extra != nullptr;
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ,
                        unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ,
                        unsigned int sharedMemBytes, CUstream hStream, void** kernelParams, void** extra) {
  return LaunchKernel(f, {{gridDimX, gridDimY, gridDimZ}, {blockDimX, blockDimY, blockDimZ}, sharedMemBytes}, hStream,
                      kernelParams, extra, DefaultStream::kLegacy);
}

CUresult cuLaunchKernel_ptsz(CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ,
                             unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ,
                             unsigned int sharedMemBytes, CUstream hStream, void** kernelParams, void** extra) {
  return LaunchKernel(f, {{gridDimX, gridDimY, gridDimZ}, {blockDimX, blockDimY, blockDimZ}, sharedMemBytes}, hStream,
                      kernelParams, extra, DefaultStream::kPerThread);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction f, void** kernelParams, void** extra) {
  return LaunchWithConfig(config, f, kernelParams, extra, DefaultStream::kLegacy);
}

CUresult cuLaunchKernelEx_ptsz(const CUlaunchConfig* config, CUfunction f, void** kernelParams, void** extra) {
  return LaunchWithConfig(config, f, kernelParams, extra, DefaultStream::kPerThread);
}

CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ,
                                   unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ,
                                   unsigned int sharedMemBytes, CUstream hStream, void** kernelParams) {
  return LaunchKernel(f, {{gridDimX, gridDimY, gridDimZ}, {blockDimX, blockDimY, blockDimZ}, sharedMemBytes, true},
                      hStream, kernelParams, nullptr, DefaultStream::kLegacy);
}

CUresult cuLaunchCooperativeKernel_ptsz(CUfunction f, unsigned int gridDimX, unsigned int gridDimY,
                                        unsigned int gridDimZ, unsigned int blockDimX, unsigned int blockDimY,
                                        unsigned int blockDimZ, unsigned int sharedMemBytes, CUstream hStream,
                                        void** kernelParams) {
  return LaunchKernel(f, {{gridDimX, gridDimY, gridDimZ}, {blockDimX, blockDimY, blockDimZ}, sharedMemBytes, true},
                      hStream, kernelParams, nullptr, DefaultStream::kPerThread);
}

CUresult cuLaunchHostFunc(CUstream hStream, CUhostFn fn, void* userData) {
  return LaunchHostFunction(hStream, fn, userData, DefaultStream::kLegacy);
}

CUresult cuLaunchHostFunc_ptsz(CUstream hStream, CUhostFn fn, void* userData) {
  return LaunchHostFunction(hStream, fn, userData, DefaultStream::kPerThread);
}
