#include "tests/unit/softgpu_api/driver_under_test.h"

#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/image/fatbin.h"
#include "server/softgpu/api/link_inputs.h"
#include "tests/fakes/two_modules.h"
#include "tests/unit/image/image_builder.h"

// cuLink* by itself.

namespace outboard::softgpu::api {
namespace {

using DriverOfLinkerTest = DriverTest;
#include "tests/unit/linker_cases.h"

TEST_F(LinkerTest, WhatAnInputUnpacksToIsBounded) {
  constexpr char kOther[] = ".version 9.0\n.target sm_75\n.visible .func other { ret; }\n";
  const auto archive = ArchiveOf({ObjectOf(kOther), ObjectOf(fakes::kCalledModule)});
  const uint64_t bytes = std::strlen(kOther) + std::strlen(fakes::kCalledModule);
  const image::NamedText texts[] = {{"other", kOther}, {"called", fakes::kCalledModule}};
  const auto linked = image::MakeLinkedFatbin(texts);
  const auto read = [&](CUjitInputType type, image::ByteSpan input, uint64_t most) {
    Program program;
    return ReadLinkInput(type, input, "input", 90, &program, most).code;
  };
  EXPECT_EQ(read(CU_JIT_INPUT_LIBRARY, archive, bytes), CUDA_SUCCESS);
  EXPECT_EQ(read(CU_JIT_INPUT_LIBRARY, archive, bytes - 1), CUDA_ERROR_INVALID_IMAGE);
  for (const CUjitInputType type : {CU_JIT_INPUT_CUBIN, CU_JIT_INPUT_FATBINARY}) {
    EXPECT_EQ(read(type, linked, bytes + 16), CUDA_SUCCESS);  // as it is stored
    EXPECT_EQ(read(type, linked, bytes - 1), CUDA_ERROR_INVALID_IMAGE);
  }
  const image::ByteSpan text = std::as_bytes(std::span(kOther));
  EXPECT_EQ(read(CU_JIT_INPUT_PTX, text, text.size()), CUDA_SUCCESS);
  EXPECT_EQ(read(CU_JIT_INPUT_PTX, text, text.size() - 1), CUDA_ERROR_INVALID_IMAGE);
}

// Without the linker's calls only the kernel that needs it misses what is not there.
TEST_F(DriverOfLinkerTest, AKernelThatCannotRunSpoilsOnlyItself) {
  constexpr char kPtx[] = R"(
.version 9.0
.target sm_75
.address_size 64
.extern .func lost;
.shared .b8 half[2147483648];
.shared .b8 other_half[2147483648];
.visible .entry good() { ret; }
.visible .entry unknown_form() { nonsense.b32; ret; }
.visible .entry undefined_name() { call lost; ret; }
.visible .entry much_shared() { .reg .u32 %r; mov.u32 %r, half; mov.u32 %r, other_half; ret; }
)";
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  unsigned count = 0;
  ASSERT_EQ(cuModuleLoadData(&module, kPtx), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleGetFunctionCount(&count, module), CUDA_SUCCESS);
  EXPECT_EQ(count, 4u);
  EXPECT_EQ(cuModuleGetFunction(&function, module, "good"), CUDA_SUCCESS);
  EXPECT_EQ(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_SUCCESS);
  for (const auto& [kernel, lacking] : {std::pair("unknown_form", "nonsense.b32"),
                                        {"undefined_name", "lost"},
                                        {"much_shared", "16 MiB of shared variables"}}) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(cuModuleGetFunction(&function, module, kernel), CUDA_ERROR_NOT_SUPPORTED);
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_NE(log.find(kernel), std::string::npos) << log;
    EXPECT_NE(log.find(lacking), std::string::npos) << log;
  }
  EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::softgpu::api
