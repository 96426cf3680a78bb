// Textures and surfaces: addressing, filtering and conversion, one lane at a time (CUDA C++ Programming Guide, appendix
// "Texture Fetching"; PTX ISA, section 9.7.11).

#include "server/softgpu/exec/texture.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "server/softgpu/exec/inst.h"
#include "server/softgpu/exec/memory.h"
#include "server/softgpu/exec/texture_access.h"

namespace outboard::softgpu {
namespace {

// Weights have 8 bits of fraction, so that 1 can be said exactly.
constexpr int64_t kOne = 256;
// Far outside of every texture, and within the reach of whole numbers.
constexpr double kFar = 1 << 30;

bool Refuse(WarpContext& warp, uint32_t lane, AccessError error, uint64_t address) {
  warp.fault = {error, lane, address};
  return false;
}

template <class Object>
const Object* Find(const std::vector<Object>& objects, uint64_t handle) {
  const auto found = std::lower_bound(objects.begin(), objects.end(), handle,
                                      [](const Object& object, uint64_t wanted) { return object.handle < wanted; });
  return found != objects.end() && found->handle == handle ? &*found : nullptr;
}
const Texture* FindTexture(const WarpContext& warp, uint64_t handle) {
  return warp.textures == nullptr ? nullptr : Find(warp.textures->textures, handle);
}
const Surface* FindSurface(const WarpContext& warp, uint64_t handle) {
  return warp.textures == nullptr ? nullptr : Find(warp.textures->surfaces, handle);
}

// The element that coordinate `i` of a dimension of `size` elements means; -1 for the border.
int64_t Address(AddressMode mode, int64_t i, int64_t size) {
  switch (mode) {
    case AddressMode::kClamp:
      return std::clamp<int64_t>(i, 0, size - 1);
    case AddressMode::kBorder:
      return i >= 0 && i < size ? i : -1;
    case AddressMode::kWrap: {
      const int64_t rest = i % size;
      return rest < 0 ? rest + size : rest;
    }
    case AddressMode::kMirror: {
      int64_t rest = i % (2 * size);
      if (rest < 0) rest += 2 * size;
      return rest < size ? rest : 2 * size - 1 - rest;
    }
  }
  return -1;
}

float HalfToFloat(uint32_t half) {
  const uint32_t sign = (half & 0x8000) << 16, exponent = (half >> 10) & 31, fraction = half & 0x3ff;
  if (exponent == 0) {
    const float value = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -value : value;
  }
  const uint32_t bits = exponent == 31 ? 0x7f800000 | fraction << 13 : (exponent + 112) << 23 | fraction << 13;
  return __builtin_bit_cast(float, sign | bits);
}

// What an sRGB channel stands for (IEC 61966-2-1).
double FromSrgb(double value) { return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4); }

bool GivesIntegers(const Texture& texture) {
  return texture.format.kind != TexelKind::kFloat && (texture.reads_integers || texture.format.channel_bytes == 4);
}

// One channel as the word that an instruction gives.
uint32_t Convert(const Texture& texture, const std::byte* from, uint32_t channel) {
  const TexelFormat& format = texture.format;
  uint32_t bits = 0;
  std::memcpy(&bits, from, format.channel_bytes);
  const uint32_t width = 8 * format.channel_bytes;
  if (format.kind == TexelKind::kFloat) {
    return format.channel_bytes == 2 ? __builtin_bit_cast(uint32_t, HalfToFloat(bits)) : bits;
  }
  if (format.kind == TexelKind::kSigned) {
    const int32_t value = static_cast<int32_t>(bits << (32 - width)) >> (32 - width);
    if (GivesIntegers(texture)) return static_cast<uint32_t>(value);
    const double highest = (1 << (width - 1)) - 1;
    return __builtin_bit_cast(uint32_t, static_cast<float>(std::max(value / highest, -1.0)));
  }
  if (GivesIntegers(texture)) return bits;
  const double value = bits / static_cast<double>((uint64_t{1} << width) - 1);
  const bool is_srgb = texture.is_srgb && channel < 3;
  return __builtin_bit_cast(uint32_t, static_cast<float>(is_srgb ? FromSrgb(value) : value));
}

// The words of one element.
struct Texel {
  uint32_t words[4] = {0, 0, 0, 0};
};

// One level of a texture, as one lane reads it.
class Reader {
 public:
  Reader(WarpContext& warp, uint32_t lane, const Texture& texture, const TexelArray& array, unsigned dimensions,
         uint32_t layer)
      : warp_(warp), lane_(lane), texture_(texture), array_(array), dimensions_(dimensions), layer_(layer) {}

