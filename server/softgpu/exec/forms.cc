#include "server/softgpu/exec/forms.h"

#include <algorithm>
#include <charconv>

#include "server/softgpu/exec/lanes/levels.h"
#include "server/softgpu/exec/lanes/tensor_levels.h"
#include "server/softgpu/exec/words.h"

namespace outboard::softgpu {
namespace {

template <int kLevel>
void AddAll(FormTable& table) {
  Lanes<kLevel>::AddInteger(table);
  Lanes<kLevel>::AddBits(table);
  Lanes<kLevel>::AddFloat(table);
  Lanes<kLevel>::AddHalf(table);
  Lanes<kLevel>::AddApproximate(table);
  Lanes<kLevel>::AddCompare(table);
  Lanes<kLevel>::AddConvert(table);
  Lanes<kLevel>::AddConvertHalf(table);
  Lanes<kLevel>::AddMove(table);
  Lanes<kLevel>::AddMemory(table);
  Lanes<kLevel>::AddAsyncCopy(table);
  Lanes<kLevel>::AddFused(table);
  Lanes<kLevel>::AddAtomic(table);
  Lanes<kLevel>::AddTexture(table);
  Lanes<kLevel>::AddWarp(table);
  TensorLanes<kLevel>::AddMatrix(table);
  TensorLanes<kLevel>::AddMatrixMove(table);
  TensorLanes<kLevel>::AddMbarrier(table);
}

// Those of the highest level that is built and not above `level`.
template <int kLevel = OUTBOARD_HIGHEST_CPU_LEVEL>
void AddUpTo(FormTable& table, int level) {
  if constexpr (kLevel > 2) {
    if (level < kLevel) return AddUpTo<kLevel - 1>(table, level);
  }
  AddAll<kLevel>(table);
}

bool IsFloat(std::string_view type) { return IsOneOf(type, {"f32", "f64", "f16", "f16x2", "bf16", "bf16x2"}); }
bool IsRounding(std::string_view word) { return IsOneOf(word, {"rn", "rz", "rm", "rp"}); }

// cvt, with what means nothing left out, what is understood put in, and .relu before .satfinite.
void FoldConversion(std::vector<std::string>* words) {
  if (words->size() < 2) return;
  const std::string from = words->back(), to = (*words)[words->size() - 2];
  const auto drop = [&](auto is_dropped) {
    words->erase(std::remove_if(words->begin(), words->end() - 2, is_dropped), words->end() - 2);
  };
  const bool is_from_half = from == "f16" || from == "bf16";
  // Every conversion of these to an integer clamps, and every one to a wider format is exact.
  if (IsFloat(from) && !IsFloat(to)) drop([](std::string_view word) { return word == "sat"; });
  if (is_from_half && (to == "f32" || to == "f64")) drop(IsRounding);
  if (is_from_half && (to == "f16" || to == "bf16") && to != from && !IsRounding(words->front()))
    words->insert(words->begin(), "rn");
  const auto relu = std::find(words->begin(), words->end(), "relu");
  const auto finite = std::find(words->begin(), words->end(), "satfinite");
  if (finite < relu && relu != words->end()) std::iter_swap(finite, relu);
}

// "b32" for every 32-bit type.
std::string Untyped(std::string_view type) { return "b" + std::to_string(8 * TypeBytes(type)); }

}  // namespace

Forms::Forms(int level) { AddUpTo(*this, level); }

template <int kLevel>
const Forms& Forms::Of() {
  // Never destroyed: kernels may still run while the process exits.
  static const Forms* const kForms = new Forms(kLevel);
  return *kForms;
}

const Forms& Forms::OfLevel(int level) {
  switch (level) {
    case 2:
      return Of<2>();
    case 3:
      return Of<3>();
    default:
      return Of<4>();
  }
}

void Forms::Add(const char* const* parts, size_t count, const char* signature, Handler handler, Control control) {
  std::string name;
  for (size_t i = 0; i < count; ++i) name += parts[i];
  forms_.emplace(std::move(name), Form{signature, handler, control});
}

const Form* Forms::Find(std::string_view name) const {
  const auto found = forms_.find(std::string(name));
  return found == forms_.end() ? nullptr : &found->second;
}

std::vector<std::string_view> Forms::Names() const {
  std::vector<std::string_view> names;
  for (const auto& [name, form] : forms_) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

Opcode::Opcode(std::string_view text) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t dot = std::min(text.find('.', begin), text.size());
    const std::string_view word = text.substr(begin, dot - begin);
    if (begin == 0) {
      base = word;
    } else {
      modifiers.push_back(word);
    }
    begin = dot + 1;
  }
}

bool Opcode::Has(std::string_view modifier) const {
  return std::find(modifiers.begin(), modifiers.end(), modifier) != modifiers.end();
}

uint32_t TypeBytes(std::string_view type) {
  if (type == "f16x2" || type == "bf16x2") return 4;
  const size_t digits = type.find_first_of("0123456789");
  if (digits == std::string_view::npos || !IsOneOf(type.substr(0, digits), {"b", "u", "s", "f", "bf"})) return 0;
  uint32_t bits = 0;
  const char* end = type.data() + type.size();
  const auto [stop, failure] = std::from_chars(type.data() + digits, end, bits);
  return failure == std::errc() && stop == end ? bits / 8 : 0;
}

std::string CanonicalName(const Opcode& opcode) {
  std::string_view base = opcode.base;
  std::vector<std::string> words(opcode.modifiers.begin(), opcode.modifiers.end());
  if (words.empty()) return std::string(base);
  // Libraries also write ex2.approx.f32.ftz and vote.ballot.sync.b32.
  if (words.size() >= 2 && words.back() == "ftz") std::swap(words.back(), words[words.size() - 2]);
  const std::string type = words.back();
  if (IsFloat(type) && IsOneOf(base, {"add", "sub", "mul", "mad", "fma"})) {
    if (base == "mad") base = "fma";
    if (!IsRounding(words.front())) words.insert(words.begin(), "rn");
  } else if (base == "cvt") {
    FoldConversion(&words);
  } else if (base == "vote" && words.size() == 3 && words[1] == "sync") {
    std::swap(words[0], words[1]);
  } else if (base == "selp") {
    words.back() = Untyped(type);
  } else if (base == "slct" && words.size() >= 2) {
    words[words.size() - 2] = Untyped(words[words.size() - 2]);
  } else if (base == "popc" || base == "clz" || base == "brev" || base == "bfi") {
    words.back() = Untyped(type);
  } else if (base == "cvta" || base == "isspacep") {
    // A block is all of its cluster.
    for (std::string& word : words) {
      if (word == "shared::cta" || word == "shared::cluster") word = "shared";
    }
  } else if ((base == "min" || base == "max") && type == "relu" && words.size() == 2) {
    std::swap(words[0], words[1]);
  } else if (base == "activemask" || base == "shfl" || base == "prmt" || base == "lop3") {
    if (TypeBytes(type) != 0) words.back() = Untyped(type);
  }
  std::string name(base);
  for (const std::string& word : words) name += "." + word;
  return name;
}

}  // namespace outboard::softgpu
