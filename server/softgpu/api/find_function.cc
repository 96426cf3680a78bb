#include "server/softgpu/api/find_function.h"

namespace outboard::softgpu::api {

CUresult FindFunction(Context& context, CUfunction handle, std::shared_ptr<Function>* function) {
  if (const auto kernel = context.driver.handles.Find<Kernel>(handle)) return kernel->FunctionIn(context, function);
  *function = context.driver.handles.Find<Function>(handle);
  return *function && &(*function)->module.context == &context ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

}  // namespace outboard::softgpu::api