  bool refused() const { return refused_; }

  // The element that coordinates mean, by the texture's address modes.
  Texel At(const int64_t* coordinates) {
    int64_t at[3] = {0, 0, 0};
    for (unsigned d = 0; d < dimensions_; ++d) {
      at[d] = Address(ModeOf(d), coordinates[d], SizeOf(d));
      if (at[d] < 0) return Border();
    }
    if (dimensions_ < 3) at[2] = layer_;
    return Load(static_cast<uint64_t>(at[2]) * array_.slice_pitch + static_cast<uint64_t>(at[1]) * array_.pitch +
                static_cast<uint64_t>(at[0]) * texture_.format.bytes());
  }

  // The element that coordinates are in.
  Texel Nearest(const float* coordinates) {
    int64_t at[3] = {0, 0, 0};
    for (unsigned d = 0; d < dimensions_; ++d) at[d] = static_cast<int64_t>(std::floor(Scaled(coordinates[d], d)));
    return At(at);
  }

  // The same as numbers, or the mean of the elements around coordinates.
  void Sample(const float* coordinates, double* values) {
    if (!texture_.filters) {
      const Texel texel = Nearest(coordinates);
      for (int c = 0; c < 4; ++c) values[c] = __builtin_bit_cast(float, texel.words[c]);
      return;
    }
    int64_t at[3] = {0, 0, 0}, fraction[3] = {0, 0, 0};
    for (unsigned d = 0; d < dimensions_; ++d) Split(coordinates[d], d, &at[d], &fraction[d]);
    std::fill(values, values + 4, 0);
    for (unsigned corner = 0; corner < 1u << dimensions_; ++corner) {
      int64_t here[3] = {0, 0, 0}, weight = 1, whole = 1;
      for (unsigned d = 0; d < dimensions_; ++d) {
        const bool is_upper = (corner >> d & 1) != 0;
        here[d] = at[d] + is_upper;
        weight *= is_upper ? fraction[d] : kOne - fraction[d];
        whole *= kOne;
      }
      // What does not count is not read: it may be infinite.
      if (weight == 0) continue;
      const Texel texel = At(here);
      for (int c = 0; c < 4; ++c) {
        values[c] += __builtin_bit_cast(float, texel.words[c]) * (static_cast<double>(weight) / whole);
      }
    }
  }

  // The same elements, without their mean: one channel of each, counter-clockwise from the lower left.
  void Gather(const float* coordinates, uint32_t channel, uint32_t* words) {
    constexpr int64_t kCorners[4][2] = {{0, 1}, {1, 1}, {1, 0}, {0, 0}};
    int64_t at[2] = {0, 0}, fraction = 0;
    for (unsigned d = 0; d < 2; ++d) Split(coordinates[d], d, &at[d], &fraction);
    for (int i = 0; i < 4; ++i) {
      const int64_t here[2] = {at[0] + kCorners[i][0], at[1] + kCorners[i][1]};
      words[i] = At(here).words[channel];
    }
  }

