#pragma once

#include <cstddef>
#include <cstdint>

// What the decoder makes and the interpreter runs: fixed-size records over rows of 32 lanes.
//
// This header is also compiled for CPU levels above the baseline (exec/lanes), so it must hold no inline function that
// a debug build could emit as a shared symbol: such a symbol may be compiled for a CPU that this machine is not.

namespace outboard::softgpu {

struct Extent;
struct TextureTable;
enum class MemorySpace : uint8_t;
struct WarpContext;
struct Inst;

inline constexpr uint32_t kLanes = 32;
inline constexpr uint32_t kAllLanes = 0xffffffffu;

// Generic addresses of the spaces that have no device memory behind them. They lie above every address that a process
// can map, so no allocation is ever there. Within a window, the low 32 bits are the address in its space.
inline constexpr uint64_t kWindowMask = ~uint64_t{0xffffffff};
inline constexpr uint64_t kSharedWindow = uint64_t{0x8000} << 32;
inline constexpr uint64_t kLocalWindow = uint64_t{0x8001} << 32;
inline constexpr uint64_t kParamWindow = uint64_t{0x8002} << 32;
// What a function pointer holds: kFunctionWindow + 16 * index of the function in its module.
inline constexpr uint64_t kFunctionWindow = uint64_t{0x8003} << 32;
// Where the blocks of a cooperative launch find what their barrier needs: an extent of its own.
inline constexpr uint64_t kGridWindow = uint64_t{0x8004} << 32;

// Where an operand lies: byte offset of a row in the frame, or with kConstantBit in the kernel's constants. Rows of
// 32-bit and narrower registers are 32 x 4 bytes (the bits above a narrow value are unspecified), rows of 64-bit
// registers 32 x 8 bytes, a predicate is one 32-bit word with a bit per lane.
using Slot = uint32_t;
inline constexpr Slot kConstantBit = 1u << 31;
inline constexpr Slot kNoSlot = 0xffffffffu;

// Runs one instruction for the lanes of `mask`, which is never 0.
using Handler = void (*)(const Inst& inst, WarpContext& warp, uint32_t mask);

// How the interpreter treats an instruction.
enum class Control : uint8_t {
  kStraight,       // run the handler
  kChecked,        // run the handler, which may have set WarpContext::fault
  kFused,          // as kChecked; the handler may have run records behind this one too: WarpContext::ran_ahead
  kSync,           // a warp-level operation: wait for the lanes named in the row `d`, then as kChecked
  kJoin,           // a place where splits of a warp may meet
  kBranch,         // to imm; with a handler, which compares, as kernel.h says
  kBranchIndexed,  // to the targets in Kernel::targets[imm .. imm + extra), chosen by the row `a`
  kCall,           // call site Kernel::calls[extra]
  kReturn,
  kExit,
  kBarrier,      // imm: BarrierOp; a: row of the barrier's number; b: row of the thread count or kNoSlot; c: predicate
  kWarpBarrier,  // wait for the lanes named in the row `d`
  kTrap,         // imm: TrapReason
  kYield,        // nanosleep: let other warps run
};

// Inst::extra of a memory access. kNarrowAddress: the address register has 32 bits. kFrameLocal: the address is
// relative to the running frame. Of a product of matrices: m | n << 8 | k << 16.
inline constexpr uint32_t kNarrowAddress = 1, kFrameLocal = 2;

enum BarrierOp : int64_t { kBarrierSync, kBarrierArrive, kBarrierPopc, kBarrierAnd, kBarrierOr };

struct alignas(64) Inst {
  Handler run = nullptr;
  int64_t imm = 0;
  Slot dst = kNoSlot, dst2 = kNoSlot;
  Slot a = kNoSlot, b = kNoSlot, c = kNoSlot, d = kNoSlot;
  uint32_t guard = kNoSlot;  // predicate's offset in the frame, with bit 0 set when negated
  uint32_t line = 0;         // in the PTX text
  uint32_t extra = 0;
  Control control = Control::kStraight;
  MemorySpace space{};  // of a memory access
};

// What a handler reports when it refuses an access. kOutside: of a surface, where the instruction says to trap.
enum class AccessError : uint8_t { kNone, kIllegal, kMisaligned, kOutside };
struct AccessFault {
  AccessError error = AccessError::kNone;
  uint32_t lane = 0;
  uint64_t address = 0;
};

// The state of one warp that handlers see.
struct WarpContext {
  static constexpr uint32_t kHits = 8;
  std::byte* base[2];    // rows of the running frame, and the kernel's constants
  uint32_t live;         // lanes that have not exited
  uint32_t local_base;   // of the running frame, in each lane's local memory, bytes
  std::byte* local;      // local memory of lane 0; lane n's is n * local_bytes later
  uint32_t local_bytes;  // per lane
  std::byte* shared;
  uint32_t shared_bytes;
  const std::byte* params;  // the launch's parameters
  uint32_t param_bytes;
  const Extent* extents;  // device memory, in order of address
  size_t extent_count;
  const TextureTable* textures;  // null for none
  const Slot* operands;          // the kernel's lists of operands, for instructions with more than an Inst has
  const Extent* hit[kHits];      // where accesses hit last, by the instruction's place; never null, may be empty
  AccessFault fault;
  uint32_t ran_ahead;  // set by every handler of a Control::kFused
  uint32_t tid[3][kLanes];
  uint32_t ctaid[3], ntid[3], nctaid[3];
  uint32_t warp_id, warp_count, sm_id, sm_count;
  uint64_t grid_id;
  uint32_t dynamic_shared_bytes, total_shared_bytes;
  uint64_t grid_workspace;  // kGridWindow in a cooperative launch, else 0
};

// The extent that holds `address`, or null. (Baseline code, called from all levels.)
const Extent* FindExtent(const WarpContext& warp, uint64_t address);

// What %clock64 and %globaltimer read: nanoseconds of the steady clock. (Baseline code.)
uint64_t NanosecondClock();

// One instruction form of a CPU level's table. The signature names the operands in order, destinations before '=':
// w 32-bit row, l 64-bit row, p predicate, i immediate in Inst::imm.
class FormTable {
 public:
  virtual void Add(const char* const* parts, size_t count, const char* signature, Handler handler, Control control) = 0;

 protected:
  ~FormTable() = default;
};

}  // namespace outboard::softgpu
