#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/softgpu/exec/checks.h"
#include "server/softgpu/exec/engine.h"
#include "server/softgpu/exec/inst.h"

namespace outboard::softgpu {

// A parameter or result of a device function: where it lies in the function's local memory.
struct LocalPlace {
  uint32_t offset;  // bytes from the frame's local_base
  uint32_t size;
};

// A variable of shared or local memory, for messages.
struct NamedPlace {
  std::string_view name;  // in the PTX
  uint32_t offset;        // bytes, in shared memory or from the frame's local_base
  uint32_t size;
};

// One decoded function of a kernel's program; the kernel itself is the first, and its code begins with the records that
// are run once per warp and launch: straight ones, before `entry`.
struct FunctionCode {
  std::string name;
  uint32_t entry = 0;        // index in Kernel::code
  uint32_t frame_bytes = 0;  // of its rows
  uint32_t local_bytes = 0;  // per lane: its variables, parameters, and those of its calls
  uint32_t used_bytes = 0;   // of these, without what only rounds them up
  std::vector<LocalPlace> params, returns;
  std::string_view text;    // the PTX that it is in, of the module
  uint32_t first_line = 0;  // of its body there
  std::vector<NamedPlace> variables;
};

// What a call instruction calls when it is none of the program's functions.
enum class Builtin : uint8_t { kNone, kVprintf, kAssertFail, kMalloc, kFree, kSetConditional };

struct CallSite {
  Builtin builtin = Builtin::kNone;
  bool indirect = false;
  uint32_t function = 0;  // index in Kernel::functions; for an indirect call the row Inst::a holds the pointer
  uint64_t pointer = 0;   // in place of `function`, in code that was decoded late: for Kernel::FunctionAt
  std::vector<LocalPlace> params, returns;  // the caller's side
};

// Why a Control::kTrap is there: because the program has it, or because it needs multicast objects.
enum TrapReason : int64_t { kTrapAsked, kTrapMulticast };

class Kernel;
class LateFunctions;

// A function in the code that it was decoded with: an index in Kernel::functions.
struct Callee {
  const Kernel* code;
  uint32_t function;
};

// A branch may bring its comparison: the record is that of the comparison, its predicate `dst` a register of the frame,
// with Control::kBranch and its target. Lanes go to the target for which the predicate holds, or with kBranchUnless in
// Inst::extra does not.
inline constexpr uint32_t kBranchUnless = 1;
// In Inst::extra of a branch: it goes back over a load that is .volatile, .relaxed or .acquire, or an exchange, probably
// to wait for another thread's store.
inline constexpr uint32_t kBranchWaits = 2;

// Inst::extra of a Control::kBarrier.
enum BarrierScope : uint32_t { kOfBlock, kOfCluster };

// What an access does with memory, for messages; an atomic reads and writes.
enum class AccessVerb : uint8_t { kRead, kWrite, kAtomic };

// An instruction that touches memory, in a kernel that was decoded for Checks.
struct WatchedAccess {
  // How its operands tell what it touches.
  enum class Shape : uint8_t {
    kElements,
    kAsyncCopy,
    kBulkToShared,
    kBulkToGlobal,
    kMbarrier,
    kMatrixRows,
    kTile,
    kFence
  };
  Shape shape = Shape::kElements;
  AccessVerb kind{};
  uint32_t bytes = 0;      // of an element
  uint32_t width = 1;      // elements of a lane; of kMatrixRows matrices
  bool is_strong = false;  // it takes part in an order by itself: atomics, .volatile, .relaxed and the like
  bool orders = false;     // what comes before and behind it, as acquire and release do
  bool uses_value = true;  // of an atomic: what was there before counts
  Handler run = nullptr;   // what does the work, where Checker::Run stands in for it
};

// A kernel with everything it calls, ready to run; or one function that is decoded when it is called (LateFunctions):
// then what is said of a kernel as a whole is empty. Immutable after decoding.
class Kernel {
 public:
  Kernel();
  ~Kernel();

  KernelInfo info;
  std::vector<Inst> code;
  std::vector<FunctionCode> functions;
  std::vector<CallSite> calls;
  std::vector<Slot> operands;                                  // of instructions with more than an Inst has
  std::vector<uint32_t> targets;                               // of indexed branches: indices in code
  std::unordered_map<uint64_t, uint32_t> function_of_pointer;  // what a function pointer points to: index in functions
  uint32_t param_bytes = 0;
  uint32_t local_bytes = 0;   // per lane, with room for the deepest chain of calls, or for recursion
  uint32_t shared_bytes = 0;  // static, with the reserved ones; dynamic shared memory begins at the next multiple of 16
  // Shared memory for system software, zero when a block begins; 0 bytes where the code does not ask where it is.
  uint32_t reserved_shared = 0, reserved_shared_bytes = 0;

  std::unique_ptr<LateFunctions> late;  // null: all that the kernel can call is decoded

  // What a function pointer points to, if that is a function. `failure`: why it cannot run, if it is one.
  std::optional<Callee> FunctionAt(uint64_t pointer, std::string* failure) const;

  Checks checks;                             // that it was decoded for
  std::vector<NamedPlace> shared_variables;  // with `checks`
  std::vector<WatchedAccess> watched;
  std::vector<uint32_t> watched_of;  // by pc: one more than the index in `watched`; 0 or missing: none

  const WatchedAccess* WatchedBy(const Inst& inst) const {
    const auto pc = static_cast<size_t>(&inst - code.data());
    return pc < watched_of.size() && watched_of[pc] != 0 ? &watched[watched_of[pc] - 1] : nullptr;
  }

  std::byte* constants() const { return constants_.get(); }
  void SetConstants(const std::vector<std::byte>& bytes);

 private:
  struct Free {
    void operator()(std::byte* bytes) const;
  };
  std::unique_ptr<std::byte, Free> constants_;  // rows, aligned to 64 bytes
};

}  // namespace outboard::softgpu
