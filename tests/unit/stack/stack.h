#pragma once

#include <gtest/gtest.h>

#include <string>

#include "client/session/session.h"
#include "common/api/driver_api.h"
#include "tests/fakes/loopback.h"

// The whole stack in one process: the shim's calls, a session, a transport in memory, a worker, and the software GPU,
// which is opened as a library.

namespace outboard::stack {

// Made at the first use and never destroyed, as the shim is. The worker has two devices; each slice is half of one.
struct Stack {
  static Stack& Get();
  fakes::Loopback& loopback;
};

// Commands of this process whose caller waited, so far.
uint64_t RoundTrips();
// All commands of this process, so far.
uint64_t Commands();

// Initialised, with a context of its own that is current and is destroyed afterwards.
class StackTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  CUfunction GetFunction(const char* name);  // of kernels.h

  CUcontext context_ = nullptr;
  CUmodule module_ = nullptr;
};

// Kernels:
//   add(a, b, sum, count)   sum[i] = a[i] + b[i], 32-bit integers
//   wild()                  writes to an address that is nobody's
inline constexpr char kKernels[] = R"(
.version 7.0
.target sm_75
.address_size 64

.visible .entry add(.param .u64 add_a, .param .u64 add_b, .param .u64 add_sum, .param .u32 add_count)
{
  .reg .pred %p<2>;
  .reg .b32 %r<9>;
  .reg .b64 %rd<8>;
  ld.param.u64 %rd1, [add_a];
  ld.param.u64 %rd2, [add_b];
  ld.param.u64 %rd3, [add_sum];
  ld.param.u32 %r1, [add_count];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;
  setp.ge.u32 %p1, %r5, %r1;
  @%p1 bra DONE;
  mul.wide.u32 %rd4, %r5, 4;
  add.s64 %rd5, %rd1, %rd4;
  add.s64 %rd6, %rd2, %rd4;
  add.s64 %rd7, %rd3, %rd4;
  ld.global.u32 %r6, [%rd5];
  ld.global.u32 %r7, [%rd6];
  add.s32 %r8, %r6, %r7;
  st.global.u32 [%rd7], %r8;
DONE:
  ret;
}

.visible .entry wild()
{
  .reg .b64 %rd<2>;
  .reg .b32 %r<2>;
  mov.u64 %rd1, 64;
  mov.u32 %r1, 1;
  st.global.u32 [%rd1], %r1;
  ret;
}
)";

}  // namespace outboard::stack
