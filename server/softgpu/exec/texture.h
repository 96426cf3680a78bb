#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace outboard::softgpu {

// Textures and surfaces as kernels see them. All sizes are in elements unless it is said otherwise.

enum class TexelKind : uint8_t { kUnsigned, kSigned, kFloat };

// Elements of `channels` channels of 1, 2 or 4 bytes; floating point has 2 or 4.
struct TexelFormat {
  TexelKind kind = TexelKind::kFloat;
  uint32_t channel_bytes = 4;
  uint32_t channels = 1;

  uint32_t bytes() const { return channel_bytes * channels; }
};

// Elements in rows, rows in slices or layers.
struct TexelArray {
  std::byte* host = nullptr;  // of the first element; null where there is a device address
  uint64_t pitch = 0;         // bytes from one row to the next
  uint64_t slice_pitch = 0;   // bytes from one slice or layer to the next
  uint32_t width = 0;         // at least 1, as are the other sizes
  uint32_t height = 1;
  uint32_t depth = 1;           // slices or layers
  uint64_t device_address = 0;  // of the first element, where the memory is the program's and may go; else 0
};

enum class AddressMode : uint8_t { kWrap, kClamp, kMirror, kBorder };

struct Texture {
  uint64_t handle = 0;
  TexelFormat format;
  std::vector<TexelArray> levels;  // at least one, the most detailed first
  bool is_linear = false;          // memory in one row, read by element: what is outside of it is 0
  AddressMode address[3] = {AddressMode::kClamp, AddressMode::kClamp, AddressMode::kClamp};
  bool filters = false;         // between elements; not where integers come as they are
  bool filters_levels = false;  // between levels; likewise
  bool is_normalized = false;   // coordinates run from 0 to 1
  bool reads_integers = false;  // integers come as they are, instead of as floating point from 0 or -1 to 1
  bool is_srgb = false;         // of channels of 8 bits, of which the first three are converted
  float level_bias = 0, min_level = 0, max_level = 0;
  float border[4] = {0, 0, 0, 0};
  std::shared_ptr<const void> kept;  // what must live while it is used
};

struct Surface {
  uint64_t handle = 0;
  TexelFormat format;
  TexelArray array;
  std::shared_ptr<const void> kept;
};

// What one launch may use, each in order of the handles. Immutable.
struct TextureTable {
  std::vector<Texture> textures;
  std::vector<Surface> surfaces;
};

}  // namespace outboard::softgpu
