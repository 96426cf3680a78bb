#include "common/wire/op.h"

#include <algorithm>

namespace outboard::wire {

const OpInfo* FindOp(uint16_t op) {
  const std::span<const OpInfo> ops = Ops();
  const auto found =
      std::ranges::lower_bound(ops, op, {}, [](const OpInfo& info) { return static_cast<uint16_t>(info.op); });
  return found != ops.end() && static_cast<uint16_t>(found->op) == op ? &*found : nullptr;
}

}  // namespace outboard::wire
