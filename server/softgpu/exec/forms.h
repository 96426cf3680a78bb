#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/softgpu/exec/inst.h"

namespace outboard::softgpu {

// An instruction form that the engine has at one CPU level.
struct Form {
  const char* signature;  // see FormTable
  Handler handler;
  Control control;
};

// All forms of one CPU level, by canonical name. Immutable; one per level, made at first use.
class Forms final : private FormTable {
 public:
  // `level`: 2, 3 or 4, one that this CPU has: making the table runs code of that level.
  static const Forms& OfLevel(int level);

  const Form* Find(std::string_view name) const;  // null when the engine lacks it
  std::vector<std::string_view> Names() const;    // in alphabetical order

 private:
  explicit Forms(int level);
  template <int kLevel>
  static const Forms& Of();
  void Add(const char* const* parts, size_t count, const char* signature, Handler handler, Control control) override;

  std::unordered_map<std::string, Form> forms_;
};

// An opcode taken apart at its dots: "ld.global.nc.v4.f32" -> "ld", {"global", "nc", "v4", "f32"}.
struct Opcode {
  explicit Opcode(std::string_view text);
  bool Has(std::string_view modifier) const;
  std::string_view Last() const { return modifiers.empty() ? std::string_view() : modifiers.back(); }

  std::string_view base;
  std::vector<std::string_view> modifiers;
};

// Bytes of a type's name, such as 4 for "f32"; 0 for "pred" and what is not a type.
uint32_t TypeBytes(std::string_view type);

// The name under which an opcode that computes on registers stands in the table: synonyms are folded ("mov.f32" is
// "mov.b32", "add.f32" is "add.rn.f32"). Memory accesses, moves, control and comparison with a boolean operation are
// the decoder's business.
std::string CanonicalName(const Opcode& opcode);

}  // namespace outboard::softgpu
