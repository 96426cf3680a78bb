#include "server/softgpu/api/green_context.h"

#include <utility>

#include "common/interop/interop.h"
#include "server/softgpu/api/device.h"
#include "server/softgpu/api/driver.h"
#include "server/softgpu/api/stream.h"

namespace outboard::softgpu::api {
namespace {

std::shared_ptr<const std::vector<uint32_t>> Numbers(const SmSet& sms) {
  auto numbers = std::make_shared<std::vector<uint32_t>>();
  for (uint32_t sm = 0; sm < sms.size(); ++sm) {
    if (sms[sm]) numbers->push_back(sm);
  }
  return numbers;
}

}  // namespace

std::shared_ptr<GreenContext> GreenContext::Create(const ResourceDesc& resources) {
  Context& context = resources.device.primary();
  context.Retain();
  auto green = std::make_shared<GreenContext>(context, resources.sms);
  green->converted_ = std::make_shared<ConvertedContext>(green);
  context.driver.handles.Add(green->converted_);
  context.driver.handles.Add(green);
  green->default_stream_ = context.CreateDefaultStream(green);
  return green;
}

GreenContext::GreenContext(Context& context, const SmSet& sms)
    : context(context), sms(sms), id(context.driver.NextId()), sm_ids(Numbers(sms)), activation_(context.id()) {}

CUresult GreenContext::Destroy() {
  Driver& driver = context.driver;
  if (active()) interop::ContextDestroyed(cu());  // runs code of the runtime, which may call the driver
  if (ended_.exchange(true)) return CUDA_ERROR_INVALID_CONTEXT;
  driver.handles.Remove<ConvertedContext>(cu());
  driver.handles.Remove<GreenContext>(handle());
  if (!IsOfThisActivation()) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  driver.graphs.captures.ContextDestroyed(this);
  for (const Point& point : context.LastPoints(this)) point.Wait();
  context.Settle();
  if (const auto stream = default_stream()) stream->Abandon();
  context.ReleaseOf(activation_);
  return driver.fault();
}

}  // namespace outboard::softgpu::api
