#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "client/shim/copies.h"
#include "client/shim/modules_function.h"
#include "common/graphs/operation.h"
#include "common/wire/private.h"

namespace outboard::shim {

class GraphMemory;
class Process;

// What the nodes of a graph do, as the client keeps it: what a program asks back, what a launch needs of host memory
// and host functions, and what the worker builds the driver's graph of (graph_encoder.h).

struct KernelOperation {
  std::shared_ptr<Function> function;  // of a function or a kernel
  CUcontext context;                   // that it runs in
  OutboardLaunchShape shape;
  std::vector<CUlaunchAttribute> attributes;  // flat (modules_launch.h)
  std::vector<std::byte> params;              // packed
  bool is_buffer = false;                     // they came as one (cuLaunchKernel's `extra`)
};

// A copy of which at least one end is the device's.
struct CopyOperation {
  CUcontext context;
  CUDA_MEMCPY3D params;
  PlacedCopy placed;
  const void* to_owner;  // whose memory or array it is; null for the host's. Compared, never dereferenced
  const void* from_owner;
};

struct FillOperation {
  CUDA_MEMSET_NODE_PARAMS_v2 params;
  const void* owner;  // as above
};

struct HostOperation {
  CUDA_HOST_NODE_PARAMS_v2 params;
};

struct RecordOperation {
  CUevent event;
};

struct WaitOperation {
  CUevent event;
};

struct MemoryOperations {
  CUcontext context;
  std::vector<CUstreamBatchMemOpParams> operations;
};

struct AllocOperation {
  std::shared_ptr<GraphMemory> memory;
};

struct FreeOperation {
  CUdeviceptr address;
  uint64_t number;                    // of the memory
  std::weak_ptr<GraphMemory> memory;  // there for as long as it may be allocated
};

struct EmptyOperation {};

struct GraphOperation final : graphs::Operation {
  using What = std::variant<KernelOperation, CopyOperation, FillOperation, HostOperation, RecordOperation,
                            WaitOperation, MemoryOperations, AllocOperation, FreeOperation, EmptyOperation>;
  explicit GraphOperation(What what) : what(std::move(what)) {}

  CUgraphNodeType type() const override;
  CUgraphExecUpdateResult MayBecome(const graphs::Operation& after) const override;
  void Describe(graphs::Node& node, CUgraphNodeParams* params) const override;
  CUresult MayRunInBody(CUcontext context) const override;
  std::string label() const override;
  std::shared_ptr<graphs::Memory> allocates() const override;
  std::shared_ptr<graphs::Memory> frees() const override;

  const What what;
};

// The operation of a node that has no graphs.
const GraphOperation& OperationOf(const graphs::Node& node);

// Makes an operation of a description, with the errors of the calls that take it, and writes the address of memory into
// that. CUDA_ERROR_NOT_SUPPORTED for semaphores.
CUresult MakeOperation(Process& process, CUgraphNodeParams* params, graphs::OperationPtr* operation);

// The same of a launch in a stream of the current context.
CUresult MakeKernel(std::shared_ptr<Function> function, CUcontext context, const OutboardLaunchShape& shape,
                    std::vector<CUlaunchAttribute> attributes, void** kernel_params, void** extra,
                    graphs::OperationPtr* operation);

}  // namespace outboard::shim
