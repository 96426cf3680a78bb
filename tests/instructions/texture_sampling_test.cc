// Reading textures (PTX ISA, section 9.7.10.3 tex and 9.7.10.4 tld4; CUDA C++ Programming Guide, appendix "Texture
// Fetching"): every form in every format, address mode and filter.

#include <cmath>

#include "tests/instructions/inputs.h"
#include "tests/instructions/texels.h"

namespace outboard::softgpu::testing {
namespace {

constexpr uint64_t kHandle = 0x5000000000000007;

struct Shape {
  const char* geometry;
  unsigned dimensions;
  bool has_layers;
};
constexpr Shape kShapes[] = {{"1d", 1, false}, {"2d", 2, false}, {"3d", 3, false}, {"a1d", 1, true}, {"a2d", 2, true}};

constexpr TexelFormat kFormats[] = {
    {TexelKind::kUnsigned, 1, 1}, {TexelKind::kUnsigned, 1, 4}, {TexelKind::kUnsigned, 2, 2},
    {TexelKind::kUnsigned, 4, 1}, {TexelKind::kSigned, 1, 2},   {TexelKind::kSigned, 2, 4},
    {TexelKind::kSigned, 4, 4},   {TexelKind::kFloat, 2, 1},    {TexelKind::kFloat, 2, 4},
    {TexelKind::kFloat, 4, 1},    {TexelKind::kFloat, 4, 2},    {TexelKind::kFloat, 4, 4}};

bool GivesIntegers(const Texture& texture) {
  return texture.format.kind != TexelKind::kFloat && (texture.reads_integers || texture.format.channel_bytes == 4);
}

// The coordinates that stand in the braces, from %f0 and %r0 on, the layer in %r11.
std::string Braces(const Shape& shape, const char* registers) {
  std::string text = shape.has_layers ? "{%r11" : "{";
  for (unsigned d = 0; d < shape.dimensions; ++d) {
    text += (text.size() == 1 ? "" : ", ") + std::string(registers) + std::to_string(d);
  }
  const unsigned words = shape.dimensions + shape.has_layers;
  if (words == 3) text += ", " + std::string(registers) + "0";
  return text + "}";
}

class TextureForms : public LevelTest {
 protected:
  // Puts the words of a lane where the kernel looks for them.
  void SetWord(Machine& machine, uint32_t lane, unsigned index, float value) {
    machine.Write(lane * kLaneBytes + 4 * index, value);
  }
  void SetLayer(Machine& machine, uint32_t lane, uint32_t layer) { machine.Write(lane * kLaneBytes + 4 * 11, layer); }
  Words ResultOf(Machine& machine, uint32_t lane) {
    Words words;
    for (unsigned i = 0; i < 4; ++i) words[i] = machine.Read<uint32_t>(lane * kLaneBytes + kResultOffset + 4 * i);
    return words;
  }
  bool Run(Machine& machine) { return machine.RunWell("lanes", {1}, {32}, Params().Add(kDataAddress).Add(kHandle)); }

  static Texture Make(const Texels& texels) {
    Texture texture;
    texture.handle = kHandle;
    texture.format = texels.format();
    texture.levels = texels.levels();
    return texture;
  }
  static void Use(Machine& machine, const Texture& texture) {
    TextureTable table;
    table.textures = {texture};
    machine.SetTextures(std::move(table));
  }

  // Whether the words are those expected; means may differ in the last bits.
  static void Expect(const Texture& texture, const Words& got, const Words& want, const std::string& about) {
    const bool is_mean = (texture.filters || texture.filters_levels) && !GivesIntegers(texture);
    for (unsigned c = 0; c < 4; ++c) {
      if (!is_mean) {
        ASSERT_EQ(got[c], want[c]) << about << ", channel " << c;
        continue;
      }
      const float is = __builtin_bit_cast(float, got[c]), expected = __builtin_bit_cast(float, want[c]);
      ASSERT_LE(std::fabs(is - expected), 4e-7f * std::max(std::fabs(expected), 1.0f))
          << about << ", channel " << c << ": " << is << " instead of " << expected;
    }
  }

