#include "server/softgpu/api/node_params.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "common/base/number_of.h"
#include "server/softgpu/api/driver.h"
#include "server/softgpu/api/launch.h"
#include "server/softgpu/api/library.h"

namespace outboard::softgpu::api {
namespace {

// A CUfunction may be a CUkernel too.
CUresult FindKernelFunction(Driver& driver, const CUDA_KERNEL_NODE_PARAMS_v2& params,
                            std::shared_ptr<Function>* function) {
  const void* const handle = params.func ? static_cast<const void*>(params.func) : params.kern;
  if (!handle) return CUDA_ERROR_INVALID_VALUE;
  if (const auto kernel = driver.handles.Find<Kernel>(handle)) {
    const auto context = NamedContext(driver, params.ctx);
    return context ? kernel->FunctionIn(*context, function) : CUDA_ERROR_INVALID_CONTEXT;
  }
  *function = driver.handles.Find<Function>(handle);
  return *function ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

// The CUkernel whose function this is; null for a function of a module of the application's own.
CUkernel KernelOf(const Driver& driver, const Function& function) {
  if (!driver.handles.Find<Function>(function.handle())) return nullptr;  // its module is gone
  Library* library = function.module.library;
  const auto kernel = library ? library->FindKernel(function.info.name) : nullptr;
  return kernel ? static_cast<CUkernel>(kernel->handle()) : nullptr;
}

template <class Make>
CUresult ReadEvent(Driver& driver, CUevent handle, Content* content, Make make) {
  auto event = driver.handles.Find<Event>(handle);
  if (!event) return CUDA_ERROR_INVALID_VALUE;
  *content = std::make_shared<const Operation>(Operation{make(std::move(event))});
  return CUDA_SUCCESS;
}

// Only the first `used` bytes of the union are set, and nothing that is reserved.
bool RestIsZero(const CUgraphNodeParams& params, size_t used) {
  const auto* bytes = reinterpret_cast<const char*>(&params.reserved1);
  const auto zero = [](auto value) { return value == 0; };
  return std::all_of(bytes + used, bytes + sizeof params.reserved1, zero) &&
         std::ranges::all_of(params.reserved0, zero) && params.reserved2 == 0;
}

CUresult ReadMovedChild(Driver& driver, CUgraph handle, Content* content) {
  const auto graph = driver.handles.Find<Graph>(handle);
  if (!graph || graph->embedded) return CUDA_ERROR_INVALID_VALUE;
  if (graph->capturing) return CUDA_ERROR_ILLEGAL_STATE;
  *content = graph;
  return CUDA_SUCCESS;
}

}  // namespace

CUresult ReadKernel(Driver& driver, const CUDA_KERNEL_NODE_PARAMS_v1* params, Content* content) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  const auto& p = *params;
  const CUDA_KERNEL_NODE_PARAMS_v2 wide{p.func,         p.gridDimX,  p.gridDimY,  p.gridDimZ,
                                        p.blockDimX,    p.blockDimY, p.blockDimZ, p.sharedMemBytes,
                                        p.kernelParams, p.extra,     nullptr,     nullptr};
  return ReadKernel(driver, &wide, content);
}

CUresult ReadKernel(Driver& driver, const CUDA_KERNEL_NODE_PARAMS_v2* params, Content* content) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<Function> function;
  if (CUresult result = FindKernelFunction(driver, *params, &function); result != CUDA_SUCCESS) return result;
  Context& context = function->module.context;
  KernelOperation kernel;
  const LaunchShape shape{{params->gridDimX, params->gridDimY, params->gridDimZ},
                          {params->blockDimX, params->blockDimY, params->blockDimZ},
                          params->sharedMemBytes};
  if (CUresult result = MakeLaunch(context, std::move(function), shape, params->kernelParams, params->extra, &kernel);
      result != CUDA_SUCCESS)
    return result;
  *content = std::make_shared<const Operation>(Operation{std::move(kernel)});
  return CUDA_SUCCESS;
}

CUresult ReadCopy(Driver& driver, const CUDA_MEMCPY3D* params, CUcontext context, Content* content) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  OperationPtr operation;
  const CUresult result = MakeCopy(driver, *params, context, &operation);
  if (result == CUDA_SUCCESS) *content = std::move(operation);
  return result;
}

