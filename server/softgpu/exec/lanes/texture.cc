// Textures and surfaces (PTX ISA, sections 9.7.10 and 9.7.11). What they mean is in exec/texture.cc, one lane at a time
// for all CPU levels; here operands are taken from rows and results put there.
//
// The operands are a list of slots at WarpContext::operands + Inst::imm, in the order in which the handlers read it.

#include "server/softgpu/exec/lanes/access.h"
#include "server/softgpu/exec/lanes/levels.h"
#include "server/softgpu/exec/texture_access.h"

namespace outboard::softgpu {
namespace {

constexpr u32 DimensionsOf(Geometry geometry) {
  switch (geometry) {
    case Geometry::k1D:
    case Geometry::kArray1D:
      return 1;
    case Geometry::k2D:
    case Geometry::kArray2D:
      return 2;
    default:
      return 3;
  }
}
constexpr bool HasLayers(Geometry geometry) {
  return geometry == Geometry::kArray1D || geometry == Geometry::kArray2D || geometry == Geometry::kArrayCube;
}

// The operands of one instruction.
class Operands {
 public:
  Operands(const Inst& inst, WarpContext& warp) : warp_(warp), next_(warp.operands + inst.imm) {}
  Slot Next() { return *next_++; }
  template <class T>
  const T* NextRow() {
    return Row<const T>(warp_, Next());
  }

 private:
  WarpContext& warp_;
  const Slot* next_;
};

// Slots: four results, the predicate that says whether the texture is there (all of it is), the handle, the layer,
// coordinates, and the level or two gradients.
template <TextureMode kMode, Geometry kGeometry, class Coordinate, u32 kChannel = 0>
void Sample(const Inst& inst, WarpContext& warp, u32 mask) {
  constexpr u32 kDimensions = DimensionsOf(kGeometry);
  Operands operands(inst, warp);
  Slot results[4];
  for (Slot& slot : results) slot = operands.Next();
  const Slot is_resident = operands.Next();
  const u64* handles = operands.NextRow<u64>();
  const u32* layers = HasLayers(kGeometry) ? operands.NextRow<u32>() : nullptr;
  const Coordinate* coordinates[kDimensions];
  for (u32 d = 0; d < kDimensions; ++d) coordinates[d] = operands.NextRow<Coordinate>();
  const f32* levels = kMode == TextureMode::kLevel ? operands.NextRow<f32>() : nullptr;
  const f32* gradients[2 * kDimensions] = {};
  if (kMode == TextureMode::kGrad) {
    for (const f32*& row : gradients) row = operands.NextRow<f32>();
  }
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(__builtin_ctz(rest));
    TextureRequest request = {};
    request.handle = handles[lane];
    request.geometry = kGeometry;
    request.mode = kMode;
    request.integer_coordinates = std::is_same_v<Coordinate, s32>;
    request.channel = kChannel;
    if (layers != nullptr) request.layer = layers[lane];
    for (u32 d = 0; d < kDimensions; ++d) {
      if constexpr (std::is_same_v<Coordinate, s32>) {
        request.elements[d] = coordinates[d][lane];
      } else {
        request.coordinates[d] = coordinates[d][lane];
      }
      if (kMode == TextureMode::kGrad) {
        request.dx[d] = gradients[d][lane];
        request.dy[d] = gradients[kDimensions + d][lane];
      }
    }
    if (levels != nullptr) request.level = levels[lane];
    u32 words[4];
    if (!ReadTexture(warp, lane, request, words)) return;
    for (int i = 0; i < 4; ++i) {
      if (results[i] != kNoSlot) Row<u32>(warp, results[i])[lane] = words[i];
    }
  }
  if (is_resident != kNoSlot) Predicate(warp, is_resident) |= mask;
}

// Slots: the handle, the layer, coordinates, and as many elements as the access has. Inst::extra: SurfaceBounds.
template <Geometry kGeometry, class T, u32 kWidth, bool kWrites>
void AccessSurface(const Inst& inst, WarpContext& warp, u32 mask) {
  using S = typename Storage<T>::type;
  constexpr u32 kDimensions = DimensionsOf(kGeometry);
  Operands operands(inst, warp);
  const u64* handles = operands.NextRow<u64>();
  const u32* layers = HasLayers(kGeometry) ? operands.NextRow<u32>() : nullptr;
  const s32* coordinates[kDimensions];
  for (u32 d = 0; d < kDimensions; ++d) coordinates[d] = operands.NextRow<s32>();
  Slot elements[kWidth];
  for (Slot& slot : elements) slot = operands.Next();
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(__builtin_ctz(rest));
    SurfaceRequest request = {};
    request.handle = handles[lane];
    request.geometry = kGeometry;
    request.bounds = static_cast<SurfaceBounds>(inst.extra);
    request.bytes = kWidth * sizeof(T);
    if (layers != nullptr) request.layer = layers[lane];
    for (u32 d = 0; d < kDimensions; ++d) request.place[d] = coordinates[d][lane];
    bool is_outside;
    std::byte* const place = FindInSurface(warp, lane, request, &is_outside);
    if (place == nullptr && !is_outside) return;
    if (kWrites && is_outside) continue;
    for (u32 i = 0; i < kWidth; ++i) {
      if (elements[i] == kNoSlot) continue;
      S* const row = Row<S>(warp, elements[i]);
      if constexpr (kWrites) {
        StoreTo(place + i * sizeof(T), static_cast<T>(row[lane]));
      } else {
        row[lane] = is_outside ? S{0} : static_cast<S>(LoadFrom<T>(place + i * sizeof(T)));
      }
    }
  }
}

