#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/graphs/operation.h"
#include "common/libcuda/copy_calls.h"
#include "server/softgpu/api/event.h"
#include "server/softgpu/api/graph_memory.h"
#include "server/softgpu/api/library.h"
#include "server/softgpu/api/memory_operations.h"
#include "server/softgpu/exec/engine.h"

namespace outboard::softgpu::api {

// What the nodes of a graph do, with all that they need to do it again and again: everything that a call was given is
// copied, and memory is looked up when it is used.

struct KernelOperation {
  std::shared_ptr<Context> context;
  std::shared_ptr<Function> function;  // whose module may be gone when the kernel runs
  std::shared_ptr<softgpu::Module> code;
  const softgpu::Kernel* kernel = nullptr;  // of code
  softgpu::Launch launch;
  bool packed = false;  // the arguments came as one buffer (cuLaunchKernel's `extra`)
};

// A copy between host memory, device memory and arrays.
struct CopyOperation {
  std::shared_ptr<Context> context;
  CUDA_MEMCPY3D params;
  BoxCopy copy;          // what params say
  const void* to_owner;  // whose memory it is, a context's or a device's; null for the host's. Never dereferenced
  const void* from_owner;
};

struct FillOperation {
  std::shared_ptr<Context> context;
  CUDA_MEMSET_NODE_PARAMS_v2 params;
  const void* owner;  // of the memory, as in CopyOperation
};

struct HostOperation {
  Driver& driver;
  CUDA_HOST_NODE_PARAMS_v2 params;
};

struct RecordOperation {
  std::shared_ptr<Event> event;
};

struct WaitOperation {
  std::shared_ptr<Event> event;
};

// A batch of operations on memory (cuStreamBatchMemOp).
struct MemOpsOperation {
  std::shared_ptr<Context> context;
  std::vector<CUstreamBatchMemOpParams> operations;
  MemOpVersion version;
};

struct AllocOperation {
  std::shared_ptr<GraphMemory> memory;
};

struct FreeOperation {
  CUdeviceptr address;
  std::weak_ptr<GraphMemory> memory;  // there for as long as it may be allocated
};

struct EmptyOperation {};

struct Operation final : graphs::Operation {
  template <class Kind>
  explicit Operation(Kind kind) : what(std::move(kind)) {}

  CUgraphNodeType type() const override;
  CUgraphExecUpdateResult MayBecome(const graphs::Operation& after) const override;
  void Describe(graphs::Node& node, CUgraphNodeParams* params) const override;
  CUresult MayRunInBody(CUcontext context) const override;
  std::string label() const override;
  std::shared_ptr<graphs::Memory> allocates() const override;
  std::shared_ptr<graphs::Memory> frees() const override;

  std::variant<KernelOperation, CopyOperation, FillOperation, HostOperation, RecordOperation, WaitOperation,
               EmptyOperation, MemOpsOperation, AllocOperation, FreeOperation>
      what;
};

using OperationPtr = std::shared_ptr<const Operation>;

// Makes an operation of a call's description, with the call's errors. Each names its context, null for the current one.
CUresult MakeCopy(Driver& driver, const CUDA_MEMCPY3D& params, CUcontext context, OperationPtr* operation);
CUresult MakeFill(Driver& driver, const CUDA_MEMSET_NODE_PARAMS_v2& params, OperationPtr* operation);
CUresult MakeMemOps(Driver& driver, const CUDA_BATCH_MEM_OP_NODE_PARAMS_v2& params, OperationPtr* operation);

// Of a kernel, a function of the application, an event.
CUresult MakeKernel(Driver& driver, const CUDA_KERNEL_NODE_PARAMS_v3& params, OperationPtr* operation);
CUresult MakeHostCall(Driver& driver, const CUDA_HOST_NODE_PARAMS_v2& params, OperationPtr* operation);
CUresult MakeRecord(Driver& driver, CUevent event, OperationPtr* operation);
CUresult MakeWait(Driver& driver, CUevent event, OperationPtr* operation);
// Of memory that an allocation node stands for.
CUresult MakeAlloc(Driver& driver, const CUDA_MEM_ALLOC_NODE_PARAMS& params, OperationPtr* operation);
CUresult MakeFree(Driver& driver, CUdeviceptr address, OperationPtr* operation);

// The context that a description names, null meaning the current one; of a green one its primary context, as a
// node that was not captured runs on all multiprocessors. Null when there is none or it is gone.
std::shared_ptr<Context> NamedContext(Driver& driver, CUcontext handle);

// The same of a copy that is given to a stream of `context`. It is not empty.
CUresult MakeCopy(Context& context, const BoxCopy& copy, OperationPtr* operation);

// Does the work of an operation other than on an event in the calling thread, unless a kernel has failed or the context
// is gone. Memory that it needs and that is no longer there is a fault of the device (CUDA_ERROR_ILLEGAL_ADDRESS).
// `textures`: what a kernel may use, as of when it was launched (Textures::Table).
void Run(const Operation& operation, const std::shared_ptr<const TextureTable>& textures);

}  // namespace outboard::softgpu::api
