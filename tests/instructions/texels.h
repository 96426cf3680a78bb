#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "server/softgpu/exec/texture.h"
#include "tests/instructions/machine.h"

// Textures on the bench, and what the CUDA C++ Programming Guide says that reading them gives.

namespace outboard::softgpu::testing {

using Words = std::array<uint32_t, 4>;

// Elements of random bytes with a gap behind each row, in levels that are half as large each.
class Texels {
 public:
  Texels(const TexelFormat& format, uint32_t width, uint32_t height, uint32_t depth, unsigned levels, bool has_layers,
         uint64_t seed);

  const TexelFormat& format() const { return format_; }
  const std::vector<TexelArray>& levels() const { return levels_; }
  const std::byte* At(unsigned level, int64_t x, int64_t y, int64_t z) const;

 private:
  const TexelFormat format_;
  std::vector<std::vector<std::byte>> bytes_;
  std::vector<TexelArray> levels_;
};

// What a channel of an element is as the number that a texture gives, by its read mode; the bits of a float, or a whole
// number.
uint32_t ChannelWord(const Texture& texture, const std::byte* element, unsigned channel);

// Reading texture `texture` of `dimensions` dimensions at coordinates. `layer` counts where there are fewer than 3.
// Filtered words may be off by the last bits of a float.
Words ReferenceSample(const Texture& texture, const Texels& texels, unsigned dimensions, uint32_t layer,
                      const float* coordinates, double level);
Words ReferenceElement(const Texture& texture, const Texels& texels, unsigned dimensions, unsigned level,
                       uint32_t layer, const int64_t* element);

// A kernel that reads the words of its lane, does `instruction`, and stores what is in %r20 to %r23. The words are
// there as %f0 to %f11 and %r0 to %r11, the handle as %handle.
std::string LaneKernel(const std::string& instruction);
inline constexpr uint64_t kLaneBytes = 128;    // of one lane's words
inline constexpr uint64_t kResultOffset = 64;  // of the results in them

}  // namespace outboard::softgpu::testing
