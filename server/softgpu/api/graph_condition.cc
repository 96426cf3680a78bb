#include "server/softgpu/api/graph_condition.h"

namespace outboard::softgpu::api {

GraphCondition::GraphCondition(Conditions& conditions, CUgraphConditionalHandle handle,
                               const graphs::ConditionParams& params)
    : Condition(handle, params), conditions_(conditions) {
  std::lock_guard lock(conditions_.mutex_);
  conditions_.by_handle_.emplace(handle, this);
}

GraphCondition::~GraphCondition() {
  std::lock_guard lock(conditions_.mutex_);
  conditions_.by_handle_.erase(handle);
}

bool Conditions::Set(uint64_t handle, CUcontext context, unsigned value) {
  std::lock_guard lock(mutex_);
  const auto found = by_handle_.find(handle);
  if (found == by_handle_.end() || found->second->params.context != context) return false;
  found->second->set_value(value);
  return true;
}

}  // namespace outboard::softgpu::api
