#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>

#include "common/graphs/memory.h"

namespace outboard::shim {

class Process;

// Memory of a graph's allocation node. The worker gives it when the node is made, since a program wants the address at
// once, and keeps it until this ends. What is allocated and freed by launches and calls in between is decided here.
class GraphMemory final : public graphs::Memory {
 public:
  // With the errors of cuGraphAddMemAllocNode, and CUDA_ERROR_NOT_SUPPORTED for memory of another device than the
  // current context's. Waits for the worker.
  static CUresult Create(Process& process, const CUDA_MEM_ALLOC_NODE_PARAMS& params,
                         std::shared_ptr<GraphMemory>* memory);
  ~GraphMemory() override;

  // What the worker knows it by; no other memory of the process has it.
  uint64_t number() const { return number_; }

  // cuMemFree, and cuMemFreeAsync in a stream that does not capture. The caller does not hold Graphs::mutex.
  CUresult FreeByCall();
  CUresult FreeByCall(CUstream stream);

 private:
  GraphMemory(Process& process, uint64_t number, const CUDA_MEM_ALLOC_NODE_PARAMS& params);

  Process& process_;
  const uint64_t number_;
};

}  // namespace outboard::shim
