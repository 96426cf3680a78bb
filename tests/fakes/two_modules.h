#pragma once

// Two PTX modules that make one program: the kernel apply(p, v) of the first stores three times v into *p, by a
// function of the second.

namespace outboard::fakes {

inline constexpr char kCallingModule[] = R"(
.version 7.0
.target sm_75
.address_size 64

.extern .func (.param .b32 result) triple(.param .b32 value);

.visible .entry apply(.param .u64 apply_p, .param .u32 apply_v)
{
  .reg .b32 %r<3>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [apply_p];
  ld.param.u32 %r1, [apply_v];
  {
  .param .b32 param0;
  .param .b32 retval0;
  st.param.b32 [param0], %r1;
  call.uni (retval0), triple, (param0);
  ld.param.b32 %r2, [retval0];
  }
  st.global.u32 [%rd1], %r2;
  ret;
}
)";

inline constexpr char kCalledModule[] = R"(
.version 7.0
.target sm_75
.address_size 64

.visible .func (.param .b32 result) triple(.param .b32 value)
{
  .reg .b32 %r<3>;
  ld.param.u32 %r1, [value];
  mul.lo.u32 %r2, %r1, 3;
  st.param.b32 [result], %r2;
  ret;
}
)";

}  // namespace outboard::fakes
