#include "tests/instructions/values.h"

#include <algorithm>
#include <cinttypes>

#include "tests/instructions/inputs.h"
#include "tests/instructions/recordings.h"

namespace outboard::softgpu::testing {
namespace {

constexpr size_t kOutputs = 1 << 20;  // where results lie in the data, bytes
constexpr uint32_t kThreads = 64;     // per block
constexpr uint64_t kUntouched = 0x5a5a5a5a5a5a5a5a;
constexpr int kReported = 5;  // mismatches shown per case

// The class of register that holds a value: p, h, r or x.
char ClassOf(ValueType type) {
  switch (BitsOf(type)) {
    case 1:
      return 'p';
    case 16:
      return 'h';
    case 64:
      return 'x';
    default:
      return 'r';
  }
}

std::string Register(char role, char register_class, size_t index) {
  return std::string("%") + role + register_class + std::to_string(index);
}

std::string Substituted(const std::string& text, const std::vector<std::string>& operands, const std::string& guard) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 3, "@G ") == 0) {
      result += guard;
      i += 2;
    } else if (text[i] == '$' && i + 1 < text.size()) {
      const char which = text[++i];
      result += which == 't' ? "%free" : operands.at(static_cast<size_t>(which - '0'));
    } else {
      result += text[i];
    }
  }
  return result;
}

std::string CellOf(const char* base, size_t row, size_t inputs) {
  return std::string("[") + base + "+" + std::to_string(row * inputs * 8) + "]";
}

// Whether the instruction can also be tried with its first source as destination.
bool CanAlias(const ValueCase& value_case) {
  return value_case.results.size() == 1 && !value_case.sources.empty() &&
         value_case.results[0] != ValueType::kPredicate &&
         ClassOf(value_case.results[0]) == ClassOf(value_case.sources[0]) &&
         value_case.text == PlainText(value_case.form, 1 + value_case.sources.size());
}

std::string LoadText(ValueType type, size_t k, size_t inputs) {
  const std::string cell = CellOf("%in", k + 1, inputs), to = Register('s', ClassOf(type), k);
  switch (ClassOf(type)) {
    case 'p':
      return "ld.global.u32 %free, " + cell + ";\nsetp.ne.u32 " + to + ", %free, 0;\n";
    // By way of a 32-bit register, so that the engine's row holds garbage above the 16 bits.
    case 'h':
      return "ld.global.u32 %free, " + cell + ";\nmov.b32 {" + to + ", _}, %free;\n";
    case 'x':
      return "ld.global.u64 " + to + ", " + cell + ";\n";
    default:
      return "ld.global.u32 " + to + ", " + cell + ";\n";
  }
}

std::string SentinelText(ValueType type, size_t k) {
  const std::string to = Register('d', ClassOf(type), k);
  switch (ClassOf(type)) {
    case 'p':
      return "setp.eq.u32 " + to + ", %i, %i;\n";
    case 'h':
      return "mov.u16 " + to + ", 0x5a5a;\n";
    case 'x':
      return "mov.u64 " + to + ", 0x5a5a5a5a5a5a5a5a;\n";
    default:
      return "mov.u32 " + to + ", 0x5a5a5a5a;\n";
  }
}

std::string StoreText(const std::string& from, char register_class, size_t row, size_t inputs) {
  const std::string cell = CellOf("%out", row, inputs);
  switch (register_class) {
    case 'p':
      return "selp.u32 %free, 1, 0, " + from + ";\nst.global.u32 " + cell + ", %free;\n";
    case 'h':
      return "st.global.u16 " + cell + ", " + from + ";\n";
    case 'x':
      return "st.global.u64 " + cell + ", " + from + ";\n";
    default:
      return "st.global.u32 " + cell + ", " + from + ";\n";
  }
}

