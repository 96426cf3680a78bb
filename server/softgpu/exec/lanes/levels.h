#pragma once

#include "server/softgpu/exec/inst.h"

// The chapters of handlers, one set per CPU level: x86-64-v2, v3 and v4 (psABI levels).

namespace outboard::softgpu {

template <int kLevel>
struct Lanes {
  static void AddInteger(FormTable& table);
  static void AddBits(FormTable& table);
  static void AddFloat(FormTable& table);
  static void AddHalf(FormTable& table);
  static void AddApproximate(FormTable& table);
  static void AddCompare(FormTable& table);
  static void AddConvert(FormTable& table);
  static void AddConvertHalf(FormTable& table);
  static void AddMove(FormTable& table);
  static void AddMemory(FormTable& table);
  static void AddAsyncCopy(FormTable& table);
  static void AddAtomic(FormTable& table);
  static void AddFused(FormTable& table);
  static void AddTexture(FormTable& table);
  static void AddWarp(FormTable& table);
};

}  // namespace outboard::softgpu
