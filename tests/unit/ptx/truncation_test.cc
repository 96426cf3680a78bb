#include <gtest/gtest.h>

#include <string>

#include "server/softgpu/ptx/parser.h"

namespace outboard::softgpu::ptx {
namespace {

// One of every construct.
constexpr char kSample[] = R"(.version 9.0
.target sm_90a, debug
.address_size 64
/* a comment { */ // another "
.file 1 "a.cu", 1, 2
.visible .global .attribute(.managed) .align 8 .u64 a[2][2] = {{generic(b)+8, f}, {0xFF(f), (1+2)*3}};
.const .f32 c[] = {0f3F800000, -1.5e3, 0d3ff8000000000000};
.global .b8 m[2] = {0xFF00(generic(b)+4), 0x7fU};
.global .samplerref s = { filter_mode = nearest };
.extern .shared .align 16 .b8 smem[];
.tex .u32 t;
.extern .func (.param .b32 r) vprintf(.param .b64 x, .param .b64 y);
.func (.param .b32 r) f(.param .align 8 .b8 q[16]) .noreturn { trap; ret; }
.alias ff, f;
.visible .entry k(.param .u64 .ptr .global .align 4 p) .maxntid 128, 1, 1 .minnctapersm 2 .pragma "x";
{
  .reg .pred %p<3>; .reg .b32 %r<20>, x; .reg .v2 .f32 v;
  .local .align 4 .b8 depot[16];
  .loc 1 2 3, function_name L+4, inlined_at 1 2 3
  ld.param.u64 x, [p+0];
A: @!%p1 bra B;
  shfl.sync.up.b32 %r1|%p2, %r2, -1, 0b11, 0xffffffff;
  tex.2d.v4.f32.f32 {v.x, _, %r3, %r4}, [t, {v.x, v.y}];
  { .param .b64 q; call.uni (q), vprintf, (q, p); }
  pr: .callprototype (.param .b32 _) _ (.param .b64 _);
  call (x), %r5, (x), pr;
  ts: .branchtargets A, B;
  brx.idx %r1, ts;
B: add .s32 %r1, %tid.x, WARP_SZ*2;
  st.shared [smem+-4], 0f00000000;
}
.section .debug_info { .b8 1 }
)";

// Every prefix, in a buffer of just its size, so that a sanitizer sees a read past its end.
TEST(Truncation, EveryPrefixIsSafe) {
  const std::string sample = kSample;
  size_t accepted = 0;
  for (size_t length = 0; length <= sample.size(); ++length) {
    std::string prefix = sample.substr(0, length);
    prefix.shrink_to_fit();
    const auto module = ParseModule(std::move(prefix));
    if (!module.ok()) {
      EXPECT_TRUE(module.error().message.starts_with("PTX line ")) << module.error().message;
      continue;
    }
    ++accepted;
    for (const Function& function : (*module)->functions) {
      EXPECT_TRUE(function.is_declaration || ParseBody(**module, function).ok()) << length;
    }
  }
  EXPECT_GT(accepted, 10u);
  EXPECT_LT(accepted, 100u);
}

// Every prefix of the kernel's body, closed again.
TEST(Truncation, EveryPrefixOfABodyIsSafe) {
  const std::string sample = kSample;
  const size_t begin = sample.find("{\n  .reg") + 1;
  const size_t end = sample.find("}\n.section");
  size_t accepted = 0;
  for (size_t length = begin; length <= end; ++length) {
    const auto module = ParseModule(sample.substr(0, length) + "\n} }");
    if (!module.ok()) continue;
    for (const Function& function : (*module)->functions) {
      if (function.is_declaration) continue;
      const auto body = ParseBody(**module, function);
      accepted += body.ok();
      EXPECT_TRUE(body.ok() || body.error().message.starts_with("PTX line ")) << body.error().message;
    }
  }
  EXPECT_GT(accepted, 0u);
}

// Every byte replaced by others that mean something to the grammar.
TEST(Truncation, EveryChangedByteIsSafe) {
  const std::string sample = kSample;
  for (size_t i = 0; i < sample.size(); ++i) {
    for (char c : {'\0', '{', '}', '"', '/', '.', '0', '(', '\x80'}) {
      std::string changed = sample;
      changed[i] = c;
      const auto module = ParseModule(std::move(changed));
      if (!module.ok()) continue;
      for (const Function& function : (*module)->functions) {
        const auto body = ParseBody(**module, function);
        EXPECT_TRUE(!body.ok() || body->is_target.size() == body->instructions.size() + 1);
      }
    }
  }
}

}  // namespace
}  // namespace outboard::softgpu::ptx
