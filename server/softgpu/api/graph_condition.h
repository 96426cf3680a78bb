#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "common/graphs/conditional.h"

namespace outboard::softgpu::api {

class Conditions;

// A conditional handle, with the value that kernels give it. Thread-safe.
class GraphCondition final : public graphs::Condition {
 public:
  GraphCondition(Conditions& conditions, CUgraphConditionalHandle handle, const graphs::ConditionParams& params);
  ~GraphCondition() override;

  unsigned value() const { return value_.load(std::memory_order_acquire); }
  void set_value(unsigned value) { value_.store(value, std::memory_order_release); }
  // Where a launch of the graph begins; what CUDA leaves open is 0.
  void Reset() { set_value((params.flags & CU_GRAPH_COND_ASSIGN_DEFAULT) != 0 ? params.default_value : 0); }

 private:
  Conditions& conditions_;
  std::atomic<unsigned> value_{0};
};

// The conditional handles that there are. Thread-safe.
class Conditions {
 public:
  // False when the context has no such condition.
  bool Set(uint64_t handle, CUcontext context, unsigned value);

 private:
  friend class GraphCondition;

  std::mutex mutex_;
  std::unordered_map<uint64_t, GraphCondition*> by_handle_;  // guarded by mutex_
};

}  // namespace outboard::softgpu::api
