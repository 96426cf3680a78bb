#include "tests/instructions/texels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/instructions/inputs.h"

namespace outboard::softgpu::testing {
namespace {

// The guide's table of address modes, for the whole number of an element; -1 for the border.
int64_t Addressed(const Texture& texture, unsigned dimension, int64_t i, int64_t size) {
  AddressMode mode = texture.address[dimension];
  if (!texture.is_normalized && (mode == AddressMode::kWrap || mode == AddressMode::kMirror))
    mode = AddressMode::kClamp;
  if (mode == AddressMode::kBorder) return i < 0 || i >= size ? -1 : i;
  if (mode == AddressMode::kClamp) return std::min(std::max<int64_t>(i, 0), size - 1);
  const double turns = std::floor(static_cast<double>(i) / static_cast<double>(size));
  const int64_t rest = i - static_cast<int64_t>(turns) * size;
  const bool is_mirrored = mode == AddressMode::kMirror && std::fmod(turns, 2.0) != 0;
  return is_mirrored ? size - 1 - rest : rest;
}

// What the bits of a number of 16 bits stand for, if it is finite.
float HalfValue(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                   : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return (bits & 0x8000) != 0 ? -size : size;
}

int64_t SizeOf(const TexelArray& array, unsigned dimension) {
  return dimension == 0 ? array.width : dimension == 1 ? array.height : array.depth;
}

// tex(x) = (1 - a) T[i] + a T[i + 1], one dimension after the other, the last one first.
long double Lerp(const Texture& texture, const Texels& texels, unsigned dimensions, unsigned left, unsigned level,
                 uint32_t layer, const float* coordinates, int64_t* element, unsigned channel) {
  if (left == 0) {
    const Words words = ReferenceElement(texture, texels, dimensions, level, layer, element);
    return __builtin_bit_cast(float, words[channel]);
  }
  const unsigned d = left - 1;
  const int64_t size = SizeOf(texels.levels()[level], d);
  const double scaled = texture.is_normalized ? double{coordinates[d]} * static_cast<double>(size) : coordinates[d];
  const double shifted = scaled - 0.5, whole = std::floor(shifted);
  const double a = std::floor((shifted - whole) * 256 + 0.5) / 256;
  long double sum = 0;
  for (const int upper : {0, 1}) {
    const double weight = upper != 0 ? a : 1 - a;
    if (weight == 0) continue;
    element[d] = static_cast<int64_t>(whole) + upper;
    sum += weight * Lerp(texture, texels, dimensions, d, level, layer, coordinates, element, channel);
  }
  return sum;
}

}  // namespace

Texels::Texels(const TexelFormat& format, uint32_t width, uint32_t height, uint32_t depth, unsigned levels,
               bool has_layers, uint64_t seed)
    : format_(format) {
  std::mt19937_64 random = RandomOf("texels " + std::to_string(seed));
  for (unsigned level = 0; level < levels; ++level) {
    TexelArray array;
    array.width = std::max(width >> level, 1u);
    array.height = std::max(height >> level, 1u);
    array.depth = has_layers ? depth : std::max(depth >> level, 1u);
    array.pitch = uint64_t{array.width} * format.bytes() + 16;
    array.slice_pitch = array.pitch * array.height + 32;
    auto& bytes = bytes_.emplace_back(array.slice_pitch * array.depth);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    if (format.kind == TexelKind::kFloat) {
      // Numbers of about one size, so that their mean is as exact as they are.
      for (size_t i = 0; i + format.channel_bytes <= bytes.size(); i += format.channel_bytes) {
        const auto half = static_cast<uint16_t>((random() & 0x83ff) | (12 + random() % 6) << 10);
        const float value = HalfValue(half);
        if (format.channel_bytes == 4) {
          std::memcpy(&bytes[i], &value, 4);
        } else {
          std::memcpy(&bytes[i], &half, 2);
        }
      }
    }
    array.host = bytes.data();
    levels_.push_back(array);
  }
}

const std::byte* Texels::At(unsigned level, int64_t x, int64_t y, int64_t z) const {
  const TexelArray& array = levels_[level];
  return array.host + static_cast<uint64_t>(z) * array.slice_pitch + static_cast<uint64_t>(y) * array.pitch +
         static_cast<uint64_t>(x) * format_.bytes();
}

uint32_t ChannelWord(const Texture& texture, const std::byte* element, unsigned channel) {
  const TexelFormat& format = texture.format;
  const std::byte* const at = element + channel * format.channel_bytes;
  const auto as = [at](auto value) {
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  const auto bits = [](float value) { return __builtin_bit_cast(uint32_t, value); };
  const bool promotes = !texture.reads_integers;
  switch (format.kind) {
    case TexelKind::kFloat:
      return bits(format.channel_bytes == 2 ? HalfValue(as(uint16_t{})) : as(float{}));
    case TexelKind::kUnsigned:
      if (format.channel_bytes == 4) return as(uint32_t{});
      if (format.channel_bytes == 2) return promotes ? bits(as(uint16_t{}) / 65535.0f) : as(uint16_t{});
      return promotes ? bits(as(uint8_t{}) / 255.0f) : as(uint8_t{});
    case TexelKind::kSigned:
      if (format.channel_bytes == 4) return as(uint32_t{});
      if (format.channel_bytes == 2) {
        return promotes ? bits(std::max(as(int16_t{}) / 32767.0f, -1.0f))
                        : static_cast<uint32_t>(int32_t{as(int16_t{})});
      }
      return promotes ? bits(std::max(as(int8_t{}) / 127.0f, -1.0f)) : static_cast<uint32_t>(int32_t{as(int8_t{})});
  }
  return 0;
}

Words ReferenceElement(const Texture& texture, const Texels& texels, unsigned dimensions, unsigned level,
                       uint32_t layer, const int64_t* element) {
  Words words = {0, 0, 0, 0};
  int64_t at[3] = {0, 0, layer};
  bool is_border = false;
  for (unsigned d = 0; d < dimensions; ++d) {
    at[d] = Addressed(texture, d, element[d], SizeOf(texels.levels()[level], d));
    is_border |= at[d] < 0;
  }
  for (unsigned c = 0; c < texels.format().channels; ++c) {
    words[c] = is_border ? __builtin_bit_cast(uint32_t, texture.border[c])
                         : ChannelWord(texture, texels.At(level, at[0], at[1], at[2]), c);
  }
  return words;
}

Words ReferenceSample(const Texture& texture, const Texels& texels, unsigned dimensions, uint32_t layer,
                      const float* coordinates, double level) {
  level = std::min(std::max(level + texture.level_bias, double{texture.min_level}), double{texture.max_level});
  level = std::min(std::max(level, 0.0), static_cast<double>(texels.levels().size() - 1));
  const double eighths = std::floor(level * 256 + 0.5) / 256;
  const auto first = static_cast<unsigned>(texture.filters_levels ? std::floor(eighths) : std::floor(level + 0.5));
  const double rest = texture.filters_levels ? eighths - first : 0;
  Words words = {0, 0, 0, 0};
  if (!texture.filters && rest == 0) {
    int64_t element[3] = {0, 0, 0};
    for (unsigned d = 0; d < dimensions; ++d) {
      const double size = static_cast<double>(SizeOf(texels.levels()[first], d));
      element[d] = static_cast<int64_t>(std::floor(texture.is_normalized ? coordinates[d] * size : coordinates[d]));
    }
    return ReferenceElement(texture, texels, dimensions, first, layer, element);
  }
  Texture nearest = texture;
  nearest.filters_levels = false;
  nearest.level_bias = nearest.min_level = 0;
  nearest.max_level = 100;
  for (unsigned c = 0; c < texels.format().channels; ++c) {
    long double sum = 0;
    for (const unsigned next : {0u, 1u}) {
      const double weight = next != 0 ? rest : 1 - rest;
      if (weight == 0) continue;
      int64_t element[3] = {0, 0, 0};
      if (texture.filters) {
        sum += weight * Lerp(texture, texels, dimensions, dimensions, first + next, layer, coordinates, element, c);
      } else {
        const Words here = ReferenceSample(nearest, texels, dimensions, layer, coordinates, first + next);
        sum += weight * __builtin_bit_cast(float, here[c]);
      }
    }
    words[c] = __builtin_bit_cast(uint32_t, static_cast<float>(sum));
  }
  return words;
}

std::string LaneKernel(const std::string& instruction) {
  std::string text = R"(
.visible .entry lanes(.param .u64 lanes_data, .param .u64 lanes_handle)
{
  .reg .pred %p<4>;
  .reg .b16 %h<8>;
  .reg .f32 %f<24>;
  .reg .b32 %r<40>;
  .reg .b64 %rd<8>;
  .reg .b64 %handle;
  ld.param.u64 %rd1, [lanes_data];
  ld.param.u64 %handle, [lanes_handle];
  mov.u32 %r30, %tid.x;
  mul.wide.u32 %rd2, %r30, 128;
  add.s64 %rd3, %rd1, %rd2;
  setp.lt.u32 %p2, %r30, 1000;
  setp.lt.u32 %p3, %r30, 7;
)";
  for (int i = 0; i < 12; ++i) {
    const std::string number = std::to_string(i), place = std::to_string(4 * i);
    text += "  ld.global.f32 %f" + number + ", [%rd3+" + place + "];\n";
    text += "  ld.global.u32 %r" + number + ", [%rd3+" + place + "];\n";
  }
  for (int i = 20; i < 24; ++i) text += "  mov.u32 %r" + std::to_string(i) + ", 0x5a5a5a5a;\n";
  text += "  " + instruction + "\n";
  return text + "  st.global.v4.b32 [%rd3+64], {%r20, %r21, %r22, %r23};\n  ret;\n}\n";
}

}  // namespace outboard::softgpu::testing
