#include "server/softgpu/api/program.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/image/image_builder.h"

// Which code of an image is chosen.

namespace outboard::softgpu::api {
namespace {

namespace build = image::testing;

constexpr uint16_t kPtx = 1, kElf = 2;

build::Bytes Ptx(int arch, const char* suffix = "") {
  return build::FromText(".version 8.0\n.target sm_" + std::to_string(arch) + suffix + "\n.address_size 64\n");
}

build::Bytes Cubin(bool with_kernel) {
  build::CubinBuilder cubin;
  if (with_kernel) cubin.Kernel("k", build::InfoBuilder().BankSize(0));
  return cubin.Build();
}

struct Loaded {
  Outcome outcome;
  Program program;

  // The target of the one chosen module; 0 when there is another number of them.
  uint32_t target() const { return program.modules.size() == 1 ? program.modules[0]->target : 0; }
};

Loaded Load(const std::vector<build::Bytes>& images, int capability = 130) {
  std::vector<image::Extent> extents;
  for (const auto& bytes : images) extents.push_back({bytes.data(), bytes.size()});
  Loaded loaded;
  loaded.outcome = LoadProgram(extents, capability, &loaded.program);
  return loaded;
}

TEST(LoadProgram, ChoosesTheNewestPtxThatTheDeviceRuns) {
  const auto fatbin = build::Fatbin({{kPtx, 75, Ptx(75)}, {kPtx, 90, Ptx(90)}, {kPtx, 80, Ptx(80)}});
  EXPECT_EQ(Load({fatbin}, 130).target(), 90u);
  EXPECT_EQ(Load({fatbin}, 89).target(), 80u);
  EXPECT_EQ(Load({fatbin}, 75).target(), 75u);
}

TEST(LoadProgram, PrefersPtxToSass) {
  EXPECT_EQ(Load({build::Fatbin({{kElf, 90, Cubin(true)}, {kPtx, 75, Ptx(75)}})}).target(), 75u);
}

TEST(LoadProgram, LeavesOutWhatRunsOnOneArchitectureAlone) {
  const auto specific = build::Fatbin(
      {{kPtx, 75, Ptx(75)}, {kPtx, 90, Ptx(90, "a"), build::Packing::kRaw, "", 0x11 | build::kFlagArchSpecific}});
  EXPECT_EQ(Load({specific}, 130).target(), 75u);
  EXPECT_EQ(Load({specific}, 90).target(), 90u);
  const auto family = build::Fatbin(
      {{kPtx, 75, Ptx(75)}, {kPtx, 100, Ptx(100, "f"), build::Packing::kRaw, "", 0x11 | build::kFlagFamilySpecific}});
  EXPECT_EQ(Load({family}, 130).target(), 75u);
  EXPECT_EQ(Load({family}, 103).target(), 100u);
}

TEST(LoadProgram, TakesOnePieceOfEveryImage) {
  const auto loaded =
      Load({build::Fatbin({}), build::Fatbin({{kPtx, 75, Ptx(75)}}), build::Fatbin({{kPtx, 80, Ptx(80)}})});
  EXPECT_TRUE(loaded.outcome.ok());
  EXPECT_EQ(loaded.program.modules.size(), 2u);
}

TEST(LoadProgram, LinkedSassBesidesThePtxOfItsPartsIsLeftOut) {
  EXPECT_EQ(Load({build::Fatbin({{kElf, 90, Cubin(true)}}), build::Fatbin({{kPtx, 75, Ptx(75)}})}).target(), 75u);
}

TEST(LoadProgram, SaysWhichArchitecturesThereAreWhenThereIsNoPtx) {
  const auto loaded = Load({build::Fatbin({{kElf, 90, Cubin(true)}, {kElf, 80, Cubin(true)}})});
  EXPECT_EQ(loaded.outcome.code, CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_NE(loaded.outcome.message.find("sm_80, sm_90"), std::string::npos) << loaded.outcome.message;
}

TEST(LoadProgram, AnImageWithoutKernelsNeedsNoPtx) {
  const auto loaded = Load({build::Fatbin({{kElf, 75, Cubin(false)}})});
  EXPECT_TRUE(loaded.outcome.ok()) << loaded.outcome.message;
  EXPECT_TRUE(loaded.program.modules.empty());
}

TEST(LoadProgram, RefusesPtxThatItCannotRead) {
  EXPECT_EQ(Load({build::Fatbin({{kPtx, 75, build::FromText(".version 8.0\n.target sm_75\n.entry (")}})}).outcome.code,
            CUDA_ERROR_INVALID_PTX);
  auto cut = build::Fatbin({{kPtx, 75, Ptx(75)}});
  cut.resize(cut.size() - 8);
  EXPECT_EQ(Load({cut}).outcome.code, CUDA_ERROR_INVALID_IMAGE);
}

TEST(LoadProgram, SeesWhoMayNeedTheHeap) {
  const auto with = build::FromText(
      ".version 8.0\n.target sm_75\n.address_size 64\n.extern .func (.param .b64 r) malloc (.param .b64 n);\n");
  EXPECT_TRUE(Load({build::Fatbin({{kPtx, 75, with}})}).program.uses_heap);
  EXPECT_FALSE(Load({build::Fatbin({{kPtx, 75, Ptx(75)}})}).program.uses_heap);
}

}  // namespace
}  // namespace outboard::softgpu::api
