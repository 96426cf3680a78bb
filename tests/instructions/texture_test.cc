// What textures and surfaces say of themselves (PTX ISA, sections 9.7.10.5 txq and 9.7.11.4 suq), who is active, what
// is refused, and what faults.

#include "tests/instructions/texels.h"

namespace outboard::softgpu::testing {
namespace {

constexpr uint64_t kTexture = 0x5000000000000007, kSurface = 0x6000000000000009;

TextureTable MakeTable(const Texels& texels) {
  Texture texture;
  texture.handle = kTexture;
  texture.format = texels.format();
  texture.levels = texels.levels();
  texture.is_normalized = true;
  Surface surface;
  surface.handle = kSurface;
  surface.format = texels.format();
  surface.array = texels.levels()[0];
  return {{texture}, {surface}};
}

class TextureFacts : public LevelTest {
 protected:
  TextureFacts() : texels_({TexelKind::kFloat, 4, 1}, 20, 12, 6, 3, true, 50), machine_(level()) {
    machine_.SetTextures(MakeTable(texels_));
  }
  bool Load(const std::string& instruction) { return machine_.Load(LaneKernel(instruction)); }
  std::optional<Fault> Run(uint64_t handle) {
    return machine_.Run("lanes", {1}, {32}, Params().Add(kDataAddress).Add(handle));
  }
  uint32_t Result(uint32_t lane) { return machine_.Read<uint32_t>(lane * kLaneBytes + kResultOffset); }

  const Texels texels_;
  Machine machine_;
};

TEST_P(TextureFacts, Queries) {
  struct Query {
    const char* form;
    const char* operands;
    uint64_t handle;
    uint32_t want;
  };
  constexpr Query kQueries[] = {
      {"txq.width", "[%handle]", kTexture, 20},
      {"txq.height", "[%handle]", kTexture, 12},
      {"txq.depth", "[%handle]", kTexture, 6},
      {"txq.level.width", "[%handle], %r0", kTexture, 10},
      {"txq.level.height", "[%handle], %r0", kTexture, 6},
      {"txq.level.depth", "[%handle], 2", kTexture, 6},
      {"txq.array_size", "[%handle]", kTexture, 6},
      {"txq.num_mipmap_levels", "[%handle]", kTexture, 3},
      {"txq.normalized_coords", "[%handle]", kTexture, 1},
      {"suq.width", "[%handle]", kSurface, 20},
      {"suq.height", "[%handle]", kSurface, 12},
      {"suq.depth", "[%handle]", kSurface, 6},
      {"suq.array_size", "[%handle]", kSurface, 6},
  };
  for (const Query& query : kQueries) {
    ASSERT_TRUE(Load(std::string(query.form) + ".b32 %r20, " + query.operands + ";"));
    for (uint32_t lane = 0; lane < 32; ++lane) machine_.Write(lane * kLaneBytes, 1u);
    ASSERT_EQ(Run(query.handle), std::nullopt) << query.form;
    for (const uint32_t lane : {0u, 31u}) EXPECT_EQ(Result(lane), query.want) << query.form;
    const auto fault = Run(query.handle + 1);
    ASSERT_TRUE(fault.has_value()) << query.form;
    EXPECT_EQ(fault->kind, FaultKind::kIllegalAddress);
    RecordTested(query.form, level());
  }
}

// What a texture gives is its format's business: which type the instruction names makes no difference.
TEST_P(TextureFacts, NamedTypes) {
  const std::pair<std::string, std::string> kPlaces[] = {{"1d", "{%f0}"},
                                                         {"2d", "{%f0, %f1}"},
                                                         {"3d", "{%f0, %f1, %f2, %f2}"},
                                                         {"a1d", "{%r9, %f1}"},
                                                         {"a2d", "{%r9, %f1, %f2, %f2}"},
                                                         {"cube", "{%f0, %f1, %f2, %f2}"},
                                                         {"1d", "{%r8}"},
                                                         {"2d", "{%r8, %r9}"},
                                                         {"3d", "{%r8, %r9, %r9, %r9}"},
                                                         {"a1d", "{%r9, %r8}"},
                                                         {"a2d", "{%r9, %r8, %r8, %r8}"}};
  for (const auto& [geometry, place] : kPlaces) {
    for (const std::string operation : {"tex", "tex.level", "tld4.r", "tld4.g", "tld4.b", "tld4.a"}) {
      const bool is_gather = operation.starts_with("tld4"), is_float = place.find("%f") != std::string::npos;
      if (is_gather && (!is_float || (geometry != "2d" && geometry != "a2d"))) continue;
      if (operation == "tex.level" && !is_float) continue;
      std::vector<uint32_t> first;
      for (const std::string type : {"f32", "u32", "s32"}) {
        const std::string text = operation + "." + geometry + ".v4." + type + (is_float ? ".f32" : ".s32") +
                                 " {%r20, %r21, %r22, %r23}, [%handle, " + place + "]" +
                                 (operation == "tex.level" ? ", %f3;" : ";");
        ASSERT_TRUE(Load(text));
        for (uint32_t lane = 0; lane < 32; ++lane) {
          for (uint32_t k = 0; k < 8; ++k)
            machine_.Write(lane * kLaneBytes + 4 * k, static_cast<float>(lane * (k + 3) % 17) / 16);
          for (uint32_t k = 8; k < 12; ++k) machine_.Write(lane * kLaneBytes + 4 * k, lane * k % 7);
        }
        ASSERT_EQ(Run(kTexture), std::nullopt) << text;
        std::vector<uint32_t> results;
        for (uint32_t i = 0; i < 32 * 4; ++i)
          results.push_back(machine_.Read<uint32_t>(i / 4 * kLaneBytes + kResultOffset + i % 4 * 4));
        if (first.empty()) first = results;
        EXPECT_EQ(results, first) << text;
      }
      // The texture has one channel.
      const bool gives_zeros = is_gather && operation != "tld4.r";
      EXPECT_EQ(first == std::vector<uint32_t>(32 * 4, 0), gives_zeros) << operation << geometry;
    }
  }
}

TEST_P(TextureFacts, OnlyActiveLanesRead) {
  ASSERT_TRUE(Load("@%p3 tex.2d.v4.f32.f32 {%r20, %r21, %r22, %r23}, [%handle, {%f0, %f1}];"));
  machine_.Fill(0);
  ASSERT_EQ(Run(kTexture), std::nullopt);
  for (uint32_t lane = 0; lane < 32; ++lane) EXPECT_EQ(Result(lane) == 0x5a5a5a5a, lane >= 7) << lane;
}

TEST_P(TextureFacts, ATextureThatIsNoneFaults) {
  ASSERT_TRUE(Load("@!%p3 tex.2d.v4.f32.f32 {%r20, %r21, %r22, %r23}, [%handle, {%f0, %f1}];"));
  for (const uint64_t handle : {uint64_t{0}, kTexture - 1, kTexture + 1, kSurface, ~uint64_t{0}}) {
    const auto fault = Run(handle);
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->kind, FaultKind::kIllegalAddress);
    EXPECT_EQ(fault->address, handle);
    EXPECT_EQ(fault->thread[0], 7u);
    EXPECT_EQ(fault->ptx_line, machine_.LineOf("tex.2d"));
  }
  machine_.SetTextures({});
  EXPECT_TRUE(Run(kTexture).has_value());
}

TEST_P(TextureFacts, MemoryThatIsGoneFaults) {
  TextureTable table = MakeTable(texels_);
  TexelArray& array = table.textures[0].levels[0];
  array.device_address = kDataAddress;
  array.host = nullptr;
  array.pitch = 256;
  machine_.SetTextures(table);
  ASSERT_TRUE(Load("tex.2d.v4.f32.f32 {%r20, %r21, %r22, %r23}, [%handle, {%f0, %f1}];"));
  EXPECT_EQ(Run(kTexture), std::nullopt);
  array.device_address = kDataAddress + kDataBytes + 4096;
  machine_.SetTextures(table);
  const auto fault = Run(kTexture);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->kind, FaultKind::kIllegalAddress);
}

