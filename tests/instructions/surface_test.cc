// Reading and writing surfaces (PTX ISA, sections 9.7.11.1 suld and 9.7.11.2 sust): every shape, width and type, inside
// of the surface and outside of it.

#include <cstring>

#include "tests/instructions/inputs.h"
#include "tests/instructions/texels.h"

namespace outboard::softgpu::testing {
namespace {

constexpr uint64_t kHandle = 0x6000000000000009;
constexpr int64_t kWidth = 6, kHeight = 5, kDepth = 4;  // elements of 16 bytes

struct Shape {
  const char* geometry;
  const char* place;  // in the braces
  bool has_y, has_z, has_layer;
};
constexpr Shape kShapes[] = {{"1d", "{%r0}", false, false, false},
                             {"2d", "{%r0, %r1}", true, false, false},
                             {"3d", "{%r0, %r1, %r2, %r2}", true, true, false},
                             {"a1d", "{%r2, %r0}", false, false, true},
                             {"a2d", "{%r2, %r0, %r1, %r1}", true, false, true}};

struct Access {
  const char* type;
  uint32_t bytes;  // of one element
  uint32_t width;
};
constexpr Access kAccesses[] = {{"b8", 1, 1},  {"b8", 1, 2},  {"b8", 1, 4},  {"b16", 2, 1},
                                {"b16", 2, 2}, {"b16", 2, 4}, {"b32", 4, 1}, {"b32", 4, 2},
                                {"b32", 4, 4}, {"b64", 8, 1}, {"b64", 8, 2}};

std::string Vector(uint32_t width) { return width == 1 ? "" : ".v" + std::to_string(width); }

// The registers of an access: parts of them are what the kernel loads or stores.
std::string Registers(const Access& access, const char* letter) {
  std::string text = "{";
  for (uint32_t i = 0; i < access.width; ++i) text += (i == 0 ? "" : ", ") + std::string(letter) + std::to_string(i);
  return text + "}";
}

// After a load: all its bytes side by side in %r20 to %r23. Narrow registers are 16 bits wide.
std::string Pack(const Access& access) {
  std::string text;
  for (uint32_t i = 0; i < access.width; ++i) {
    const std::string number = std::to_string(i), to = std::to_string(20 + i);
    if (access.bytes <= 2) text += "\n  cvt.u32.u16 %r" + to + ", %h" + number + ";";
    if (access.bytes == 8) {
      text += "\n  mov.b64 {%r" + std::to_string(20 + 2 * i) + ", %r" + std::to_string(21 + 2 * i) + "}, %rd" +
              std::to_string(4 + i) + ";";
    }
  }
  return text;
}
std::string RegistersOf(const Access& access) {
  if (access.bytes <= 2) return Registers(access, "%h");
  if (access.bytes == 4) return Registers(access, "%r2");  // %r20 and so on
  return access.width == 1 ? "{%rd4}" : "{%rd4, %rd5}";
}

class SurfaceForms : public LevelTest {
 protected:
  SurfaceForms() : machine_(level()) {}

  // A surface of random bytes.
  void MakeSurface(uint64_t seed) {
    texels_.emplace(TexelFormat{TexelKind::kUnsigned, 4, 4}, kWidth, kHeight, kDepth, 1, true, seed);
    Surface surface;
    surface.handle = kHandle;
    surface.format = texels_->format();
    surface.array = texels_->levels()[0];
    machine_.SetTextures({{}, {surface}});
  }
  std::byte* At(int64_t x_bytes, int64_t y, int64_t z) const {
    return const_cast<std::byte*>(texels_->At(0, 0, y, z)) + x_bytes;
  }

  // Where a lane accesses: x in bytes. Outside now and then, unless it must not be.
  struct Place {
    int32_t x, y, z;
  };
  Place MakePlace(std::mt19937_64& random, const Access& access, bool may_be_outside) const {
    const auto bytes = static_cast<int32_t>(access.bytes * access.width);
    const auto pick = [&](int64_t size) {
      const auto count = static_cast<int32_t>(size);
      const auto value = static_cast<int32_t>(random() % static_cast<uint64_t>(count));
      return may_be_outside && random() % 4 == 0 ? (random() % 2 == 0 ? -1 - value : count + value) : value;
    };
    return {pick(kWidth * 16 / bytes) * bytes, pick(kHeight), pick(kDepth)};
  }
  static bool IsInside(const Shape& shape, const Place& place) {
    const auto is_within = [](int32_t at, int64_t size) { return at >= 0 && at < size; };
    return is_within(place.x, kWidth * 16) && (!shape.has_y || is_within(place.y, kHeight)) &&
           (!(shape.has_z || shape.has_layer) || is_within(place.z, kDepth));
  }
  // Where it ends up with .clamp, and with what the shape does not have left out.
  static Place Clamped(const Shape& shape, const Access& access, Place place) {
    const auto clamp = [](int32_t at, int64_t last) {
      return static_cast<int32_t>(std::min<int64_t>(std::max(at, 0), last));
    };
    if (shape.has_layer && place.z < 0) place.z = kDepth;  // a layer is an unsigned number
    return {clamp(place.x, kWidth * 16 - access.bytes * access.width), shape.has_y ? clamp(place.y, kHeight - 1) : 0,
            shape.has_z || shape.has_layer ? clamp(place.z, kDepth - 1) : 0};
  }
  void WritePlace(uint32_t lane, const Place& place) {
    machine_.Write(lane * kLaneBytes, place.x);
    machine_.Write(lane * kLaneBytes + 4, place.y);
    machine_.Write(lane * kLaneBytes + 8, place.z);
  }
  std::optional<Fault> Run() { return machine_.Run("lanes", {1}, {32}, Params().Add(kDataAddress).Add(kHandle)); }

