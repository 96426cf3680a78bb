#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <functional>
#include <memory>

#include "common/graphs/graphs.h"

namespace outboard::softgpu::api {

class Driver;

// What graphs are made of here: operation.h and graph_exec.h.
class GraphHost final : public graphs::Host {
 public:
  explicit GraphHost(Driver& driver) : driver_(driver) {}

  CUresult Make(CUgraphNodeParams* params, graphs::OperationPtr* operation) override;
  CUresult MakeCondition(graphs::Graph& graph, const graphs::ConditionParams& params,
                         std::shared_ptr<graphs::Condition>* condition) override;
  CUcontext HomeOf(CUcontext context) override;
  CUresult Instantiate(graphs::Graph& graph, uint64_t flags, graphs::Node** on_cycle,
                       std::shared_ptr<graphs::Exec>* exec) override;
  void Post(std::function<void()> function) override;
  CUstreamCaptureMode& capture_mode() override;

 private:
  Driver& driver_;
};

}  // namespace outboard::softgpu::api
