#pragma once

namespace outboard::fakes {

// Kernels for conditional nodes: from(h, p) makes *p the condition of h; count_down(h, p) subtracts 1 from *p before;
// increment(p) adds 1 to *p.
inline constexpr char kConditionalKernels[] = R"(
.version 8.3
.target sm_75
.address_size 64

.extern .func cudaGraphSetConditional
(
  .param .b64 cudaGraphSetConditional_param_0,
  .param .b32 cudaGraphSetConditional_param_1
)
;

.visible .entry from(.param .u64 from_h, .param .u64 from_p)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [from_h];
  ld.param.u64 %rd2, [from_p];
  ld.global.u32 %r1, [%rd2];
  {
  .param .b64 param0;
  st.param.b64 [param0+0], %rd1;
  .param .b32 param1;
  st.param.b32 [param1+0], %r1;
  call.uni cudaGraphSetConditional, (param0, param1);
  }
  ret;
}

.visible .entry count_down(.param .u64 count_down_h, .param .u64 count_down_p)
{
  .reg .b32 %r<3>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [count_down_h];
  ld.param.u64 %rd2, [count_down_p];
  ld.global.u32 %r1, [%rd2];
  sub.u32 %r2, %r1, 1;
  st.global.u32 [%rd2], %r2;
  {
  .param .b64 param0;
  st.param.b64 [param0+0], %rd1;
  .param .b32 param1;
  st.param.b32 [param1+0], %r2;
  call.uni cudaGraphSetConditional, (param0, param1);
  }
  ret;
}

.visible .entry increment(.param .u64 increment_p)
{
  .reg .b32 %r<3>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [increment_p];
  ld.global.u32 %r1, [%rd1];
  add.u32 %r2, %r1, 1;
  st.global.u32 [%rd1], %r2;
  ret;
}
)";

}  // namespace outboard::fakes
