#pragma once

namespace outboard::fakes {

// Kernels of one thread each:
//   read(results, texture, x, y)   the four words of a 2D texture
//   fetch(results, texture, x)     the same of a 1D texture, by element
//   write(surface, x, value)       4 bytes at byte x of a 1D surface; outside of it nothing
inline constexpr char kTextureKernels[] = R"(
.version 8.0
.target sm_75
.address_size 64

.visible .entry read(.param .u64 read_to, .param .u64 read_texture, .param .f32 read_x, .param .f32 read_y)
{
  .reg .f32 %f<7>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [read_to];
  ld.param.u64 %rd2, [read_texture];
  ld.param.f32 %f1, [read_x];
  ld.param.f32 %f2, [read_y];
  tex.2d.v4.f32.f32 {%f3, %f4, %f5, %f6}, [%rd2, {%f1, %f2}];
  st.global.v4.f32 [%rd1], {%f3, %f4, %f5, %f6};
  ret;
}

.visible .entry fetch(.param .u64 fetch_to, .param .u64 fetch_texture, .param .u32 fetch_x)
{
  .reg .b32 %r<6>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [fetch_to];
  ld.param.u64 %rd2, [fetch_texture];
  ld.param.u32 %r1, [fetch_x];
  tex.1d.v4.u32.s32 {%r2, %r3, %r4, %r5}, [%rd2, {%r1}];
  st.global.v4.u32 [%rd1], {%r2, %r3, %r4, %r5};
  ret;
}

.visible .entry write(.param .u64 write_surface, .param .u32 write_x, .param .u32 write_value)
{
  .reg .b32 %r<3>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [write_surface];
  ld.param.u32 %r1, [write_x];
  ld.param.u32 %r2, [write_value];
  sust.b.1d.b32.zero [%rd1, {%r1}], {%r2};
  ret;
}
)";

}  // namespace outboard::fakes
