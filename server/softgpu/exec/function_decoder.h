#pragma once

#include <compare>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/softgpu/exec/forms.h"
#include "server/softgpu/exec/program.h"
#include "server/softgpu/exec/rows.h"

namespace outboard::softgpu {

// A shared variable of a program, for as long as there is the program.
struct SharedName {
  static constexpr uint32_t kNoFunction = UINT32_MAX;
  uint32_t function;  // that has it in its body, an index in Program::functions(); kNoFunction for a module's
  uint32_t variable;  // an index in ptx::Body::variables, or in Program::variables()
  auto operator<=>(const SharedName&) const = default;
};

// Where a kernel's shared variables are.
struct SharedLayout {
  std::map<SharedName, uint32_t> addresses;
  uint32_t bytes = 0;
  uint32_t dynamic_align = 16;
  uint32_t reserved = 0, reserved_bytes = 0;  // as in Kernel
};

// What the functions of one kernel share while they are decoded: constants, shared memory, the list of functions,
// failures.
class ProgramDecoder {
 public:
  ProgramDecoder(const Program& program, const Forms& forms, Kernel* kernel)
      : program(program), forms(forms), kernel(kernel) {}
  // For a function that is decoded when a kernel calls it, whose shared variables have their places then: others fail.
  ProgramDecoder(const Program& program, const Forms& forms, Kernel* kernel, const SharedLayout& shared)
      : program(program), forms(forms), kernel(kernel), shared_(shared), is_late_(true) {}

  // The row that holds `value` in every lane. `bytes`: 4 or 8.
  Slot Constant(uint64_t value, uint32_t bytes);

  // The row that holds the address of a shared variable in the kernel's shared memory. Dynamic shared memory (extern,
  // unsized) lies behind all other variables, so its rows are filled by FinishShared, when every function is decoded.
  Slot SharedAddress(const SharedName& name, const ptx::Variable& variable, uint32_t bytes);
  // Of one of Program::variables().
  Slot SharedAddress(uint32_t variable, uint32_t bytes) {
    return SharedAddress({SharedName::kNoFunction, variable}, *program.variables()[variable].variable, bytes);
  }
  // Gives a variable that is not dynamic its place, if it has none, and returns its address.
  uint32_t PlaceShared(const SharedName& name, const ptx::Variable& variable);
  // Likewise the shared memory for system software.
  uint32_t PlaceReserved();
  void FinishShared();
  // Dynamic shared memory is to begin at a multiple of `align`, whoever uses it.
  void AlignDynamic(uint32_t align);

  // The row that holds one of the special registers %reserved_smem_offset_*: where shared memory for system software
  // is. kNoSlot for what is none.
  Slot ReservedShared(std::string_view special, uint32_t bytes);

  // The index in Kernel::functions of a function of the program, which is decoded if it was not yet.
  uint32_t Reach(uint32_t function);

  // Notes that the engine lacks something: "wmma.load... (function f, line 12)". One note per `what`.
  void Fail(std::string what, std::string_view function, uint32_t line);

  // The one function calls others through pointers.
  bool is_late() const { return is_late_; }
  const std::vector<uint32_t>& reached() const { return reached_; }
  const std::vector<std::byte>& constants() const { return constants_; }
  // After FinishShared; `bytes` are rounded up to where dynamic shared memory begins.
  const SharedLayout& shared() const { return shared_; }
  std::string Failures() const;

  const Program& program;
  const Forms& forms;
  Kernel* const kernel;

 private:
  std::map<std::pair<uint64_t, uint32_t>, Slot> constant_slots_;
  std::vector<std::byte> constants_;
  SharedLayout shared_;
  const bool is_late_ = false;
  bool uses_dynamic_ = false;
  Slot dynamic_slots_[2] = {kNoSlot, kNoSlot};  // of 4 and of 8 bytes
  std::vector<uint32_t> reached_;
  std::unordered_map<uint32_t, uint32_t> reached_index_;
  std::map<std::string, std::string> failures_;
};

// Turns one function's PTX instructions into records.
class FunctionDecoder {
 public:
  FunctionDecoder(ProgramDecoder* shared, uint32_t function, bool is_entry);
  void Decode();

  const std::set<uint32_t>& callees() const { return callees_; }
  bool has_indirect_call() const { return has_indirect_call_; }

 private:
  using Operand = ptx::Operand;
  using Instruction = ptx::Instruction;

  // How to find a memory operand.
  struct Address {
    MemorySpace space = MemorySpace::kGeneric;
    bool is_fixed_param = false;  // a kernel parameter; imm is its offset
    Slot row = kNoSlot;
    int64_t imm = 0;
    uint32_t extra = 0;
  };