TEST_P(TextureFacts, WhatTheEngineLacksIsRefused) {
  for (const char* instruction : {"tex.2d.v2.f16x2.f32 {%r20, %r21}, [%handle, {%f0, %f1}];",
                                  "tex.2dms.v4.f32.s32 {%r20, %r21, %r22, %r23}, [%handle, {%r0, %r1, %r2, %r2}];",
                                  "tex.2d.v4.f32.f32 {%r20, %r21, %r22, %r23}, [%handle, {%f0, %f1}], {%r0, %r1};",
                                  "tex.2d.v4.f32.f32 {%r20, %r21, %r22, %r23}, [%handle, %rd1, {%f0, %f1}];",
                                  "tex.2d.v4.f32.f32 {%r20, %r21, %r22, %r23}, [%handle, {%f0}];",
                                  "tex.cube.v4.f32.s32 {%r20, %r21, %r22, %r23}, [%handle, {%r0, %r1, %r2, %r2}];",
                                  "txq.channel_data_type.b32 %r20, [%handle];",
                                  "suld.p.2d.v4.b32.trap {%r20, %r21, %r22, %r23}, [%handle, {%r0, %r1}];",
                                  "sust.p.2d.v4.b32.trap [%handle, {%r0, %r1}], {%r20, %r21, %r22, %r23};",
                                  "sured.b.add.2d.u32.trap [%handle, {%r0, %r1}], %r20;"}) {
    ASSERT_TRUE(Load(instruction)) << instruction;
    EXPECT_NE(machine_.Refusal("lanes"), "") << instruction;
  }
  ASSERT_TRUE(machine_.Load(".global .texref old;\n" + LaneKernel("tex.2d.v4.f32.f32 {%r20, %r21, %r22, %r23}, "
                                                                  "[old, {%f0, %f1}];")));
  EXPECT_NE(machine_.Refusal("lanes").find("reference"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(EveryLevel, TextureFacts, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
