#include "server/worker/home_context.h"

namespace outboard::worker {

InHomeContext::InHomeContext(const driver::DriverTable& driver) : driver_(driver) {
  CUcontext context = nullptr;
  CUgreenCtx green = nullptr;
  // A driver that lacks it has no green contexts.
  if (driver_.cuStreamGetCtx_v2 == nullptr) return;
  if (driver_.cuStreamGetCtx_v2(CU_STREAM_LEGACY, &context, &green) != CUDA_SUCCESS || green == nullptr) return;
  has_pushed_ = driver_.cuCtxPushCurrent_v2(context) == CUDA_SUCCESS;
}

InHomeContext::~InHomeContext() {
  CUcontext popped;
  if (has_pushed_) driver_.cuCtxPopCurrent_v2(&popped);
}

}  // namespace outboard::worker