  Machine machine_;
  std::optional<Texels> texels_;
};

TEST_P(SurfaceForms, Loads) {
  for (const Shape& shape : kShapes) {
    for (const Access& access : kAccesses) {
      const std::string form = std::string("suld.b.") + shape.geometry + Vector(access.width) + "." + access.type;
      for (const std::string bounds : {"trap", "clamp", "zero"}) {
        std::mt19937_64 random = RandomOf(form + bounds);
        MakeSurface(random());
        ASSERT_TRUE(machine_.Load(LaneKernel(form + "." + bounds + " " + RegistersOf(access) + ", [%handle, " +
                                             shape.place + "];" + Pack(access))));
        std::vector<Place> places;
        for (uint32_t lane = 0; lane < 32; ++lane) {
          places.push_back(MakePlace(random, access, bounds != "trap"));
          WritePlace(lane, places.back());
        }
        ASSERT_EQ(Run(), std::nullopt) << form;
        for (uint32_t lane = 0; lane < 32; ++lane) {
          const Place at = Clamped(shape, access, places[lane]);
          const bool is_zero = bounds == "zero" && !IsInside(shape, places[lane]);
          std::vector<std::byte> want(16, std::byte{0x5a});
          for (uint32_t i = 0; i < access.width; ++i) {
            // Narrow elements stand in words of their own.
            const uint32_t room = std::max(access.bytes, 4u);
            std::fill_n(want.begin() + i * room, room, std::byte{0});
            if (!is_zero) std::memcpy(&want[i * room], At(at.x + i * access.bytes, at.y, at.z), access.bytes);
          }
          ASSERT_EQ(std::memcmp(want.data(), machine_.data() + lane * kLaneBytes + kResultOffset, 16), 0)
              << form << "." << bounds << ", lane " << lane;
        }
      }
      RecordTested(form, level());
    }
  }
}

TEST_P(SurfaceForms, Stores) {
  for (const Shape& shape : kShapes) {
    for (const Access& access : kAccesses) {
      const std::string form = std::string("sust.b.") + shape.geometry + Vector(access.width) + "." + access.type;
      std::string load;  // what is stored: the lane's words 4 to 7
      for (uint32_t i = 0; i < access.width; ++i) {
        const std::string number = std::to_string(i), from = std::to_string(4 + i);
        if (access.bytes <= 2) load += "cvt.u16.u32 %h" + number + ", %r" + from + ";\n  ";
        if (access.bytes == 4) load += "mov.u32 %r2" + number + ", %r" + from + ";\n  ";
        if (access.bytes == 8) {
          load += "mov.b64 %rd" + from + ", {%r" + std::to_string(4 + 2 * i) + ", %r" + std::to_string(5 + 2 * i) +
                  "};\n  ";
        }
      }
      for (const std::string bounds : {"trap", "clamp", "zero"}) {
        std::mt19937_64 random = RandomOf(form + bounds);
        MakeSurface(random());
        const TexelArray& array = texels_->levels()[0];
        std::vector<std::byte> want(array.host, array.host + array.slice_pitch * array.depth);
        ASSERT_TRUE(machine_.Load(
            LaneKernel(load + form + "." + bounds + " [%handle, " + shape.place + "], " + RegistersOf(access) + ";")));
        for (uint32_t lane = 0; lane < 32; ++lane) {
          const Place place = MakePlace(random, access, bounds != "trap");
          WritePlace(lane, place);
          for (uint32_t i = 0; i < 4; ++i) {
            machine_.Write(lane * kLaneBytes + 16 + 4 * i, static_cast<uint32_t>(random()));
          }
          if (bounds == "zero" && !IsInside(shape, place)) continue;
          // The last lane's bytes stay.
          const Place at = Clamped(shape, access, place);
          std::byte* const to = &want[static_cast<size_t>(At(at.x, at.y, at.z) - array.host)];
          for (uint32_t i = 0; i < access.width; ++i) {
            const size_t from = lane * kLaneBytes + 16 + i * std::max(access.bytes, 4u);
            std::memcpy(to + i * access.bytes, machine_.data() + from, access.bytes);
          }
        }
        ASSERT_EQ(Run(), std::nullopt) << form;
        ASSERT_EQ(std::memcmp(want.data(), array.host, want.size()), 0) << form << "." << bounds;
      }
      RecordTested(form, level());
    }
  }
}

TEST_P(SurfaceForms, OutsideItTraps) {
  MakeSurface(1);
  for (const bool writes : {false, true}) {
    ASSERT_TRUE(machine_.Load(LaneKernel(writes ? "sust.b.2d.b32.trap [%handle, {%r0, %r1}], {%r4};"
                                                : "suld.b.2d.b32.trap {%r20}, [%handle, {%r0, %r1}];")));
    for (const Place& outside : {Place{-4, 0, 0}, Place{kWidth * 16, 0, 0}, Place{0, -1, 0}, Place{0, kHeight, 0}}) {
      machine_.Fill(0);
      WritePlace(9, outside);
      const auto fault = Run();
      ASSERT_TRUE(fault.has_value());
      EXPECT_EQ(fault->kind, FaultKind::kTrap);
      EXPECT_EQ(fault->thread[0], 9u);
      EXPECT_NE(fault->message.find("outside of the surface"), std::string::npos) << fault->message;
    }
    machine_.Fill(0);
    WritePlace(3, {2, 0, 0});
    const auto fault = Run();
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->kind, FaultKind::kMisalignedAddress);
  }
  machine_.SetTextures({});
  machine_.Fill(0);
  const auto fault = Run();
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->kind, FaultKind::kIllegalAddress);
}

INSTANTIATE_TEST_SUITE_P(EveryLevel, SurfaceForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
