#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <new>
#include <utility>

namespace outboard::interop {

// A table is an array of these: functions, and mostly its own size in bytes in slot 0.
using Slot = const void*;

template <class Result, class... Parameters>
Slot FunctionSlot(Result (*function)(Parameters...)) {
  return reinterpret_cast<Slot>(function);
}

// Warns that a slot was called of which nothing is known.
void LogUnknownSlot(const CUuuid& table, size_t slot);

// Stands in a slot of which nothing is known: says so once and refuses, where a null pointer would end the process.
template <const CUuuid& kTable, size_t kSlot>
CUresult UnknownSlot() {
  static const bool logged = (LogUnknownSlot(kTable, kSlot), true);
  static_cast<void>(logged);
  return CUDA_ERROR_NOT_SUPPORTED;
}

template <const CUuuid& kTable, size_t kSlots>
std::array<Slot, kSlots> UnknownSlots() {
  return []<size_t... kSlot>(std::index_sequence<kSlot...>) {
    return std::array<Slot, kSlots>{FunctionSlot(&UnknownSlot<kTable, kSlot>)...};
  }
  (std::make_index_sequence<kSlots>());
}

// With the table's size in bytes in slot 0; the runtime checks it.
template <const CUuuid& kTable, size_t kSlots>
std::array<Slot, kSlots> SizedTable() {
  auto slots = UnknownSlots<kTable, kSlots>();
  slots[0] = reinterpret_cast<Slot>(sizeof slots);
  return slots;
}

// Runs the body of a slot that allocates: no exception may reach the runtime's C frames.
template <class Body>
CUresult WithoutThrowing(Body&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

}  // namespace outboard::interop
