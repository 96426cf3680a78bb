// The driver's linker: two PTX modules, of which one calls a function of the other, become one image.

#include <cstring>

#include "driver_session.h"

namespace {

const char kCalling[] = R"(
.version 7.0
.target sm_75
.address_size 64

.extern .func (.param .b32 result) scaled(.param .b32 value);
.extern .global .align 4 .u32 factor;

.visible .entry apply(.param .u64 apply_p, .param .u32 apply_v)
{
  .reg .b32 %r<3>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [apply_p];
  cvta.to.global.u64 %rd2, %rd1;
  ld.param.u32 %r1, [apply_v];
  {
  .param .b32 param0;
  .param .b32 retval0;
  st.param.b32 [param0], %r1;
  call.uni (retval0), scaled, (param0);
  ld.param.b32 %r2, [retval0];
  }
  st.global.u32 [%rd2], %r2;
  ret;
}
)";

const char kCalled[] = R"(
.version 7.0
.target sm_75
.address_size 64

.visible .global .align 4 .u32 factor = 6;

.visible .func (.param .b32 result) scaled(.param .b32 value)
{
  .reg .b32 %r<4>;
  ld.param.u32 %r1, [value];
  ld.global.u32 %r2, [factor];
  mul.lo.u32 %r3, %r1, %r2;
  st.param.b32 [result], %r3;
  ret;
}
)";

CUresult Add(CUlinkState state, const char* text, const char* name) {
  return cuLinkAddData(state, CU_JIT_INPUT_PTX, const_cast<char*>(text), std::strlen(text) + 1, name, 0, nullptr,
                       nullptr);
}

}  // namespace

int main() {
  DriverSession session;
  char errors[8192] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {errors, reinterpret_cast<void*>(sizeof errors)};
  CUlinkState state = nullptr;
  check::Ok(cuLinkCreate(2, options, values, &state));
  check::Ok(Add(state, kCalling, "calling"));
  check::Ok(Add(state, kCalled, "called"));
  void* image = nullptr;
  size_t size = 0;
  check::Ok(cuLinkComplete(state, &image, &size));
  check::True("the image has a size", size > 0);
  CUmodule module = nullptr;
  check::Ok(cuModuleLoadData(&module, image));
  check::Ok(cuLinkDestroy(state));

  CUfunction apply = GetFunction(module, "apply");
  CUdeviceptr result = 0;
  check::Ok(cuMemAlloc(&result, 4));
  unsigned value = 7, got = 0;
  void* parameters[] = {&result, &value};
  check::Ok(cuLaunchKernel(apply, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr));
  check::Ok(cuMemcpyDtoH(&got, result, sizeof(got)));
  check::Equal("what the linked function made of it", got, 42u);
  check::Ok(cuMemFree(result));
  check::Ok(cuModuleUnload(module));

  // What is wrong is said by the code and by the log.
  values[1] = reinterpret_cast<void*>(sizeof errors);
  check::Ok(cuLinkCreate(2, options, values, &state));
  check::Expect("adding what is no PTX", Add(state, ".version 7.0\n.target sm_75\nnonsense", "wrong"),
                CUDA_ERROR_INVALID_PTX);
  check::True("the log says something", errors[0] != 0);
  check::Ok(cuLinkDestroy(state));
  check::Expect("a linker that was destroyed", cuLinkDestroy(state), CUDA_ERROR_INVALID_HANDLE);
  return check::Pass("link_ptx");
}