CUresult ReadFill(Driver& driver, const CUDA_MEMSET_NODE_PARAMS* params, CUcontext context, Content* content) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  OperationPtr operation;
  const CUresult result = MakeFill(driver, *params, context, &operation);
  if (result == CUDA_SUCCESS) *content = std::move(operation);
  return result;
}

CUresult ReadHostCall(Driver& driver, const CUDA_HOST_NODE_PARAMS* params, Content* content) {
  if (!params || !params->fn) return CUDA_ERROR_INVALID_VALUE;
  *content = std::make_shared<const Operation>(Operation{HostOperation{driver, *params}});
  return CUDA_SUCCESS;
}

CUresult ReadMemOps(Driver& driver, const CUDA_BATCH_MEM_OP_NODE_PARAMS* params, Content* content) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  OperationPtr operation;
  const CUresult result = MakeMemOps(driver, *params, &operation);
  if (result == CUDA_SUCCESS) *content = std::move(operation);
  return result;
}

CUresult ReadAlloc(Driver& driver, const CUDA_MEM_ALLOC_NODE_PARAMS* params, Content* content) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  OperationPtr operation;
  const CUresult result = MakeAlloc(driver, *params, &operation);
  if (result == CUDA_SUCCESS) *content = std::move(operation);
  return result;
}

CUresult ReadFree(Driver& driver, CUdeviceptr address, Content* content) {
  OperationPtr operation;
  const CUresult result = MakeFree(driver, address, &operation);
  if (result == CUDA_SUCCESS) *content = std::move(operation);
  return result;
}

CUresult ReadRecord(Driver& driver, CUevent event, Content* content) {
  return ReadEvent(driver, event, content, [](auto found) { return RecordOperation{std::move(found)}; });
}

CUresult ReadWait(Driver& driver, CUevent event, Content* content) {
  return ReadEvent(driver, event, content, [](auto found) { return WaitOperation{std::move(found)}; });
}

Content EmptyContent() { return std::make_shared<const Operation>(Operation{EmptyOperation{}}); }

CUresult ReadChild(Driver& driver, CUgraph handle, Content* content) {
  const auto graph = driver.handles.Find<Graph>(handle);
  if (!graph) return CUDA_ERROR_INVALID_VALUE;
  if (graph->capturing) return CUDA_ERROR_ILLEGAL_STATE;
  if (graph->HasMemoryNodes()) return CUDA_ERROR_NOT_SUPPORTED;
  auto copy = graph->Clone();
  copy->embedded = true;
  *content = std::move(copy);
  return CUDA_SUCCESS;
}

