#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <memory>

#include "common/graphs/memory.h"

namespace outboard::softgpu::api {

class Device;
class Driver;

// Memory of a graph's allocation node: taken from the device when the node is made.
class GraphMemory final : public graphs::Memory {
 public:
  // With the errors of cuGraphAddMemAllocNode.
  static CUresult Create(Driver& driver, const CUDA_MEM_ALLOC_NODE_PARAMS& params,
                         std::shared_ptr<GraphMemory>* memory);
  ~GraphMemory() override;

 private:
  GraphMemory(Driver& driver, Device& device, const CUDA_MEM_ALLOC_NODE_PARAMS& params);

  Driver& driver_;
  Device& device_;
};

}  // namespace outboard::softgpu::api