std::string KernelText(const ValueCase& value_case) {
  const size_t inputs = value_case.inputs;
  std::string text =
      ".visible .entry test(.param .u64 in, .param .u64 out)\n{\n"
      ".reg .pred %guard, %sp<8>, %dp<4>;\n.reg .b16 %sh<8>, %dh<4>, %ah0;\n.reg .b32 %free, %i, %n, %sr<8>, %dr<4>, "
      "%ar0;\n"
      ".reg .b64 %in, %out, %offset, %sx<8>, %dx<4>, %ax0;\n"
      "ld.param.u64 %in, [in];\nld.param.u64 %out, [out];\n"
      "mov.u32 %i, %ctaid.x;\nmov.u32 %n, %ntid.x;\nmov.u32 %free, %tid.x;\nmad.lo.u32 %i, %i, %n, %free;\n"
      "mul.wide.u32 %offset, %i, 8;\nadd.u64 %in, %in, %offset;\nadd.u64 %out, %out, %offset;\n"
      "ld.global.u32 %free, [%in];\nsetp.ne.u32 %guard, %free, 0;\n";
  std::vector<std::string> operands;
  for (size_t k = 0; k < value_case.results.size(); ++k) {
    text += SentinelText(value_case.results[k], k);
    operands.push_back(Register('d', ClassOf(value_case.results[k]), k));
  }
  for (size_t k = 0; k < value_case.sources.size(); ++k) {
    text += LoadText(value_case.sources[k], k, inputs);
    operands.push_back(Register('s', ClassOf(value_case.sources[k]), k));
  }
  text += Substituted(value_case.text, operands, "@%guard ") + "\n";
  for (size_t k = 0; k < value_case.results.size(); ++k) {
    text += StoreText(operands[k], ClassOf(value_case.results[k]), k, inputs);
  }
  if (CanAlias(value_case)) {
    const char letter = ClassOf(value_case.results[0]);
    const std::string alias = Register('a', letter, 0);
    text += std::string("mov.b") +
            (letter == 'h'   ? "16 "
             : letter == 'r' ? "32 "
                             : "64 ") +
            alias + ", " + operands[1] + ";\n";
    operands[0] = operands[1] = alias;
    text += Substituted(value_case.text, operands, "") + "\n" + StoreText(alias, letter, 1, inputs);
  }
  return text + "ret;\n}\n";
}

std::string Shown(const std::vector<ValueType>& types, const uint64_t* bits) {
  std::string text;
  for (size_t k = 0; k < types.size(); ++k) {
    char one[96];
    if (IsFloat(types[k])) {
      const double value = types[k] == ValueType::kF16    ? FromBits<F16>(bits[k]).Value()
                           : types[k] == ValueType::kBF16 ? FromBits<BF16>(bits[k]).Value()
                           : types[k] == ValueType::kF32  ? double{FromBits<float>(bits[k])}
                                                          : FromBits<double>(bits[k]);
      std::snprintf(one, sizeof one, " %#" PRIx64 " (%.17g)", bits[k], value);
    } else {
      std::snprintf(one, sizeof one, " %#" PRIx64, bits[k]);
    }
    text += one;
  }
  return text;
}

bool IsNan(ValueType type, uint64_t bits) {
  const bool is_single = type == ValueType::kF32;
  const uint64_t infinity = is_single ? 0x7f800000 : 0x7ff0000000000000;
  return (bits & (is_single ? 0x7fffffff : 0x7fffffffffffffff)) > infinity;
}

bool Meets(const Expectation& expected, ValueType type, uint64_t got) {
  switch (expected.kind) {
    case Expectation::kUnspecified:
      return true;
    case Expectation::kAnyNan:
      return IsNan(type, got);
    case Expectation::kBits:
      break;
  }
  return got == expected.bits;
}

}  // namespace

uint32_t BitsOf(ValueType type) {
  constexpr uint32_t kBits[] = {1, 8, 8, 16, 16, 32, 32, 64, 64, 32, 64, 16, 16, 32, 32};
  return kBits[static_cast<size_t>(type)];
}

bool IsFloat(ValueType type) { return type >= ValueType::kF32 && type <= ValueType::kBF16; }

bool IsPacked(ValueType type) { return type == ValueType::kF16x2 || type == ValueType::kBF16x2; }

ValueType ElementOf(ValueType packed) { return packed == ValueType::kF16x2 ? ValueType::kF16 : ValueType::kBF16; }

std::string PlainText(const std::string& opcode, size_t operands) {
  std::string text = "@G " + opcode;
  for (size_t k = 0; k < operands; ++k) text += (k == 0 ? " $" : ", $") + std::to_string(k);
  return text + ";";
}