 private:
  Texel Load(uint64_t offset) {
    Texel texel;
    const std::byte* element;
    if (array_.device_address == 0) {
      element = array_.host + offset;
    } else {
      const uint64_t address = array_.device_address + offset;
      const Extent* extent = FindExtent(warp_, address);
      if (extent == nullptr || extent->end - address < texture_.format.bytes()) {
        refused_ = true;
        Refuse(warp_, lane_, AccessError::kIllegal, address);
        return texel;
      }
      element = extent->host + (address - extent->begin);
    }
    for (uint32_t c = 0; c < texture_.format.channels; ++c) {
      texel.words[c] = Convert(texture_, element + c * texture_.format.channel_bytes, c);
    }
    return texel;
  }
  int64_t SizeOf(unsigned dimension) const {
    return dimension == 0 ? array_.width : dimension == 1 ? array_.height : array_.depth;
  }
  // Wrapping and mirroring are for coordinates that are normalised.
  AddressMode ModeOf(unsigned dimension) const {
    const AddressMode mode = texture_.address[dimension];
    const bool repeats = mode == AddressMode::kWrap || mode == AddressMode::kMirror;
    return repeats && !texture_.is_normalized ? AddressMode::kClamp : mode;
  }
  // A coordinate in elements.
  double Scaled(float coordinate, unsigned dimension) const {
    const double scaled = texture_.is_normalized ? double{coordinate} * SizeOf(dimension) : double{coordinate};
    return std::isnan(scaled) ? 0 : std::clamp(scaled, -kFar, kFar);
  }
  // The lower one of the two elements around a coordinate, and how far it is from there.
  void Split(float coordinate, unsigned dimension, int64_t* element, int64_t* fraction) const {
    const auto fixed = static_cast<int64_t>(std::floor((Scaled(coordinate, dimension) - 0.5) * kOne + 0.5));
    *element = fixed >> 8;
    *fraction = fixed & (kOne - 1);
  }
  Texel Border() const {
    Texel texel;
    for (uint32_t c = 0; c < texture_.format.channels; ++c) {
      texel.words[c] = __builtin_bit_cast(uint32_t, texture_.border[c]);
    }
    return texel;
  }

  WarpContext& warp_;
  const uint32_t lane_;
  const Texture& texture_;
  const TexelArray& array_;
  const unsigned dimensions_;
  const uint32_t layer_;
  bool refused_ = false;
};

unsigned DimensionsOf(Geometry geometry) {
  switch (geometry) {
    case Geometry::k1D:
    case Geometry::kArray1D:
      return 1;
    case Geometry::k3D:
      return 3;
    default:
      return 2;
  }
}

bool HasLayers(Geometry geometry) {
  return geometry == Geometry::kArray1D || geometry == Geometry::kArray2D || geometry == Geometry::kArrayCube;
}

bool IsCube(Geometry geometry) { return geometry == Geometry::kCube || geometry == Geometry::kArrayCube; }

// The face of a cube that a direction points to, and where on it, with how these change when the direction does.
uint32_t ToFace(TextureRequest* request) {
  const float* const v = request->coordinates;
  const float size[3] = {std::fabs(v[0]), std::fabs(v[1]), std::fabs(v[2])};
  const int axis = size[2] >= size[0] && size[2] >= size[1] ? 2 : size[1] >= size[0] ? 1 : 0;
  const bool is_negative = std::signbit(v[axis]);
  // Per face: which component s and t are, and their signs.
  struct Face {
    int s, t;
    float s_sign, t_sign;
  };
  constexpr Face kFaces[6] = {{2, 1, -1, -1}, {2, 1, 1, -1}, {0, 2, 1, 1},
                              {0, 2, 1, -1},  {0, 1, 1, -1}, {0, 1, -1, -1}};
  const uint32_t number = 2 * static_cast<uint32_t>(axis) + (is_negative ? 1 : 0);
  const Face& face = kFaces[number];
  const double m = size[axis], sign = is_negative ? -1 : 1;
  const double s = face.s_sign * double{v[face.s]}, t = face.t_sign * double{v[face.t]};
  for (float* const change : {request->dx, request->dy}) {
    const double dm = sign * change[axis];
    const double ds = face.s_sign * double{change[face.s]}, dt = face.t_sign * double{change[face.t]};
    change[0] = static_cast<float>((ds * m - s * dm) / (2 * m * m));
    change[1] = static_cast<float>((dt * m - t * dm) / (2 * m * m));
  }
  request->coordinates[0] = static_cast<float>((s / m + 1) / 2);
  request->coordinates[1] = static_cast<float>((t / m + 1) / 2);
  return number;
}

// How many elements of the most detailed level a step to the next pixel covers, as a power of two.
double LevelOfDetail(const Texture& texture, const TextureRequest& request, unsigned dimensions) {
  const TexelArray& base = texture.levels.front();
  const double sizes[3] = {double(base.width), double(base.height), double(base.depth)};
  double largest = 0;
  for (const float* change : {request.dx, request.dy}) {
    double square = 0;
    for (unsigned d = 0; d < dimensions; ++d) {
      const double step = change[d] * (texture.is_normalized ? sizes[d] : 1.0);
      square += step * step;
    }
    largest = std::max(largest, square);
  }
  return std::log2(largest) / 2;
}

double ChooseLevel(const Texture& texture, const TextureRequest& request, unsigned dimensions) {
  double level = 0;
  if (request.mode == TextureMode::kLevel) level = request.level;
  if (request.mode == TextureMode::kGrad) level = LevelOfDetail(texture, request, dimensions);
  if (std::isnan(level)) level = 0;
  level = std::min(std::max(level + texture.level_bias, double{texture.min_level}), double{texture.max_level});
  return std::clamp(level, 0.0, static_cast<double>(texture.levels.size() - 1));
}

uint32_t SizeOf(const TexelArray& array, TextureQuery query) {
  switch (query) {
    case TextureQuery::kWidth:
      return array.width;
    case TextureQuery::kHeight:
      return array.height;
    default:
      return array.depth;
  }
}

}  // namespace

