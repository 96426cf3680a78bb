#include "server/softgpu/ptx/special_registers.h"

#include <gtest/gtest.h>

namespace outboard::softgpu::ptx {
namespace {

TEST(SpecialRegisters, Known) {
  for (const char* name :
       {"%tid", "%tid.x", "%ntid.y", "%ctaid.z", "%nctaid.w", "%laneid", "%lanemask_lt", "%clock64", "%envreg0",
        "%envreg31", "%pm7", "%pm0_64", "%cluster_ctaid.x", "%globaltimer_hi", "%dynamic_smem_size"}) {
    EXPECT_TRUE(IsSpecialRegister(name)) << name;
  }
}

TEST(SpecialRegisters, Unknown) {
  for (const char* name : {"tid.x", "%", "%tid.", "%tid.xx", "%tid.r", "%laneid.x", "%envreg", "%envreg32", "%envreg01",
                           "%pm8", "%pm8_64", "%pm_64", "%foo", ""}) {
    EXPECT_FALSE(IsSpecialRegister(name)) << name;
  }
}

}  // namespace
}  // namespace outboard::softgpu::ptx
