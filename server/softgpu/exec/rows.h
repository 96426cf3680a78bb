#pragma once

#include <cstdint>
#include <vector>

#include "server/softgpu/exec/inst.h"
#include "server/softgpu/ptx/ast.h"

namespace outboard::softgpu {

// Where each register of a function lies in its frame. Registers that are never live together share a row, so that a
// frame fits the CPU's caches.
struct RowPlan {
  std::vector<Slot> slots;             // per register; kNoSlot for one that is never used
  std::vector<uint32_t> needed_until;  // per register: the last instruction, in order of the text, that may need it
  std::vector<bool> invariant;  // per instruction: LaunchInvariants of a kernel; their rows are shared with no other
  uint32_t scratch_word;        // rows for the decoder's own use, kScratchRows of each kind
  uint32_t scratch_long;
  uint32_t scratch_predicate;
  uint32_t frame_bytes;
};
inline constexpr uint32_t kScratchRows = 6;
inline constexpr uint32_t kWordRowBytes = 4 * kLanes, kLongRowBytes = 8 * kLanes;

// Linear-scan allocation over liveness intervals. An instruction's destinations never share a row with its sources, so
// that one PTX instruction may become several records.
RowPlan PlanRows(const ptx::Function& function, const ptx::Body& body);

}  // namespace outboard::softgpu
