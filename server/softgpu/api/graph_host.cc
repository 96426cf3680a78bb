#include "server/softgpu/api/graph_host.h"

#include <utility>

#include "common/base/number_of.h"
#include "server/softgpu/api/driver.h"
#include "server/softgpu/api/graph_exec.h"
#include "server/softgpu/api/operation.h"
#include "server/softgpu/api/thread_state.h"

namespace outboard::softgpu::api {
namespace {

CUresult MakeOperation(Driver& driver, CUgraphNodeParams& params, OperationPtr* operation) {
  switch (NumberOf(params.type)) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return MakeKernel(driver, params.kernel, operation);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return MakeCopy(driver, params.memcpy.copyParams, params.memcpy.copyCtx, operation);
    case CU_GRAPH_NODE_TYPE_MEMSET:
      return MakeFill(driver, params.memset, operation);
    case CU_GRAPH_NODE_TYPE_HOST:
      return MakeHostCall(driver, params.host, operation);
    case CU_GRAPH_NODE_TYPE_EMPTY:
      *operation = std::make_shared<const Operation>(EmptyOperation{});
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return MakeWait(driver, params.eventWait.event, operation);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return MakeRecord(driver, params.eventRecord.event, operation);
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
      return MakeMemOps(driver, params.memOp, operation);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC: {
      auto& alloc = params.alloc;
      const CUDA_MEM_ALLOC_NODE_PARAMS given{alloc.poolProps, alloc.accessDescs, alloc.accessDescCount, alloc.bytesize,
                                             0};
      const CUresult result = MakeAlloc(driver, given, operation);
      if (result == CUDA_SUCCESS) alloc.dptr = std::get<AllocOperation>((*operation)->what).memory->params().dptr;
      return result;
    }
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      return MakeFree(driver, params.free.dptr, operation);
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
      return CUDA_ERROR_NOT_SUPPORTED;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace

CUresult GraphHost::Make(CUgraphNodeParams* params, graphs::OperationPtr* operation) {
  OperationPtr made;
  const CUresult result = MakeOperation(driver_, *params, &made);
  if (result == CUDA_SUCCESS) *operation = std::move(made);
  return result;
}

CUresult GraphHost::MakeCondition(graphs::Graph&, const graphs::ConditionParams& params,
                                  std::shared_ptr<graphs::Condition>* condition) {
  const auto context = NamedContext(driver_, params.context);
  if (!context) return CUDA_ERROR_INVALID_CONTEXT;
  graphs::ConditionParams in_context = params;
  in_context.context = context->cu();
  *condition = std::make_shared<GraphCondition>(driver_.conditions, driver_.NextId(), in_context);
  return CUDA_SUCCESS;
}

CUcontext GraphHost::HomeOf(CUcontext context) {
  CurrentContext named;
  return FindContext(driver_, context, &named) == CUDA_SUCCESS ? named.context->cu() : context;
}

CUresult GraphHost::Instantiate(graphs::Graph& graph, uint64_t flags, graphs::Node** on_cycle,
                                std::shared_ptr<graphs::Exec>* exec) {
  const auto made = std::make_shared<GraphExec>(graph, flags);
  if (!made->Prepare(graph, on_cycle)) return CUDA_ERROR_INVALID_VALUE;
  *exec = made;
  return CUDA_SUCCESS;
}

void GraphHost::Post(std::function<void()> function) { driver_.host_thread.Post(std::move(function)); }

CUstreamCaptureMode& GraphHost::capture_mode() { return ThisThread().capture_mode; }

}  // namespace outboard::softgpu::api
