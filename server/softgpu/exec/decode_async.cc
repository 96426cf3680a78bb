// Asynchronous copies, and barriers in shared memory.

#include <algorithm>

#include "server/softgpu/exec/function_decoder.h"
#include "server/softgpu/exec/words.h"

namespace outboard::softgpu {
namespace {

// As there are no clusters, the shared memory of a cluster is that of the block.
bool IsShared(std::string_view word) { return IsOneOf(word, {"shared", "shared::cta", "shared::cluster"}); }

// Whether a count left out is one.
bool IsArrival(std::string_view name) {
  return IsOneOf(name, {"mbarrier.arrive", "mbarrier.arrive_drop", "cp.async.mbarrier.arrive.noinc"});
}

}  // namespace

void FunctionDecoder::DecodeAsyncCopy(const Instruction& instruction, const Opcode& opcode) {
  // cp.async.ca|cg.shared[::cta].global[.level::hint] [to], [from], size[, bytes there are | predicate][, policy]
  // cp.async.commit_group;  cp.async.wait_group n;  cp.async.wait_all
  const std::string text(instruction.opcode);
  std::span<const Operand> operands = instruction.operands;
  if (opcode.modifiers.size() == 2) return EmitForm(text, operands);
  if (opcode.Has("bulk")) return DecodeBulkCopy(instruction, opcode);
  if (opcode.Has("mbarrier")) return DecodeMbarrier(instruction, opcode);
  constexpr auto is_known = [](std::string_view word) {
    return IsOneOf(word, {"async", "global", "shared", "shared::cta", "ca", "cg"}) || word.starts_with("L2::");
  };
  const bool is_copy = opcode.Has("async") && opcode.Has("global") && (opcode.Has("ca") || opcode.Has("cg")) &&
                       (opcode.Has("shared") || opcode.Has("shared::cta")) &&
                       std::all_of(opcode.modifiers.begin(), opcode.modifiers.end(), is_known);
  if (is_copy && opcode.Has("L2::cache_hint") && !operands.empty()) operands = operands.first(operands.size() - 1);
  if (!is_copy || operands.size() < 3 || operands.size() > 4 || operands[2].kind != Operand::Kind::kInteger)
    return Fail(text);
  const std::string name = "cp.async." + std::to_string(operands[2].value);
  if (shared_->forms.Find(name) == nullptr) return Fail(text + " of " + std::to_string(operands[2].value) + " bytes");
  const std::optional<Address> to = ResolveAddress(operands[0], MemorySpace::kShared);
  const std::optional<Address> from = ResolveAddress(operands[1], MemorySpace::kGlobal);
  if (!to || !from) return;
  Slot size = kNoSlot, ignored = kNoSlot;
  if (operands.size() == 4) {
    const Operand& last = operands[3];
    if (last.kind == Operand::Kind::kRegister &&
        body_.registers[static_cast<size_t>(last.reg)].type == ptx::Type::kB1) {
      ignored = PredicateSlot(last);
    } else {
      size = SourceSlot(last, 'w');
    }
  }
  Inst* inst = EmitSlots(name, kNoSlot, to->row, LongAddress(*from), size);
  inst->d = ignored;
  inst->imm = to->imm;
  inst->extra = to->extra;
  inst->space = to->space;
  Watch({.shape = WatchedAccess::Shape::kAsyncCopy,
         .kind = AccessVerb::kWrite,
         .bytes = static_cast<uint32_t>(operands[2].value)});
}

void FunctionDecoder::DecodeBulkCopy(const Instruction& instruction, const Opcode& opcode) {
  // cp.async.bulk.shared::cta|cluster.global.mbarrier::complete_tx::bytes[.level::hint] [to], [from], size, [barrier];
  // cp.async.bulk.global.shared::cta.bulk_group[.level::hint] [to], [from], size[, policy]
  // cp.async.bulk.commit_group;  cp.async.bulk.wait_group[.read] n;  cp.async.bulk.prefetch.L2.global [from], size
  const std::string text(instruction.opcode);
  std::span<const Operand> operands = instruction.operands;
  const std::vector<std::string_view>& words = opcode.modifiers;
  if (words.size() >= 3 && IsOneOf(words[2], {"commit_group", "wait_group"})) return EmitForm(text, operands);
  if (text == "cp.async.bulk.prefetch.L2.global") {
    EmitSlots("prefetch", kNoSlot);
    return;
  }
  if (opcode.Has("L2::cache_hint") && !operands.empty()) operands = operands.first(operands.size() - 1);
  const bool has_ends = words.size() == (opcode.Has("L2::cache_hint") ? 6u : 5u) && words[1] == "bulk";
  const bool to_shared = has_ends && IsShared(words[2]) && words[3] == "global" &&
                         words[4] == "mbarrier::complete_tx::bytes" && operands.size() == 4;
  const bool to_global =
      has_ends && words[2] == "global" && IsShared(words[3]) && words[4] == "bulk_group" && operands.size() == 3;
  if (!to_shared && !to_global) return Fail(text);
  const MemorySpace to_space = to_shared ? MemorySpace::kShared : MemorySpace::kGlobal;
  const MemorySpace from_space = to_shared ? MemorySpace::kGlobal : MemorySpace::kShared;
  const std::optional<Address> to = ResolveAddress(operands[0], to_space);
  const std::optional<Address> from = ResolveAddress(operands[1], from_space);
  std::optional<Address> barrier;
  if (to_shared) barrier = ResolveAddress(operands[3], MemorySpace::kShared);
  if (!to || !from || (to_shared && !barrier)) return;
  const Slot to_row = LongAddress(*to), from_row = LongAddress(*from), size = SourceSlot(operands[2], 'w');
  const Slot barrier_row = barrier ? LongAddress(*barrier) : kNoSlot;
  const std::string name = std::string("cp.async.bulk.") + (to_shared ? "shared.global" : "global.shared");
  EmitSlots(name, kNoSlot, to_row, from_row, size)->d = barrier_row;
  Watch({.shape = to_shared ? WatchedAccess::Shape::kBulkToShared : WatchedAccess::Shape::kBulkToGlobal,
         .kind = AccessVerb::kWrite,
         .bytes = 1,
         .is_strong = true});
}

void FunctionDecoder::DecodeMbarrier(const Instruction& instruction, const Opcode& opcode) {
  // mbarrier.operation[.sem][.scope][.shared].b64 [state | predicate,] [barrier][, count | state | parity[, hint]]
  // cp.async.mbarrier.arrive[.noinc][.shared].b64 [barrier]
  std::string name(opcode.base);
  for (const std::string_view word : opcode.modifiers) {
    const bool is_ignored = IsShared(word) || IsOneOf(word, {"release", "acquire", "relaxed", "cta", "cluster", "b64"});
    if (!is_ignored) name += "." + std::string(word);
  }
  if (opcode.Has("pending_count")) return EmitForm(std::string(instruction.opcode), instruction.operands);
  const Form* form = shared_->forms.Find(name);
  if (form == nullptr) return Fail(std::string(instruction.opcode));
  const std::string_view signature = form->signature;
  const char result = signature[0], source = signature.back();
  std::span<const Operand> operands = instruction.operands;

  Slot to = kNoSlot;
  if (!operands.empty() && operands[0].kind != Operand::Kind::kAddress) {
    const Operand& first = operands[0];
    operands = operands.subspan(1);
    const bool is_register = first.kind == Operand::Kind::kRegister && IsLong(first) == (result == 'l');
    if (result == '=' || (!is_register && first.kind != Operand::Kind::kSink))
      return Fail(name + " with such a destination");
    if (is_register) to = RegisterSlot(first);
  }
  const size_t most = source == 'A' ? 1 : name.find("try_wait") != std::string::npos ? 3 : 2;
  if (operands.empty() || operands.size() > most) return Fail(name + " with the wrong number of operands");
  const bool is_shared = std::any_of(opcode.modifiers.begin(), opcode.modifiers.end(), IsShared);
  const std::optional<Address> address =
      ResolveAddress(operands[0], is_shared ? std::optional(MemorySpace::kShared) : std::nullopt);
  if (!address) return;
  if (address->space != MemorySpace::kShared && address->space != MemorySpace::kGeneric)
    return Fail(name + " outside of shared memory");
  Slot value = kNoSlot;
  if (operands.size() > 1) {
    value = SourceSlot(operands[1], source);
  } else if (source == 'w') {
    if (!IsArrival(name)) return Fail(name + " with too few operands");
    value = shared_->Constant(1, 4);
  } else if (source == 'l') {
    return Fail(name + " with too few operands");
  }
  Inst* const inst = EmitSlots(name, to, address->row, value);
  inst->imm = address->imm;
  inst->extra = address->extra;
  inst->space = address->space;
  // An mbarrier is watched only as what orders others; it is written by being initialised.
  Watch({.shape = WatchedAccess::Shape::kMbarrier, .kind = AccessVerb::kWrite, .bytes = 8, .is_strong = true});
  // Whoever waits asks again and again; others have to go on meanwhile.
  if (result == 'p' && to != kNoSlot) Emit(Control::kYield).guard = to | 1;
}

}  // namespace outboard::softgpu