CUresult ReadNode(Driver& driver, const CUgraphNodeParams* params, Content* content) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  const auto& p = *params;
  const auto unless_set = [&](size_t used, auto read) -> CUresult {
    return RestIsZero(p, used) ? read() : CUDA_ERROR_INVALID_VALUE;
  };
  switch (NumberOf(p.type)) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return unless_set(sizeof p.kernel, [&] {
        const CUDA_KERNEL_NODE_PARAMS_v2 kernel{p.kernel.func,      p.kernel.gridDimX,       p.kernel.gridDimY,
                                                p.kernel.gridDimZ,  p.kernel.blockDimX,      p.kernel.blockDimY,
                                                p.kernel.blockDimZ, p.kernel.sharedMemBytes, p.kernel.kernelParams,
                                                p.kernel.extra,     p.kernel.kern,           p.kernel.ctx};
        return ReadKernel(driver, &kernel, content);
      });
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return unless_set(sizeof p.memcpy, [&]() -> CUresult {
        if (p.memcpy.flags != 0 || p.memcpy.reserved != 0) return CUDA_ERROR_INVALID_VALUE;
        return ReadCopy(driver, &p.memcpy.copyParams, p.memcpy.copyCtx, content);
      });
    case CU_GRAPH_NODE_TYPE_MEMSET:
      return unless_set(sizeof p.memset, [&] {
        const CUDA_MEMSET_NODE_PARAMS fill{p.memset.dst,         p.memset.pitch, p.memset.value,
                                           p.memset.elementSize, p.memset.width, p.memset.height};
        return ReadFill(driver, &fill, p.memset.ctx, content);
      });
    case CU_GRAPH_NODE_TYPE_HOST:
      return unless_set(sizeof p.host, [&] {
        const CUDA_HOST_NODE_PARAMS host{p.host.fn, p.host.userData};
        return ReadHostCall(driver, &host, content);
      });
    case CU_GRAPH_NODE_TYPE_GRAPH:
      return unless_set(sizeof p.graph, [&]() -> CUresult {
        switch (NumberOf(p.graph.ownership)) {
          case CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE:
            return ReadChild(driver, p.graph.graph, content);
          case CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE:
            return ReadMovedChild(driver, p.graph.graph, content);
          default:
            return CUDA_ERROR_INVALID_VALUE;
        }
      });
    case CU_GRAPH_NODE_TYPE_EMPTY:
      return unless_set(0, [&] {
        *content = EmptyContent();
        return CUDA_SUCCESS;
      });
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return unless_set(sizeof p.eventWait, [&] { return ReadWait(driver, p.eventWait.event, content); });
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return unless_set(sizeof p.eventRecord, [&] { return ReadRecord(driver, p.eventRecord.event, content); });
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
      return unless_set(sizeof p.memOp, [&] {
        const CUDA_BATCH_MEM_OP_NODE_PARAMS mem_ops{p.memOp.ctx, p.memOp.count, p.memOp.paramArray, p.memOp.flags};
        return ReadMemOps(driver, &mem_ops, content);
      });
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
      return unless_set(sizeof p.alloc, [&] {
        const CUDA_MEM_ALLOC_NODE_PARAMS alloc{p.alloc.poolProps, p.alloc.accessDescs, p.alloc.accessDescCount,
                                               p.alloc.bytesize, 0};
        return ReadAlloc(driver, &alloc, content);
      });
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      return unless_set(sizeof p.free, [&] { return ReadFree(driver, p.free.dptr, content); });
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
      return CUDA_ERROR_NOT_SUPPORTED;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

void WriteKernel(Node& node, const KernelOperation& kernel, CUDA_KERNEL_NODE_PARAMS_v1* params) {
  CUDA_KERNEL_NODE_PARAMS_v2 wide;
  WriteKernel(node, kernel, &wide);
  *params = {wide.func,      wide.gridDimX,  wide.gridDimY,       wide.gridDimZ,     wide.blockDimX,
             wide.blockDimY, wide.blockDimZ, wide.sharedMemBytes, wide.kernelParams, wide.extra};
}

void WriteKernel(Node& node, const KernelOperation& kernel, CUDA_KERNEL_NODE_PARAMS_v2* params) {
  const Launch& launch = kernel.launch;
  auto* const bytes = const_cast<std::byte*>(launch.params.data());  // documented as not to be written to
  node.arguments.clear();
  if (kernel.packed) {
    node.packed_bytes = launch.params.size();
    node.arguments = {CU_LAUNCH_PARAM_BUFFER_POINTER, bytes, CU_LAUNCH_PARAM_BUFFER_SIZE, &node.packed_bytes,
                      CU_LAUNCH_PARAM_END};
  } else {
    for (const KernelParam& param : kernel.function->info.params) node.arguments.push_back(bytes + param.offset);
  }
  void** const arguments = node.arguments.data();
  *params = {static_cast<CUfunction>(kernel.function->handle()),
             launch.grid.x,
             launch.grid.y,
             launch.grid.z,
             launch.block.x,
             launch.block.y,
             launch.block.z,
             launch.dynamic_shared_bytes,
             kernel.packed ? nullptr : arguments,
             kernel.packed ? arguments : nullptr,
             KernelOf(kernel.context->driver, *kernel.function),
             kernel.context->cu()};
}

CUDA_BATCH_MEM_OP_NODE_PARAMS Describe(const MemOpsOperation& mem_ops) {
  // Documented as not to be written to.
  auto* const operations = const_cast<CUstreamBatchMemOpParams*>(mem_ops.operations.data());
  return {mem_ops.context->cu(), static_cast<unsigned>(mem_ops.operations.size()), operations, 0};
}

}  // namespace outboard::softgpu::api
