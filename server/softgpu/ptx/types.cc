#include "server/softgpu/ptx/types.h"

#include <utility>

namespace outboard::softgpu::ptx {
namespace {

constexpr std::pair<std::string_view, Type> kTypes[] = {
    {".b32", Type::kB32},         {".b64", Type::kB64},
    {".pred", Type::kB1},         {".f32", Type::kF32},
    {".b8", Type::kB8},           {".b16", Type::kB16},
    {".u32", Type::kU32},         {".u64", Type::kU64},
    {".f64", Type::kF64},         {".s32", Type::kS32},
    {".s64", Type::kS64},         {".u8", Type::kU8},
    {".u16", Type::kU16},         {".s8", Type::kS8},
    {".s16", Type::kS16},         {".f16", Type::kF16},
    {".f16x2", Type::kF16x2},     {".bf16", Type::kBF16},
    {".bf16x2", Type::kBF16x2},   {".b128", Type::kB128},
    {".texref", Type::kTexref},   {".samplerref", Type::kSamplerref},
    {".surfref", Type::kSurfref},
};

constexpr std::pair<std::string_view, Space> kSpaces[] = {
    {".reg", Space::kReg},       {".param", Space::kParam}, {".global", Space::kGlobal},
    {".shared", Space::kShared}, {".local", Space::kLocal}, {".const", Space::kConst},
};

}  // namespace

uint32_t SizeOf(Type type) {
  switch (type) {
    case Type::kNone:
    case Type::kB1:
      return 0;
    case Type::kB8:
    case Type::kU8:
    case Type::kS8:
      return 1;
    case Type::kB16:
    case Type::kU16:
    case Type::kS16:
    case Type::kF16:
    case Type::kBF16:
      return 2;
    case Type::kB32:
    case Type::kU32:
    case Type::kS32:
    case Type::kF32:
    case Type::kF16x2:
    case Type::kBF16x2:
      return 4;
    case Type::kB64:
    case Type::kU64:
    case Type::kS64:
    case Type::kF64:
    case Type::kTexref:
    case Type::kSamplerref:
    case Type::kSurfref:
      return 8;
    case Type::kB128:
      return 16;
  }
  return 0;
}

Type TypeOf(std::string_view directive) {
  for (const auto& [name, type] : kTypes) {
    if (name == directive) return type;
  }
  return Type::kNone;
}

Space SpaceOf(std::string_view directive) {
  for (const auto& [name, space] : kSpaces) {
    if (name == directive) return space;
  }
  return Space::kGeneric;
}

}  // namespace outboard::softgpu::ptx