bool ReadTexture(WarpContext& warp, uint32_t lane, const TextureRequest& given, uint32_t* words) {
  TextureRequest request = given;
  const Texture* const texture = FindTexture(warp, request.handle);
  if (texture == nullptr) return Refuse(warp, lane, AccessError::kIllegal, request.handle);
  const unsigned dimensions = DimensionsOf(request.geometry);
  uint32_t layer = HasLayers(request.geometry) ? request.layer : 0;
  const uint32_t layers = texture->levels.front().depth;
  if (IsCube(request.geometry)) {
    const uint32_t face = ToFace(&request);
    layer = std::min(layer, std::max(layers / 6, 1u) - 1) * 6 + face;
  }
  if (dimensions < 3) layer = std::min(layer, layers - 1);
  const auto reader = [&](size_t level) {
    return Reader(warp, lane, *texture, texture->levels[level], dimensions, layer);
  };

  if (texture->is_linear) {
    // There is one row, and what is outside of it reads as 0.
    const double coordinate = request.integer_coordinates ? request.elements[0] : std::floor(request.coordinates[0]);
    std::fill(words, words + 4, 0);
    if (!(coordinate >= 0 && coordinate < texture->levels.front().width)) return true;
    const int64_t at[3] = {static_cast<int64_t>(coordinate), 0, 0};
    Reader row = reader(0);
    const Texel texel = row.At(at);
    std::copy(texel.words, texel.words + 4, words);
    return !row.refused();
  }
  if (request.integer_coordinates) {
    const int64_t at[3] = {request.elements[0], request.elements[1], request.elements[2]};
    Reader base = reader(0);
    const Texel texel = base.At(at);
    std::copy(texel.words, texel.words + 4, words);
    return !base.refused();
  }
  if (request.mode == TextureMode::kGather) {
    Reader base = reader(0);
    base.Gather(request.coordinates, request.channel, words);
    return !base.refused();
  }

  const double level = ChooseLevel(*texture, request, dimensions);
  const auto fixed = static_cast<int64_t>(std::floor(level * kOne + 0.5));
  const int64_t fraction = texture->filters_levels ? fixed % kOne : 0;
  const auto first = static_cast<size_t>(texture->filters_levels ? fixed / kOne : std::floor(level + 0.5));
  Reader here = reader(first);
  if (!texture->filters && fraction == 0) {
    // As it is: a word may be no number.
    const Texel texel = here.Nearest(request.coordinates);
    std::copy(texel.words, texel.words + 4, words);
    return !here.refused();
  }
  double values[4], more[4];
  here.Sample(request.coordinates, values);
  if (fraction != 0) {
    Reader next = reader(first + 1);
    next.Sample(request.coordinates, more);
    for (int c = 0; c < 4; ++c) values[c] = (values[c] * (kOne - fraction) + more[c] * fraction) / kOne;
    if (next.refused()) return false;
  }
  for (int c = 0; c < 4; ++c) words[c] = __builtin_bit_cast(uint32_t, static_cast<float>(values[c]));
  return !here.refused();
}