  void LayOutLocals();
  void StartInstruction(const Instruction& instruction);
  void DecodeInstruction(const Instruction& instruction);
  bool DecodeControl(const Instruction& instruction, const Opcode& opcode);
  void DecodeBranch(const Instruction& instruction);
  void DecodeIndexedBranch(const Instruction& instruction);
  void DecodeCall(const Instruction& instruction);
  void DecodeBarrier(const Instruction& instruction, const Opcode& opcode);
  void DecodeMove(const Instruction& instruction, const Opcode& opcode);
  void DecodeCompare(const Instruction& instruction, const Opcode& opcode);
  void FuseProduct(const Instruction& product, const std::string& name);
  void DecodePair(const Instruction& instruction, const Opcode& opcode);
  void EmitSet(const Operand& target, const Opcode& opcode, Slot lower, Slot upper);
  void DecodeLoad(const Instruction& instruction, const Opcode& opcode);
  void DecodeStore(const Instruction& instruction, const Opcode& opcode);
  void DecodeAtomic(const Instruction& instruction, const Opcode& opcode);
  void DecodeAsyncCopy(const Instruction& instruction, const Opcode& opcode);
  void DecodeBulkCopy(const Instruction& instruction, const Opcode& opcode);
  void DecodeMbarrier(const Instruction& instruction, const Opcode& opcode);
  void DecodeMatrix(const Instruction& instruction, const Opcode& opcode);
  void DecodeMultiply(const Instruction& instruction, const Opcode& opcode);
  void DecodeMatrixMove(const Instruction& instruction, const Opcode& opcode);
  void DecodeTileMove(const Instruction& instruction, const Opcode& opcode);
  void DecodeTexture(const Instruction& instruction, const Opcode& opcode);
  void DecodeSurface(const Instruction& instruction, const Opcode& opcode);
  void DecodeTextureQuery(const Instruction& instruction, const Opcode& opcode);

  // The operand in the brackets of a texture or surface instruction: the slots of the handle and of `count`
  // coordinates, of which the last may be left over. False after a failure.
  bool TextureOperand(const Operand& operand, const std::string& name, size_t count, std::vector<Slot>* slots);
  // The slots of an operand of `count` words: a vector, or one of them without braces.
  bool WordSlots(const Operand& operand, const std::string& name, size_t count, std::vector<Slot>* slots);
  // Appends the slots of a fragment's registers. `letter`: as in FormTable. False after a failure.
  bool FragmentSlots(const Operand& operand, const std::string& name, char letter, bool is_written,
                     std::vector<Slot>* slots);
  // Emits an instruction whose operands are a list of slots.
  Inst* EmitList(const std::string& name, const std::vector<Slot>& slots);
  // Where in Kernel::operands the slots are now.
  uint32_t AppendOperands(const std::vector<Slot>& slots);

  // Emits the form `name` with PTX operands: destinations first, then sources, flattened, by the form's signature.
  void EmitForm(const std::string& name, std::span<const Operand> operands, bool sign_extend = false);
  // Emits a form whose operands are slots already.
  Inst* EmitSlots(const std::string& name, Slot dst, Slot a = kNoSlot, Slot b = kNoSlot, Slot c = kNoSlot);
  Inst& Emit(Control control);

  Slot SourceSlot(const Operand& operand, char letter);
  Slot PredicateSlot(const Operand& operand);
  Slot RegisterSlot(const Operand& operand) const;
  bool IsLong(const Operand& operand) const;
  Slot AddressOf(const Operand& operand, char letter);
  Slot UpperHalf(Slot packed);
  std::optional<Address> ResolveAddress(const Operand& operand, std::optional<MemorySpace> space);
  std::optional<Address> MatrixAddress(const Operand& operand, const Opcode& opcode, const std::string& name);
  Slot LongAddress(const Address& address);
  Slot AllLanes();
  std::optional<LocalPlace> LocalPlaceOf(const Operand& operand) const;

  uint32_t LastRecord() const { return static_cast<uint32_t>(shared_->kernel->code.size() - 1); }
  // The record that was emitted last touches memory so.
  void Watch(const WatchedAccess& access);

  Slot Scratch(char letter);
  SharedName SharedNameOf(size_t variable) const {  // of the body
    return {shared_->reached()[index_], static_cast<uint32_t>(variable)};
  }
  void Fail(std::string what) { shared_->Fail(std::move(what), function_.name, line_); }

  ProgramDecoder* const shared_;
  const size_t module_;
  const ptx::Function& function_;
  const uint32_t index_;  // in Kernel::functions
  const bool is_entry_;

  ptx::Body body_;
  RowPlan rows_;
  std::vector<uint32_t> local_offsets_;              // per variable of the body
  std::vector<uint32_t> param_offsets_;              // of an entry's parameters
  std::vector<uint32_t> pc_of_;                      // per PTX instruction
  std::vector<std::pair<uint32_t, int64_t>> jumps_;  // records whose imm is to become the pc of a PTX instruction
  std::vector<std::pair<uint32_t, int64_t>> target_fixups_;  // the same for Kernel::targets
  std::set<uint32_t> callees_;
  bool has_indirect_call_ = false;

  uint32_t comparison_ = kNoSlot;  // the last record of a comparison that a branch behind it may take over

  uint32_t awaited_ = kNoSlot;  // the last record that reads what others' stores may change (kBranchWaits)

  uint32_t line_ = 0;
  uint32_t guard_ = kNoSlot;
  uint32_t scratch_used_[3] = {0, 0, 0};
};

}  // namespace outboard::softgpu
