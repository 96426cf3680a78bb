#pragma once

#include <cstdint>
#include <span>

#include "common/wire/ops.gen.h"  // enum class Op : uint16_t { kcuEventRecord = 12, ... }

namespace outboard::wire {

// Whether a caller waits for the worker, and whether the worker may wait for the device (docs/adding-a-call.md). Calls
// that the client answers alone have no operation and no class here.
enum class Class : uint8_t {
  kQuery,     // waits; the answer is the same for the whole session, or until an operation that changes queries
  kAsync,     // no outputs. Sent without waiting where the client can prove that the driver accepts it
  kSync,      // waits; the worker does not wait for the device
  kBlocking,  // waits; the worker may wait for the device
};

struct OpInfo {
  Op op;
  const char* name;  // "cuEventRecord"
  Class call_class;
  bool changes_queries;  // answers of queries that the client keeps are void after it
  uint64_t hash;         // of prototype, class and rules: equal on both ends or the operation is not used
};

// All operations in order of their numbers. (Generated.)
std::span<const OpInfo> Ops();
// Null for a number that is no operation.
const OpInfo* FindOp(uint16_t op);

}  // namespace outboard::wire
