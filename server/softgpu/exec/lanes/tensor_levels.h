#pragma once

#include "server/softgpu/exec/inst.h"

// The chapters of handlers for what tensor cores and the engines for bulk copies do, one set per CPU level as in
// levels.h.

namespace outboard::softgpu {

template <int kLevel>
struct TensorLanes {
  static void AddMatrix(FormTable& table);
  static void AddMatrixMove(FormTable& table);
  static void AddMbarrier(FormTable& table);
};

}  // namespace outboard::softgpu
