#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

// What the PTX parser makes of a text (PTX ISA 9.0). Names are views into the text that the Module owns.
//
// The parser knows PTX's grammar, not its instructions: an opcode with its modifiers stays one string, such as
// "fma.rn.ftz.f32". What an instruction means, and whether the engine has it, is decided in server/softgpu/exec.

namespace outboard::softgpu::ptx {

// Fundamental types (section 5.2). kB1 is .pred.
enum class Type : uint8_t {
  kNone, kB1, kB8, kB16, kB32, kB64, kB128, kU8, kU16, kU32, kU64, kS8, kS16, kS32, kS64,
  kF16, kF16x2, kBF16, kBF16x2, kF32, kF64, kTexref, kSamplerref, kSurfref,
};

// Bytes of one element; 0 for kB1 and kNone, 8 for the opaque references.
uint32_t SizeOf(Type type);

// State spaces (section 5.1).
enum class Space : uint8_t { kGeneric, kReg, kGlobal, kConst, kShared, kLocal, kParam };

enum class Linkage : uint8_t { kNone, kVisible, kExtern, kWeak, kCommon };

struct Register {
  std::string name;  // "%r12"
  Type type = Type::kNone;
};

// An address stored into a variable by its initialiser: `generic(symbol)+addend`, `symbol+addend`, or one byte of it
// through `mask(symbol)`.
struct Relocation {
  uint64_t offset = 0;        // in the variable, bytes
  uint32_t size = 8;          // bytes written
  uint32_t shift = 0;         // for mask(): how many bits the address is shifted right before `size` bytes are taken
  bool generic = false;       // a generic address, not one in the symbol's own state space
  std::string_view symbol;    // a variable or a function
  int64_t addend = 0;
};

struct Variable {
  std::string_view name;
  Space space = Space::kGlobal;
  Linkage linkage = Linkage::kNone;
  Type type = Type::kNone;         // element type
  uint32_t vector_width = 1;       // .v2, .v4
  uint32_t align = 1;              // bytes; natural alignment of type and vector when not given
  uint64_t size = 0;               // bytes of the whole variable, arrays included; 0 for `name[]`
  bool unsized_array = false;      // `name[]`: extern shared memory, or defined elsewhere
  std::vector<std::byte> initial;  // shorter than size: the rest is zero
  std::vector<Relocation> relocations;
  std::string_view attributes;     // of an opaque reference: what stands in its initialiser's braces
  uint32_t line = 0;
};

// An instruction's operand. Which fields count is said by the kind.
struct Operand {
  enum class Kind : uint8_t {
    kRegister,  // reg; pair >= 0 for `p|q`; negated for `!p`. A vector register is a kVector of its components
    kSpecial,   // name, such as "%tid.x", "%laneid", "%clock64", "%envreg1"
    kInteger,   // value
    kFloat,     // value holds the bits: of a float for 0f, of a double for 0d and decimal literals
    kVariable,  // variable: index in Body::variables; value: byte offset (`name+4`)
    kSymbol,    // name of something declared at module level (variable, function), value: byte offset; or of a
                //   .callprototype, .branchtargets or .calltargets of the body: `list` says which
    kLabel,     // value: index of the instruction that the label stands before
    kAddress,   // [base+value]: elements[0] is the base: kRegister, kVariable, kSymbol or kInteger (an absolute
                //   address); elements past it are what else stood in the brackets (texture coordinates)
    kVector,    // {a, b, c, d}, or (a, b) in a call; pair >= 0 for `{a, b}|p`
    kSink,      // _; pair >= 0 for `_|q`
  };
  Kind kind = Kind::kSink;
  bool negated = false;
  bool is_double = false;  // kFloat: value holds a double's bits
  int32_t reg = -1;        // index in Body::registers
  int32_t pair = -1;       // index in Body::registers
  int32_t variable = -1;   // index in Body::variables
  int32_t list = -1;       // index in Body::prototypes or, in a brx, in Body::branch_targets
  int64_t value = 0;
  std::string_view name;
  std::vector<Operand> elements;
};

struct Instruction {
  uint32_t line = 0;         // in the PTX text, from 1
  int32_t guard = -1;        // index in Body::registers of the predicate; -1 for none
  bool guard_negated = false;
  std::string_view opcode;   // with all modifiers, as written
  std::vector<Operand> operands;
};

// A .callprototype: what an indirect call passes.
struct Prototype {
  std::string_view name;
  std::vector<Variable> returns;
  std::vector<Variable> params;
};

// A list of labels (.branchtargets) that a brx.idx chooses from.
struct BranchTargets {
  std::string_view name;
  std::vector<int64_t> instructions;  // indices
};

// The inside of a function. Nested scopes are flattened: two variables of one name are two entries.
struct Body {
  std::vector<Register> registers;
  std::vector<Variable> variables;  // .local, .shared, .param (of calls) and .reg-less; the function's own parameters
                                    // come first: returns, then params
  std::vector<Instruction> instructions;
  std::vector<bool> is_target;      // per instruction: a label stands before it (one more than instructions.size())
  std::vector<Prototype> prototypes;
  std::vector<BranchTargets> branch_targets;
  std::vector<std::shared_ptr<const std::string>> respelled;  // own the opcodes that the text writes with blanks inside
};

struct Function {
  std::string_view name;
  bool is_entry = false;
  Linkage linkage = Linkage::kNone;
  bool is_declaration = false;       // no body here
  std::vector<Variable> returns;     // .func only; space kParam, or kReg (refused by the engine)
  std::vector<Variable> params;
  uint32_t max_threads[3] = {0, 0, 0};       // .maxntid; 0 = not given
  uint32_t required_threads[3] = {0, 0, 0};  // .reqntid; 0 = not given
  uint32_t min_blocks_per_sm = 0;            // .minnctapersm
  uint32_t max_registers = 0;                // .maxnreg
  uint32_t required_cluster[3] = {0, 0, 0};  // .reqnctapercluster; 0 = not given
  bool explicit_cluster = false;             // .explicitcluster
  uint32_t line = 0;                 // where it is declared
  std::string_view body;             // the text between the outer braces, not parsed yet
  uint32_t body_line = 0;            // line of its first character
};

// One PTX text. Bodies are parsed when they are asked for, so that one bad kernel spoils only itself.
struct Module {
  std::string name;                  // what messages call it; whoever loads it may set it
  std::string text;                  // owns what every string_view here points into
  uint32_t version = 0;              // PTX ISA major * 10 + minor
  uint32_t target = 0;               // 75 for sm_75
  std::string_view target_name;      // "sm_90a"
  std::vector<Variable> variables;   // module scope: global, const, shared, and texture references
  std::vector<Function> functions;
  std::unordered_map<std::string_view, int32_t> symbols;  // all names declared: index in variables; -1 for a function
};

}  // namespace outboard::softgpu::ptx
