#pragma once

#include <cstddef>
#include <cstdint>

// What texture and surface instructions ask for. Also compiled for CPU levels above the baseline, so the same holds as
// for inst.h: no inline function that a debug build could emit as a shared symbol.

namespace outboard::softgpu {

struct WarpContext;

// The shapes that PTX names. An array (.a1d and so on) has layers; a cube's faces are six of them.
enum class Geometry : uint8_t { k1D, k2D, k3D, kArray1D, kArray2D, kCube, kArrayCube };

// Which level of a mipmapped texture is read, and how.
enum class TextureMode : uint8_t {
  kBase,    // the most detailed level
  kLevel,   // the level of detail is an operand
  kGrad,    // it follows from how fast the coordinates change
  kGather,  // one channel of the four elements that bilinear filtering would use
};

struct TextureRequest {
  uint64_t handle;
  Geometry geometry;
  TextureMode mode;
  bool integer_coordinates;  // elements, never normalised and never filtered
  uint32_t channel;          // of kGather
  uint32_t layer;
  float coordinates[3];
  int32_t elements[3];  // instead of `coordinates`
  float level;
  float dx[3], dy[3];
};

// Reads a texture for one lane: the four words that the instruction gives. Channels that the texture lacks are 0. False
// with WarpContext::fault set when there is no such texture, or its memory is not there any more. (Baseline code.)
bool ReadTexture(WarpContext& warp, uint32_t lane, const TextureRequest& request, uint32_t* words);

// What an access outside of a surface does.
enum class SurfaceBounds : uint8_t { kTrap, kClamp, kZero };

struct SurfaceRequest {
  uint64_t handle;
  Geometry geometry;
  SurfaceBounds bounds;
  uint32_t layer;
  int32_t place[3];  // the first in bytes
  uint32_t bytes;    // of the access
};

// The place of one lane's access to a surface. Null with `is_outside` when it is outside and is to read as zero, or to
// write nothing; null without it, and with WarpContext::fault set, when it is refused. (Baseline code.)
std::byte* FindInSurface(WarpContext& warp, uint32_t lane, const SurfaceRequest& request, bool* is_outside);

// What txq and suq ask for.
enum class TextureQuery : uint8_t { kWidth, kHeight, kDepth, kArraySize, kLevels, kNormalizedCoordinates };

// False with WarpContext::fault set when there is no such texture or surface. Sizes are those of `level`. (Baseline
// code.)
bool QueryTexture(WarpContext& warp, uint32_t lane, uint64_t handle, TextureQuery query, uint32_t level,
                  uint32_t* value);
bool QuerySurface(WarpContext& warp, uint32_t lane, uint64_t handle, TextureQuery query, uint32_t* value);

}  // namespace outboard::softgpu