// Slots: the result, the handle, and the level if the form has one.
template <bool kIsSurface, TextureQuery kQuery, bool kHasLevel>
void Query(const Inst& inst, WarpContext& warp, u32 mask) {
  Operands operands(inst, warp);
  const Slot result = operands.Next();
  const u64* handles = operands.NextRow<u64>();
  const u32* levels = kHasLevel ? operands.NextRow<u32>() : nullptr;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(__builtin_ctz(rest));
    u32 value;
    const bool is_there =
        kIsSurface ? QuerySurface(warp, lane, handles[lane], kQuery, &value)
                   : QueryTexture(warp, lane, handles[lane], kQuery, levels == nullptr ? 0 : levels[lane], &value);
    if (!is_there) return;
    Row<u32>(warp, result)[lane] = value;
  }
}

void Add(FormTable& table, const char* base, const char* geometry, const char* rest, Handler handler) {
  AddForm(table, {base, geometry, rest}, "=", handler, Control::kChecked);
}

template <Geometry kGeometry>
void AddSampling(FormTable& table, const char* geometry) {
  Add(table, "tex.", geometry, ".f32", Sample<TextureMode::kBase, kGeometry, f32>);
  Add(table, "tex.level.", geometry, ".f32", Sample<TextureMode::kLevel, kGeometry, f32>);
  Add(table, "tex.grad.", geometry, ".f32", Sample<TextureMode::kGrad, kGeometry, f32>);
  if constexpr (kGeometry != Geometry::kCube && kGeometry != Geometry::kArrayCube) {
    Add(table, "tex.", geometry, ".s32", Sample<TextureMode::kBase, kGeometry, s32>);
  }
}

template <Geometry kGeometry>
void AddGathering(FormTable& table, const char* geometry) {
  Add(table, "tld4.r.", geometry, ".f32", Sample<TextureMode::kGather, kGeometry, f32, 0>);
  Add(table, "tld4.g.", geometry, ".f32", Sample<TextureMode::kGather, kGeometry, f32, 1>);
  Add(table, "tld4.b.", geometry, ".f32", Sample<TextureMode::kGather, kGeometry, f32, 2>);
  Add(table, "tld4.a.", geometry, ".f32", Sample<TextureMode::kGather, kGeometry, f32, 3>);
}

template <Geometry kGeometry, class T, u32 kWidth>
void AddAccess(FormTable& table, const char* geometry, const char* type) {
  Add(table, "suld.b.", geometry, type, AccessSurface<kGeometry, T, kWidth, false>);
  Add(table, "sust.b.", geometry, type, AccessSurface<kGeometry, T, kWidth, true>);
}

template <Geometry kGeometry>
void AddSurface(FormTable& table, const char* geometry) {
  AddAccess<kGeometry, u8, 1>(table, geometry, ".b8");
  AddAccess<kGeometry, u8, 2>(table, geometry, ".v2.b8");
  AddAccess<kGeometry, u8, 4>(table, geometry, ".v4.b8");
  AddAccess<kGeometry, u16, 1>(table, geometry, ".b16");
  AddAccess<kGeometry, u16, 2>(table, geometry, ".v2.b16");
  AddAccess<kGeometry, u16, 4>(table, geometry, ".v4.b16");
  AddAccess<kGeometry, u32, 1>(table, geometry, ".b32");
  AddAccess<kGeometry, u32, 2>(table, geometry, ".v2.b32");
  AddAccess<kGeometry, u32, 4>(table, geometry, ".v4.b32");
  AddAccess<kGeometry, u64, 1>(table, geometry, ".b64");
  AddAccess<kGeometry, u64, 2>(table, geometry, ".v2.b64");
}

template <TextureQuery kQuery>
void AddSizeQuery(FormTable& table, const char* name) {
  Add(table, "txq.", name, "", Query<false, kQuery, false>);
  Add(table, "txq.level.", name, "", Query<false, kQuery, true>);
  Add(table, "suq.", name, "", Query<true, kQuery, false>);
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddTexture(FormTable& table) {
  AddSampling<Geometry::k1D>(table, "1d");
  AddSampling<Geometry::k2D>(table, "2d");
  AddSampling<Geometry::k3D>(table, "3d");
  AddSampling<Geometry::kArray1D>(table, "a1d");
  AddSampling<Geometry::kArray2D>(table, "a2d");
  AddSampling<Geometry::kCube>(table, "cube");
  AddSampling<Geometry::kArrayCube>(table, "acube");
  AddGathering<Geometry::k2D>(table, "2d");
  AddGathering<Geometry::kArray2D>(table, "a2d");
  AddSurface<Geometry::k1D>(table, "1d");
  AddSurface<Geometry::k2D>(table, "2d");
  AddSurface<Geometry::k3D>(table, "3d");
  AddSurface<Geometry::kArray1D>(table, "a1d");
  AddSurface<Geometry::kArray2D>(table, "a2d");
  AddSizeQuery<TextureQuery::kWidth>(table, "width");
  AddSizeQuery<TextureQuery::kHeight>(table, "height");
  AddSizeQuery<TextureQuery::kDepth>(table, "depth");
  Add(table, "txq.", "array_size", "", Query<false, TextureQuery::kArraySize, false>);
  Add(table, "txq.", "num_mipmap_levels", "", Query<false, TextureQuery::kLevels, false>);
  Add(table, "txq.", "normalized_coords", "", Query<false, TextureQuery::kNormalizedCoordinates, false>);
  Add(table, "suq.", "array_size", "", Query<true, TextureQuery::kArraySize, false>);
}

}  // namespace outboard::softgpu
