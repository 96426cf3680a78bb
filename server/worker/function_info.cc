#include "server/worker/function_info.h"

#include <algorithm>

#include "common/base/limits.h"

namespace outboard::worker {
namespace {

CUresult ParamOf(const driver::DriverTable& driver, CUfunction function, size_t index, size_t* offset, size_t* size) {
  return driver.cuFuncGetParamInfo == nullptr ? CUDA_ERROR_NOT_SUPPORTED
                                              : driver.cuFuncGetParamInfo(function, index, offset, size);
}

CUresult ParamOf(const driver::DriverTable& driver, CUkernel kernel, size_t index, size_t* offset, size_t* size) {
  return driver.cuKernelGetParamInfo == nullptr ? CUDA_ERROR_NOT_SUPPORTED
                                                : driver.cuKernelGetParamInfo(kernel, index, offset, size);
}

template <class T>
CUresult Param(const driver::DriverTable& driver, T function, size_t index, OutboardParam* param) {
  size_t offset = 0, size = 0;
  const CUresult result = ParamOf(driver, function, index, &offset, &size);
  *param = {static_cast<uint32_t>(offset), static_cast<uint32_t>(size)};
  return result;
}

template <class T>
void AddParams(const driver::DriverTable& driver, T function, OutboardFunctionInfo* info) {
  for (uint32_t index = 0; index <= kMaxKernelParameterBytes; ++index) {
    OutboardParam param;
    const CUresult result = Param(driver, function, index, &param);
    if (result == CUDA_ERROR_INVALID_VALUE) return;  // there are no more
    if (result != CUDA_SUCCESS) break;
    if (index < kOutboardInlineParams) info->params[index] = param;
    info->param_count = index + 1;
    info->param_bytes = std::max(info->param_bytes, param.offset + param.size);
  }
  info->param_count = UINT32_MAX;
}

template <class T>
CUresult Params(const driver::DriverTable& driver, T function, uint32_t first, std::span<OutboardParam> params) {
  for (size_t i = 0; i < params.size(); ++i) {
    if (const CUresult result = Param(driver, function, first + i, &params[i]); result != CUDA_SUCCESS) return result;
  }
  return CUDA_SUCCESS;
}

}  // namespace

OutboardFunctionInfo Describe(const driver::DriverTable& driver, CUfunction function) {
  OutboardFunctionInfo info{};
  for (int i = 0; i < kOutboardFunctionAttributes; ++i) {
    int value = 0;
    if (driver.cuFuncGetAttribute(&value, static_cast<CUfunction_attribute>(i), function) == CUDA_SUCCESS) {
      info.attributes[i] = value;
    }
  }
  AddParams(driver, function, &info);
  return info;
}

OutboardFunctionInfo Describe(const driver::DriverTable& driver, CUkernel kernel, CUdevice device) {
  OutboardFunctionInfo info{};
  for (int i = 0; i < kOutboardFunctionAttributes; ++i) {
    int value = 0;
    const auto attribute = static_cast<CUfunction_attribute>(i);
    if (driver.cuKernelGetAttribute(&value, attribute, kernel, device) == CUDA_SUCCESS) info.attributes[i] = value;
  }
  AddParams(driver, kernel, &info);
  return info;
}

CUresult DescribeParams(const driver::DriverTable& driver, CUfunction function, uint32_t first,
                        std::span<OutboardParam> params) {
  return Params(driver, function, first, params);
}

CUresult DescribeParams(const driver::DriverTable& driver, CUkernel kernel, uint32_t first,
                        std::span<OutboardParam> params) {
  return Params(driver, kernel, first, params);
}

}  // namespace outboard::worker