void RunValues(Machine& machine, int level, const ValueCase& value_case) {
  const size_t inputs = value_case.inputs, results = value_case.results.size(), sources = value_case.sources.size();
  const std::string key = value_case.form + " " + value_case.text;
  const std::vector<std::vector<uint64_t>> rows = MakeInputs(key, value_case.sources, inputs);
  std::mt19937_64 random = RandomOf(key + " lanes");
  const bool is_guarded = value_case.text.find("@G ") != std::string::npos;
  const bool is_aliased = CanAlias(value_case);

  std::vector<bool> active(inputs, true);
  for (size_t warp = 1; warp < inputs / kThreads * 2; warp += 2) {
    // Few lanes, half of them, or nearly all.
    const uint64_t lanes = warp % 4 == 1   ? random() & random() & random()
                           : warp % 8 == 3 ? random()
                                           : random() | random() | random();
    for (size_t lane = 0; lane < 32; ++lane) active[warp * 32 + lane] = ((lanes >> lane) & 1) != 0;
  }
  machine.Fill(0);
  for (size_t i = 0; i < inputs; ++i) {
    machine.Write<uint64_t>(i * 8, active[i]);
    for (size_t k = 0; k < sources; ++k) {
      uint64_t cell = rows[k][i];
      // Garbage above narrow values.
      if (BitsOf(value_case.sources[k]) == 8) cell |= random() << 8;
      if (BitsOf(value_case.sources[k]) == 16) cell |= random() << 16;
      machine.Write<uint64_t>(((k + 1) * inputs + i) * 8, cell);
    }
  }
  const std::span<const std::byte> data(machine.data(), kDataBytes);
  const size_t read_bytes = (sources + 1) * inputs * 8, result_bytes = (results + (is_aliased ? 1 : 0)) * inputs * 8;
  const std::string kernel = KernelText(value_case);
  if (!machine.Load(kernel)) return;
  const Dim3 grid{static_cast<uint32_t>(inputs / kThreads)}, block{kThreads};
  if (!machine.RunWell("test", grid, block, Params().Add(kDataAddress).Add(kDataAddress + kOutputs))) return;

  if (ValueObserver* const observer = ObserverOfValues(); observer != nullptr && level == Levels().front()) {
    observer->See({.key = key,
                   .ptx = std::string(PtxHead()) + kernel,
                   .cells = data.first(read_bytes),
                   .results = data.subspan(kOutputs, result_bytes),
                   .inputs = inputs,
                   .threads_per_block = kThreads});
  }

  int failures = 0;
  for (size_t i = 0; i < inputs; ++i) {
    uint64_t in[8], got[8];
    Expectation expected[8];
    for (size_t k = 0; k < sources; ++k) in[k] = rows[k][i];
    for (size_t k = 0; k < results + (is_aliased ? 1 : 0); ++k)
      got[k] = machine.Read<uint64_t>(kOutputs + (k * inputs + i) * 8);
    if (value_case.expect) value_case.expect(in, expected);
    const bool is_active = active[i] || !is_guarded;
    bool good = true;
    std::string wanted = " a result within bounds";
    if (!is_active) {
      for (size_t k = 0; k < results; ++k) {
        const uint32_t bits = BitsOf(value_case.results[k]);
        expected[k] = {Expectation::kBits, bits == 1    ? 1
                                           : bits == 64 ? kUntouched
                                                        : kUntouched & ((uint64_t{1} << bits) - 1)};
      }
    }
    if (value_case.expect || !is_active) {
      for (size_t k = 0; k < results; ++k) good = good && Meets(expected[k], value_case.results[k], got[k]);
      wanted.clear();
      for (size_t k = 0; k < results; ++k) {
        wanted += expected[k].kind == Expectation::kAnyNan ? " NaN" : Shown({value_case.results[k]}, &expected[k].bits);
      }
    } else {
      good = value_case.accept(in, got);
    }
    if (is_aliased && is_active) good = good && got[1] == got[0];
    if (good) continue;
    if (++failures > kReported) break;
    ADD_FAILURE() << (value_case.form.empty() ? value_case.text : value_case.form)
                  << (is_active ? "" : " (lane masked off)") << ": of" << Shown(value_case.sources, in) << " expected"
                  << wanted << ", got" << Shown(value_case.results, got)
                  << (is_aliased && is_active && got[1] != got[0]
                          ? ", and something else with its source as destination"
                          : "");
  }
  ExpectSameAtEveryLevel(key, level, machine.data() + kOutputs, result_bytes);
  if (!value_case.form.empty()) RecordTested(value_case.form, level);
}

}  // namespace outboard::softgpu::testing
