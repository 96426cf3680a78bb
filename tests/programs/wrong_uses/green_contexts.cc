#include "checks.h"

// Wrong uses of green contexts, and the resources that they are made of.

namespace wrong_uses {
namespace {

// A split of device 0 that the smallest device allows.
CUresult Split(CUdevResource* groups, unsigned* count, const CUdevResource* from, CUdevResource* rest = nullptr) {
  return cuDevSmResourceSplitByCount(groups, count, from, rest, CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING, 1);
}

CUgreenCtx MakeGreen(CUdevResource resource) {
  CUdevResourceDesc desc = nullptr;
  CUgreenCtx green = nullptr;
  Do(cuDevResourceGenerateDesc(&desc, &resource, 1));
  Do(cuGreenCtxCreate(&green, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM));
  return green;
}

}  // namespace

void Checks::Resources() {
  constexpr char kType[] =
      "CUDA_ERROR_INVALID_RESOURCE_TYPE: one or more resources passed in are not valid resource types for the "
      "operation.";
  constexpr char kMinCount[] =
      "cuDevSmResourceSplitByCount: value of minCount must be between 0 and the SM count specified in input.";
  constexpr char kResult[] = "cuDevSmResourceSplitByCount: nbGroups must point to the amount of elements in result.";
  CUdevResource whole, none = {}, groups[2], others[1], out;
  CUdevResourceDesc desc = nullptr;
  unsigned count = 2, one = 1, zero = 0;
  Do(cuDeviceGetDevResource(0, &whole, CU_DEV_RESOURCE_TYPE_SM));
  Do(Split(groups, &count, &whole));
  Do(Split(others, &one, &whole));
  CUdevResource mixed[] = {groups[1], others[0]}, twice[] = {groups[0], groups[0]};
  Check("Resources",
        {
            {"device: none such", [&] { return cuDeviceGetDevResource(count_, &out, CU_DEV_RESOURCE_TYPE_SM); },
             CUDA_ERROR_INVALID_DEVICE, kDevice},
            {"device: null", [&] { return cuDeviceGetDevResource(0, nullptr, CU_DEV_RESOURCE_TYPE_SM); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"device: type", [&] { return cuDeviceGetDevResource(0, &out, CU_DEV_RESOURCE_TYPE_INVALID); },
             CUDA_ERROR_INVALID_RESOURCE_TYPE, kType},
            {"context: none", [&] { return cuCtxGetDevResource(nullptr, &out, CU_DEV_RESOURCE_TYPE_SM); },
             CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"context: type", [&] { return cuCtxGetDevResource(context_, &out, CU_DEV_RESOURCE_TYPE_INVALID); },
             CUDA_ERROR_INVALID_RESOURCE_TYPE, kType},
            {"split: no number", [&] { return Split(nullptr, nullptr, &whole); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"split: no input", [&] { return Split(groups, &count, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"split: no room", [&] { return Split(groups, &zero, &whole); }, CUDA_ERROR_INVALID_VALUE, kResult},
            {"split: type", [&] { return Split(groups, &count, &none); }, CUDA_ERROR_INVALID_RESOURCE_TYPE,
             "cuDevSmResourceSplitByCount: input must be a valid CU_DEV_RESOURCE_TYPE_SM resource."},
            {"split: more than there are",
             [&] { return cuDevSmResourceSplitByCount(nullptr, &count, &whole, nullptr, 0, whole.sm.smCount + 1); },
             CUDA_ERROR_INVALID_VALUE, kMinCount},
            {"split: flags", [&] { return cuDevSmResourceSplitByCount(groups, &count, &whole, nullptr, 1u << 9, 1); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"split: a group", [&] { return Split(nullptr, &count, &groups[0]); },
             CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION,
             "cuDevSmResourceSplitByCount: the output results cannot be split again without first creating a "
             "descriptor and a green context with that descriptor."},
            {"describe: null", [&] { return cuDevResourceGenerateDesc(nullptr, groups, 1); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"describe: nothing", [&] { return cuDevResourceGenerateDesc(&desc, groups, 0); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"describe: type", [&] { return cuDevResourceGenerateDesc(&desc, &none, 1); },
             CUDA_ERROR_INVALID_RESOURCE_TYPE, kType},
            {"describe: of two splits", [&] { return cuDevResourceGenerateDesc(&desc, mixed, 2); },
             CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION,
             "cuDevResourceGenerateDesc: resources of type CU_DEV_RESOURCE_TYPE_SM must be outputs from the same "
             "split API instance."},
            {"describe: one twice", [&] { return cuDevResourceGenerateDesc(&desc, twice, 2); },
             CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION,
             "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION: one or more resources passed in are insufficient or "
             "non-applicable for the operation."},
        });
}

void Checks::GreenContexts() {
  constexpr char kDestroyed[] =
      "cuGreenCtxDestroy: once the green context is destroyed, any subsequent API calls involving these streams "
      "(including cuStreamDestroy) will return CUDA_ERROR_CONTEXT_IS_DESTROYED.";
  constexpr char kFlags[] = "cuGreenCtxCreate: CU_GREEN_CTX_DEFAULT_STREAM is required.";
  constexpr char kStreamFlags[] = "cuGreenCtxStreamCreate: CU_STREAM_NON_BLOCKING must be specified.";
  constexpr char kConvert[] =
      "cuCtxFromGreenCtx: users are expected to call this API before calling any CUDA APIs that accept a CUcontext. "
      "Failing to do so will result in the APIs returning CUDA_ERROR_INVALID_CONTEXT.";
  CUdevResource whole, groups[1], out;
  CUdevResourceDesc desc = nullptr;
  CUgreenCtx made = nullptr;
  CUcontext context = nullptr;
  CUstream stream = nullptr, left = nullptr;
  unsigned long long id = 0;
  unsigned one = 1;
  Do(cuDeviceGetDevResource(0, &whole, CU_DEV_RESOURCE_TYPE_SM));
  Do(Split(groups, &one, &whole));
  Do(cuDevResourceGenerateDesc(&desc, groups, 1));
  const CUgreenCtx green = MakeGreen(groups[0]), stale = MakeGreen(groups[0]);
  Do(cuGreenCtxStreamCreate(&left, stale, CU_STREAM_NON_BLOCKING, 0));
  Do(cuGreenCtxDestroy(stale));
  const auto as_context = reinterpret_cast<CUcontext>(green);
  Check(
      "GreenContexts",
      {
          {"create: null", [&] { return cuGreenCtxCreate(nullptr, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: flags", [&] { return cuGreenCtxCreate(&made, desc, 0, 0); }, CUDA_ERROR_INVALID_VALUE, kFlags},
          {"create: device", [&] { return cuGreenCtxCreate(&made, desc, count_, CU_GREEN_CTX_DEFAULT_STREAM); },
           CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"create: no descriptor", [&] { return cuGreenCtxCreate(&made, nullptr, 0, CU_GREEN_CTX_DEFAULT_STREAM); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"destroy: null", [] { return cuGreenCtxDestroy(nullptr); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
          {"destroy: stale", [&] { return cuGreenCtxDestroy(stale); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
          {"convert: null", [&] { return cuCtxFromGreenCtx(nullptr, green); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"convert: stale", [&] { return cuCtxFromGreenCtx(&context, stale); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
          {"push: not converted", [&] { return cuCtxPushCurrent_v2(as_context); }, CUDA_ERROR_INVALID_CONTEXT,
           kConvert},
          {"resource: not converted", [&] { return cuCtxGetDevResource(as_context, &out, CU_DEV_RESOURCE_TYPE_SM); },
           CUDA_ERROR_INVALID_CONTEXT, kConvert},
          {"resource: stale", [&] { return cuGreenCtxGetDevResource(stale, &out, CU_DEV_RESOURCE_TYPE_SM); },
           CUDA_ERROR_INVALID_CONTEXT, kContext},
          {"resource: null", [&] { return cuGreenCtxGetDevResource(green, nullptr, CU_DEV_RESOURCE_TYPE_SM); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"stream: flags", [&] { return cuGreenCtxStreamCreate(&stream, green, 0, 0); }, CUDA_ERROR_INVALID_VALUE,
           kStreamFlags},
          {"stream: null", [&] { return cuGreenCtxStreamCreate(nullptr, green, CU_STREAM_NON_BLOCKING, 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"stream: stale", [&] { return cuGreenCtxStreamCreate(&stream, stale, CU_STREAM_NON_BLOCKING, 0); },
           CUDA_ERROR_INVALID_CONTEXT, kContext},
          {"id: null", [&] { return cuGreenCtxGetId(green, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"id: none is current", [&] { return cuGreenCtxGetId(nullptr, &id); }, CUDA_ERROR_INVALID_CONTEXT,
           "cuGreenCtxGetId: if green context is supplied as NULL and the current context is set to a green "
           "context, the Id of the current green context is returned."},
          {"record: stale event", [&] { return cuGreenCtxRecordEvent(green, stale_event_); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"record: stale", [&] { return cuGreenCtxRecordEvent(stale, event_); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
          {"wait: stale event", [&] { return cuGreenCtxWaitEvent(green, stale_event_); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"green context of a stream: null", [&] { return cuStreamGetGreenCtx(stream_, nullptr); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"green context of a stream: stale", [&] { return cuStreamGetGreenCtx(stale_stream_, &made); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"left stream: query", [&] { return cuStreamQuery(left); }, CUDA_ERROR_CONTEXT_IS_DESTROYED, kDestroyed},
          {"left stream: launch", [&] { return Launch(store_, 1, 1, 0, left); }, CUDA_ERROR_CONTEXT_IS_DESTROYED,
           kDestroyed},
          {"left stream: record", [&] { return cuEventRecord(event_, left); }, CUDA_ERROR_CONTEXT_IS_DESTROYED,
           kDestroyed},
          {"left stream: context", [&] { return cuStreamGetCtx(left, &context); }, CUDA_ERROR_CONTEXT_IS_DESTROYED,
           kDestroyed},
          {"left stream: destroy", [&] { return cuStreamDestroy_v2(left); }, CUDA_ERROR_CONTEXT_IS_DESTROYED,
           kDestroyed},
      });
  Do(cuCtxFromGreenCtx(&context, green));
  Do(cuCtxPushCurrent_v2(context));
  Check("GreenContexts, current",
        {
            {"per-thread stream", [&] { return cuStreamGetCtx_v2(CU_STREAM_PER_THREAD, &context, &made); },
             CUDA_ERROR_INVALID_HANDLE,
             "cuStreamGetCtx: specifying CU_STREAM_PER_THREAD will return CUDA_ERROR_INVALID_HANDLE if a green context "
             "is current to the calling thread."},
            {"destroy as a context", [&] { return cuCtxDestroy_v2(context); }, CUDA_ERROR_INVALID_CONTEXT,
             "cuCtxFromGreenCtx: the converted context is a normal primary context but with the resources of the "
             "green context. (And a primary context is not to be destroyed by cuCtxDestroy.)"},
        });
  Do(cuCtxPopCurrent_v2(nullptr));
  Do(cuGreenCtxDestroy(green));
}

}  // namespace wrong_uses
