#pragma once

#include <cuda.h>

#include <bit>
#include <cstdint>

#include "common/base/limits.h"

// What stands for an object of the driver (stream, event, module, ...) on the wire and in the application's hands: a
// number that the client chose. Nobody follows it as a pointer: it is not canonical, so one who tries faults.

namespace outboard::wire {

enum class HandleKind : uint8_t {
  kNone,
  kContext,
  kStream,
  kEvent,
  kModule,
  kLibrary,
  kKernel,
  kFunction,
  kPool,
  kAllocation,
  kArray,
  kMipmappedArray,
  kGreenContext,
  kResourceDesc
};
inline constexpr int kHandleKinds = 14;

// 0 for a null handle. Else, from the top: 0xB0 + kind (8 bits), generation (24 bits, from 1), slot (32 bits). A slot
// is used again with the next generation, so a stale handle is told from its successor's; a slot whose generations are
// used up is not used again.
using HandleId = uint64_t;

inline constexpr uint32_t kMaxGeneration = (1u << 24) - 1;
inline constexpr uint32_t kFirstSlot = kMaxDevices;  // the contexts in slots below are the devices' primary ones
inline constexpr HandleId MakeHandle(HandleKind kind, uint32_t generation, uint32_t slot) {
  return (uint64_t{0xB0} + static_cast<uint64_t>(kind)) << 56 | uint64_t{generation} << 32 | slot;
}
inline constexpr HandleKind KindOf(HandleId id) {
  const uint64_t top = id >> 56;
  return top > 0xB0 && top < 0xB0 + kHandleKinds ? static_cast<HandleKind>(top - 0xB0) : HandleKind::kNone;
}
inline constexpr uint32_t GenerationOf(HandleId id) { return static_cast<uint32_t>(id >> 32) & kMaxGeneration; }
inline constexpr uint32_t SlotOf(HandleId id) { return static_cast<uint32_t>(id); }

// A handle as the driver API writes it, or the driver's object behind one, as a number and back: most are pointers,
// CUmemGenericAllocationHandle is a number.
template <class To, class From>
constexpr To HandleCast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  return std::bit_cast<To>(from);
}

// The kind that a C type of the driver API stands for.
template <class T>
inline constexpr HandleKind kKindOf = HandleKind::kNone;
template <>
inline constexpr HandleKind kKindOf<CUcontext> = HandleKind::kContext;
template <>
inline constexpr HandleKind kKindOf<CUstream> = HandleKind::kStream;
template <>
inline constexpr HandleKind kKindOf<CUevent> = HandleKind::kEvent;
template <>
inline constexpr HandleKind kKindOf<CUmodule> = HandleKind::kModule;
template <>
inline constexpr HandleKind kKindOf<CUlibrary> = HandleKind::kLibrary;
template <>
inline constexpr HandleKind kKindOf<CUkernel> = HandleKind::kKernel;
template <>
inline constexpr HandleKind kKindOf<CUfunction> = HandleKind::kFunction;
template <>
inline constexpr HandleKind kKindOf<CUmemoryPool> = HandleKind::kPool;
template <>
inline constexpr HandleKind kKindOf<CUmemGenericAllocationHandle> = HandleKind::kAllocation;
template <>
inline constexpr HandleKind kKindOf<CUarray> = HandleKind::kArray;
template <>
inline constexpr HandleKind kKindOf<CUmipmappedArray> = HandleKind::kMipmappedArray;
template <>
inline constexpr HandleKind kKindOf<CUgreenCtx> = HandleKind::kGreenContext;
template <>
inline constexpr HandleKind kKindOf<CUdevResourceDesc> = HandleKind::kResourceDesc;

// The handle of the primary context of a device, known before it exists: the runtime asks for it first and compares.
inline constexpr HandleId PrimaryContextHandle(CUdevice device) {
  return MakeHandle(HandleKind::kContext, 1, static_cast<uint32_t>(device));
}

// CU_STREAM_LEGACY and CU_STREAM_PER_THREAD travel as they are. A null stream never travels: the client says which of
// the two it means.
inline constexpr bool IsBuiltInStream(HandleId id) { return id == 1 || id == 2; }

}  // namespace outboard::wire