  // From outside on one side to outside on the other, with the places where something changes.
  static float Coordinate(std::mt19937_64& random, uint32_t lane, int64_t size, bool is_normalized) {
    const double edges[] = {0, 0.5, -0.5, 1, static_cast<double>(size), size - 0.5, size + 0.5, -0.25 / 256, 0.498};
    double value =
        lane < std::size(edges) ? edges[lane] : (static_cast<double>(random() % 100000) / 100000 * 4 - 1.5) * size;
    return static_cast<float>(is_normalized ? value / size : value);
  }
};

TEST_P(TextureForms, Coordinates) {
  Machine machine(level());
  for (const Shape& shape : kShapes) {
    const std::string form = std::string("tex.") + shape.geometry + ".f32";
    const std::string dtype = shape.dimensions == 1 ? "s32" : "f32";  // whose bits it gives is the texture's business
    ASSERT_TRUE(machine.Load(LaneKernel("tex." + std::string(shape.geometry) + ".v4." + dtype +
                                        ".f32 {%r20, %r21, %r22, %r23}, [%handle, " + Braces(shape, "%f") + "];")));
    std::mt19937_64 random = RandomOf(form);
    for (const TexelFormat& format : kFormats) {
      const Texels texels(format, 11, shape.dimensions > 1 ? 6 : 1,
                          shape.has_layers       ? 3
                          : shape.dimensions > 2 ? 5
                                                 : 1,
                          1, shape.has_layers, random());
      for (unsigned variant = 0; variant < 4 * 8; ++variant) {
        Texture texture = Make(texels);
        for (unsigned d = 0; d < 3; ++d) texture.address[d] = static_cast<AddressMode>((variant + d) % 4);
        texture.is_normalized = (variant & 4) != 0;
        texture.reads_integers = (variant & 8) != 0;
        texture.filters = (variant & 16) != 0 && !GivesIntegers(texture);
        const float border[4] = {0.25f, -3, 7, 1000};
        std::copy(border, border + 4, texture.border);
        Use(machine, texture);
        for (uint32_t lane = 0; lane < 32; ++lane) {
          for (unsigned d = 0; d < shape.dimensions; ++d) {
            const int64_t size = d == 0 ? 11 : d == 1 ? 6 : 5;
            SetWord(machine, lane, d, Coordinate(random, (lane + d) % 32, size, texture.is_normalized));
          }
          SetLayer(machine, lane, lane % 5);
        }
        ASSERT_TRUE(Run(machine));
        for (uint32_t lane = 0; lane < 32; ++lane) {
          float at[3];
          for (unsigned d = 0; d < 3; ++d) at[d] = machine.Read<float>(lane * kLaneBytes + 4 * d);
          const uint32_t layer = shape.has_layers ? std::min(lane % 5, 2u) : 0;
          Expect(texture, ResultOf(machine, lane), ReferenceSample(texture, texels, shape.dimensions, layer, at, 0),
                 form + ", variant " + std::to_string(variant) + ", lane " + std::to_string(lane));
          if (HasFatalFailure()) return;
        }
      }
    }
    ExpectSameAtEveryLevel(form, level(), machine.data(), 32 * kLaneBytes);
    RecordTested(form, level());
  }
}

// tex1Dfetch and its kin: elements by their numbers.
TEST_P(TextureForms, Elements) {
  Machine machine(level());
  for (const Shape& shape : kShapes) {
    const std::string form = std::string("tex.") + shape.geometry + ".s32";
    ASSERT_TRUE(machine.Load(LaneKernel("tex." + std::string(shape.geometry) +
                                        ".v4.u32.s32 {%r20, _, %r22, %r23}|%p1, [%handle, " + Braces(shape, "%r") +
                                        "];\n  @%p1 mov.u32 %r21, 1;")));
    std::mt19937_64 random = RandomOf(form);
    const Texels texels({TexelKind::kSigned, 1, 4}, 11, shape.dimensions > 1 ? 6 : 1,
                        shape.has_layers       ? 3
                        : shape.dimensions > 2 ? 5
                                               : 1,
                        1, shape.has_layers, 9);
    for (const AddressMode mode : {AddressMode::kClamp, AddressMode::kBorder, AddressMode::kWrap}) {
      Texture texture = Make(texels);
      texture.reads_integers = true;
      std::fill(std::begin(texture.address), std::end(texture.address), mode);
      Use(machine, texture);
      for (uint32_t lane = 0; lane < 32; ++lane) {
        for (unsigned d = 0; d < 3; ++d) {
          machine.Write(lane * kLaneBytes + 4 * d, static_cast<int32_t>(random() % 17) - 3);
        }
        SetLayer(machine, lane, lane % 3);
      }
      ASSERT_TRUE(Run(machine));
      for (uint32_t lane = 0; lane < 32; ++lane) {
        int64_t at[3];
        for (unsigned d = 0; d < 3; ++d) at[d] = machine.Read<int32_t>(lane * kLaneBytes + 4 * d);
        Words want = ReferenceElement(texture, texels, shape.dimensions, 0, shape.has_layers ? lane % 3 : 0, at);
        want[1] = 1;  // the second word was not wanted; the predicate says that the texture is there
        ASSERT_EQ(ResultOf(machine, lane), want) << form << ", lane " << lane;
      }
    }
    RecordTested(form, level());
  }
}

TEST_P(TextureForms, LinearMemoryEndsWithZero) {
  Machine machine(level());
  const Texels texels({TexelKind::kFloat, 4, 2}, 100, 1, 1, 1, false, 4);
  Texture texture = Make(texels);
  texture.is_linear = true;
  Use(machine, texture);
  ASSERT_TRUE(machine.Load(LaneKernel("tex.1d.v4.f32.s32 {%r20, %r21, %r22, %r23}, [%handle, {%r0}];")));
  const int32_t places[] = {0, 99, 100, -1, 50, INT32_MIN, INT32_MAX};
  for (uint32_t lane = 0; lane < 32; ++lane) machine.Write(lane * kLaneBytes, places[lane % std::size(places)]);
  ASSERT_TRUE(Run(machine));
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const int64_t at[3] = {places[lane % std::size(places)], 0, 0};
    const bool is_inside = at[0] >= 0 && at[0] < 100;
    const Words want = is_inside ? ReferenceElement(texture, texels, 1, 0, 0, at) : Words{};
    ASSERT_EQ(ResultOf(machine, lane), want) << lane;
  }
}

TEST_P(TextureForms, Levels) {
  Machine machine(level());
  for (const Shape& shape : kShapes) {
    const std::string form = std::string("tex.level.") + shape.geometry + ".f32";
    ASSERT_TRUE(
        machine.Load(LaneKernel("tex.level." + std::string(shape.geometry) +
                                ".v4.f32.f32 {%r20, %r21, %r22, %r23}, [%handle, " + Braces(shape, "%f") + "], %f3;")));
    std::mt19937_64 random = RandomOf(form);
    const Texels texels({TexelKind::kFloat, 4, 2}, 32, shape.dimensions > 1 ? 16 : 1,
                        shape.has_layers       ? 3
                        : shape.dimensions > 2 ? 8
                                               : 1,
                        4, shape.has_layers, 12);
    for (unsigned variant = 0; variant < 16; ++variant) {
      Texture texture = Make(texels);
      texture.is_normalized = true;
      texture.filters = (variant & 1) != 0;
      texture.filters_levels = (variant & 2) != 0;
      texture.max_level = (variant & 4) != 0 ? 2.25f : 10;
      texture.min_level = (variant & 8) != 0 ? 0.75f : 0;
      texture.level_bias = (variant & 8) != 0 ? 0.5f : 0;
      Use(machine, texture);
      for (uint32_t lane = 0; lane < 32; ++lane) {
        for (unsigned d = 0; d < 3; ++d) SetWord(machine, lane, d, static_cast<float>(random() % 4096) / 2048 - 0.5f);
        SetWord(machine, lane, 3, static_cast<float>(lane) / 6 - 1);
        SetLayer(machine, lane, lane % 3);
      }
      ASSERT_TRUE(Run(machine));
      for (uint32_t lane = 0; lane < 32; ++lane) {
        float at[4];
        for (unsigned d = 0; d < 4; ++d) at[d] = machine.Read<float>(lane * kLaneBytes + 4 * d);
        Expect(texture, ResultOf(machine, lane),
               ReferenceSample(texture, texels, shape.dimensions, shape.has_layers ? lane % 3 : 0, at, at[3]),
               form + ", variant " + std::to_string(variant) + ", lane " + std::to_string(lane));
        if (HasFatalFailure()) return;
      }
    }
    RecordTested(form, level());
  }
}

TEST_P(TextureForms, Gradients) {
  Machine machine(level());
  for (const Shape& shape : kShapes) {
    const std::string form = std::string("tex.grad.") + shape.geometry + ".f32";
    const char* const gradients[] = {"{%f4}, {%f7}", "{%f4, %f5}, {%f7, %f8}",
                                     "{%f4, %f5, %f6, %f4}, {%f7, %f8, %f9, %f7}"};
    ASSERT_TRUE(machine.Load(LaneKernel("tex.grad." + std::string(shape.geometry) +
                                        ".v4.f32.f32 {%r20, %r21, %r22, %r23}, [%handle, " + Braces(shape, "%f") +
                                        "], " + gradients[shape.dimensions - 1] + ";")));
    std::mt19937_64 random = RandomOf(form);
    const Texels texels({TexelKind::kFloat, 4, 1}, 32, shape.dimensions > 1 ? 16 : 1,
                        shape.has_layers       ? 3
                        : shape.dimensions > 2 ? 8
                                               : 1,
                        4, shape.has_layers, 13);
    Texture texture = Make(texels);
    texture.is_normalized = true;
    texture.filters_levels = true;
    texture.max_level = 10;
    Use(machine, texture);
    const double sizes[3] = {32, shape.dimensions > 1 ? 16.0 : 1.0, shape.dimensions > 2 ? 8.0 : 1.0};
    for (uint32_t lane = 0; lane < 32; ++lane) {
      for (unsigned d = 0; d < 3; ++d) SetWord(machine, lane, d, static_cast<float>(random() % 4096) / 4096);
      for (unsigned i = 4; i < 10; ++i) SetWord(machine, lane, i, static_cast<float>(random() % 4096) / 16384 - 0.1f);
      SetLayer(machine, lane, lane % 3);
    }
    ASSERT_TRUE(Run(machine));
    for (uint32_t lane = 0; lane < 32; ++lane) {
      float words[10];
      for (unsigned i = 0; i < 10; ++i) words[i] = machine.Read<float>(lane * kLaneBytes + 4 * i);
      double longest = 0;
      for (const float* change : {words + 4, words + 7}) {
        double length = 0;
        for (unsigned d = 0; d < shape.dimensions; ++d) length = std::hypot(length, change[d] * sizes[d]);
        longest = std::max(longest, length);
      }
      // A weight of the level may be one step off where the logarithm is.
      const float got = __builtin_bit_cast(float, ResultOf(machine, lane)[0]);
      float nearest = 1e9;
      for (const double step : {-1e-9, 0.0, 1e-9}) {
        const Words want = ReferenceSample(texture, texels, shape.dimensions, shape.has_layers ? lane % 3 : 0, words,
                                           std::log2(longest) + step);
        nearest = std::min(nearest, std::fabs(got - __builtin_bit_cast(float, want[0])));
      }
      ASSERT_LE(nearest, 1e-5f) << form << ", lane " << lane;
    }
    RecordTested(form, level());
  }
}

// The faces in the order of CUarray_cubemap_face; where on one, by the guide's table.
TEST_P(TextureForms, Cubes) {
  Machine machine(level());
  struct Direction {
    float x, y, z;  // towards the place (s, t) of the face: 0.75, 0.25
  };
  constexpr Direction kDirections[6] = {{2, 1, -1}, {-2, 1, 1}, {1, 2, -1}, {1, -2, 1}, {1, 1, 2}, {-1, 1, -2}};
  const Texels texels({TexelKind::kFloat, 4, 1}, 8, 8, 12, 3, true, 21);
  for (const bool has_layers : {false, true}) {
    const std::string geometry = has_layers ? "acube" : "cube";
    for (const std::string mode : {"", "level.", "grad."}) {
      const std::string form = "tex." + mode + geometry + ".f32";
      const std::string place = has_layers ? "{%r11, %f0, %f1, %f2}" : "{%f0, %f1, %f2, %f2}";
      const std::string rest = mode == "level."  ? ", %f3"
                               : mode == "grad." ? ", {%f4, %f5, %f6, %f6}, {%f7, %f8, %f9, %f9}"
                                                 : "";
      ASSERT_TRUE(machine.Load(LaneKernel(
          "tex." + mode + geometry + ".v4.f32.f32 {%r20, %r21, %r22, %r23}, [%handle, " + place + "]" + rest + ";")));
      Texture texture = Make(texels);
      texture.is_normalized = true;
      texture.max_level = 10;
      Use(machine, texture);
      for (uint32_t lane = 0; lane < 32; ++lane) {
        const Direction& to = kDirections[lane % 6];
        const float scale = 0.5f + static_cast<float>(lane);
        SetWord(machine, lane, 0, to.x * scale);
        SetWord(machine, lane, 1, to.y * scale);
        SetWord(machine, lane, 2, to.z * scale);
        SetWord(machine, lane, 3, 1);  // the level
        // A step that is a quarter of the face's width: two elements, which is level 1. Across the face, and nothing
        // along the axis.
        for (unsigned i = 4; i < 10; ++i) SetWord(machine, lane, i, 0);
        const unsigned axis = lane % 6 / 2;
        SetWord(machine, lane, 4 + (axis == 0 ? 2 : 0), 2 * scale * 0.5f);
        SetLayer(machine, lane, lane % 3);
      }
      ASSERT_TRUE(Run(machine));
      const unsigned at_level = mode.empty() ? 0 : 1;
      for (uint32_t lane = 0; lane < 32; ++lane) {
        const uint32_t layer = (has_layers ? std::min(lane % 3, 1u) : 0) * 6 + lane % 6;
        const int64_t size = 8 >> at_level;
        Words want = {0, 0, 0, 0};
        want[0] = ChannelWord(texture, texels.At(at_level, size * 3 / 4, size / 4, layer), 0);
        ASSERT_EQ(ResultOf(machine, lane), want) << form << ", lane " << lane;
      }
      RecordTested(form, level());
    }
  }
}

// One channel of the four elements around a place, counter-clockwise from the lower left.
TEST_P(TextureForms, Gathers) {
  Machine machine(level());
  constexpr const char* kChannels[4] = {"r", "g", "b", "a"};
  for (const Shape& shape : {kShapes[1], kShapes[4]}) {
    for (unsigned channel = 0; channel < 4; ++channel) {
      const std::string form = std::string("tld4.") + kChannels[channel] + "." + shape.geometry + ".f32";
      ASSERT_TRUE(
          machine.Load(LaneKernel("tld4." + std::string(kChannels[channel]) + "." + shape.geometry +
                                  ".v4.u32.f32 {%r20, %r21, %r22, %r23}, [%handle, " + Braces(shape, "%f") + "];")));
      std::mt19937_64 random = RandomOf(form);
      const Texels texels({TexelKind::kUnsigned, 2, 4}, 9, 7, shape.has_layers ? 3 : 1, 1, shape.has_layers, 30);
      Texture texture = Make(texels);
      texture.reads_integers = true;
      Use(machine, texture);
      for (uint32_t lane = 0; lane < 32; ++lane) {
        SetWord(machine, lane, 0, static_cast<float>(random() % 1024) / 64 - 3);
        SetWord(machine, lane, 1, static_cast<float>(random() % 1024) / 64 - 3);
        SetLayer(machine, lane, lane % 3);
      }
      ASSERT_TRUE(Run(machine));
      for (uint32_t lane = 0; lane < 32; ++lane) {
        int64_t low[2];
        for (unsigned d = 0; d < 2; ++d) {
          const float at = machine.Read<float>(lane * kLaneBytes + 4 * d);
          low[d] = static_cast<int64_t>(std::floor(std::floor((at - 0.5) * 256 + 0.5) / 256));
        }
        const int64_t corners[4][2] = {{0, 1}, {1, 1}, {1, 0}, {0, 0}};
        Words want;
        for (unsigned i = 0; i < 4; ++i) {
          const int64_t element[3] = {low[0] + corners[i][0], low[1] + corners[i][1], 0};
          want[i] = ReferenceElement(texture, texels, 2, 0, shape.has_layers ? lane % 3 : 0, element)[channel];
        }
        ASSERT_EQ(ResultOf(machine, lane), want) << form << ", lane " << lane;
      }
      RecordTested(form, level());
    }
  }
}

TEST_P(TextureForms, SrgbIsMadeLinear) {
  Machine machine(level());
  const Texels texels({TexelKind::kUnsigned, 1, 4}, 64, 1, 1, 1, false, 40);
  Texture texture = Make(texels);
  texture.is_srgb = true;
  Use(machine, texture);
  ASSERT_TRUE(machine.Load(LaneKernel("tex.1d.v4.f32.f32 {%r20, %r21, %r22, %r23}, [%handle, {%f0}];")));
  for (uint32_t lane = 0; lane < 32; ++lane) SetWord(machine, lane, 0, static_cast<float>(lane));
  ASSERT_TRUE(Run(machine));
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (unsigned c = 0; c < 4; ++c) {
      const double value = static_cast<double>(static_cast<uint8_t>(texels.At(0, lane, 0, 0)[c])) / 255;
      const double want = c == 3 ? value : value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
      ASSERT_NEAR(__builtin_bit_cast(float, ResultOf(machine, lane)[c]), want, 1e-6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryLevel, TextureForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
