#include "server/softgpu/api/cuda_api.h"

#include <memory>
#include <utility>

#include "common/base/number_of.h"
#include "common/graphs/object_call.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/launch.h"
#include "server/softgpu/api/launch_attributes.h"

// Graph management: attributes of kernel nodes. They are those of launches; whether the launch is cooperative is all
// that is kept.

using namespace outboard::softgpu::api;
using outboard::NumberOf;
using outboard::graphs::Node;

namespace {

// Runs `body` with a kernel's node: (Node&, const KernelOperation&).
template <class Body>
CUresult KernelNodeCall(CUgraphNode handle, Body body) {
  return HealthyCall([&](Driver& driver) {
    return outboard::graphs::ObjectCall<Node>(driver.graphs, handle, [&](Node& node) -> CUresult {
      const auto* operation = static_cast<const Operation*>(node.operation());
      const auto* kernel = operation ? std::get_if<KernelOperation>(&operation->what) : nullptr;
      return kernel ? body(node, *kernel) : CUDA_ERROR_INVALID_VALUE;
    });
  });
}

CUresult SetCooperative(Node& node, const KernelOperation& kernel, bool cooperative) {
  KernelOperation changed = kernel;
  changed.launch.cooperative = cooperative;
  const outboard::softgpu::Launch& launch = changed.launch;
  const LaunchShape shape{launch.grid, launch.block, launch.dynamic_shared_bytes, cooperative};
  const uint64_t sms = launch.sms ? launch.sms->size() : launch.sm_count;
  if (CUresult result = CheckLaunch(shape, *kernel.function, sms); result != CUDA_SUCCESS) return result;
  node.content = std::make_shared<const Operation>(std::move(changed));
  return CUDA_SUCCESS;
}

}  // namespace

CUresult cuGraphKernelNodeSetAttribute(CUgraphNode hNode, CUkernelNodeAttrID attr, const CUkernelNodeAttrValue* value) {
  return KernelNodeCall(hNode, [&](Node& node, const KernelOperation& kernel) -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    CUlaunchAttribute given{};
    given.id = attr;
    given.value = *value;
    CUlaunchConfig config{};
    config.attrs = &given;
    config.numAttrs = 1;
    LaunchAttributes asked;
    if (CUresult result = ReadAttributes(config, &asked); result != CUDA_SUCCESS) return result;
    if (asked.asks_for_clusters()) return CUDA_ERROR_NOT_SUPPORTED;
    const bool is_kept = NumberOf(attr) == CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
    return is_kept ? SetCooperative(node, kernel, asked.cooperative) : CUDA_SUCCESS;
  });
}

CUresult cuGraphKernelNodeGetAttribute(CUgraphNode hNode, CUkernelNodeAttrID attr, CUkernelNodeAttrValue* value_out) {
  return KernelNodeCall(hNode, [&](Node&, const KernelOperation& kernel) -> CUresult {
    if (!value_out) return CUDA_ERROR_INVALID_VALUE;
    if (NumberOf(attr) != CU_LAUNCH_ATTRIBUTE_COOPERATIVE) return CUDA_ERROR_NOT_SUPPORTED;
    value_out->cooperative = kernel.launch.cooperative ? 1 : 0;
    return CUDA_SUCCESS;
  });
}