std::byte* FindInSurface(WarpContext& warp, uint32_t lane, const SurfaceRequest& request, bool* is_outside) {
  *is_outside = false;
  const Surface* const surface = FindSurface(warp, request.handle);
  if (surface == nullptr) {
    Refuse(warp, lane, AccessError::kIllegal, request.handle);
    return nullptr;
  }
  const TexelArray& array = surface->array;
  const unsigned dimensions = DimensionsOf(request.geometry);
  const int64_t row = int64_t{array.width} * surface->format.bytes();
  int64_t at[3] = {request.place[0], dimensions > 1 ? request.place[1] : 0, dimensions > 2 ? request.place[2] : 0};
  if (dimensions < 3) at[2] = HasLayers(request.geometry) ? int64_t{request.layer} : 0;
  const int64_t last[3] = {row - request.bytes, int64_t{array.height} - 1, int64_t{array.depth} - 1};
  if (at[0] % request.bytes != 0) {
    Refuse(warp, lane, AccessError::kMisaligned, static_cast<uint64_t>(at[0]));
    return nullptr;
  }
  for (int d = 0; d < 3; ++d) {
    if (at[d] >= 0 && at[d] <= last[d]) continue;
    if (request.bounds == SurfaceBounds::kTrap || last[d] < 0) {
      Refuse(warp, lane, AccessError::kOutside, static_cast<uint64_t>(at[d]));
      return nullptr;
    }
    if (request.bounds == SurfaceBounds::kZero) {
      *is_outside = true;
      return nullptr;
    }
    at[d] = at[d] < 0 ? 0 : last[d];
  }
  return array.host + static_cast<uint64_t>(at[2]) * array.slice_pitch + static_cast<uint64_t>(at[1]) * array.pitch +
         static_cast<uint64_t>(at[0]);
}

bool QueryTexture(WarpContext& warp, uint32_t lane, uint64_t handle, TextureQuery query, uint32_t level,
                  uint32_t* value) {
  const Texture* const texture = FindTexture(warp, handle);
  if (texture == nullptr) return Refuse(warp, lane, AccessError::kIllegal, handle);
  const auto levels = static_cast<uint32_t>(texture->levels.size());
  if (query == TextureQuery::kLevels) {
    *value = levels;
  } else if (query == TextureQuery::kNormalizedCoordinates) {
    *value = texture->is_normalized ? 1 : 0;
  } else {
    *value = SizeOf(texture->levels[std::min(level, levels - 1)], query);
  }
  return true;
}

bool QuerySurface(WarpContext& warp, uint32_t lane, uint64_t handle, TextureQuery query, uint32_t* value) {
  const Surface* const surface = FindSurface(warp, handle);
  if (surface == nullptr) return Refuse(warp, lane, AccessError::kIllegal, handle);
  *value = SizeOf(surface->array, query);
  return true;
}

}  // namespace outboard::softgpu
