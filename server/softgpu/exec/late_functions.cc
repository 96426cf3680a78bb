#include "server/softgpu/exec/late_functions.h"

#include <utility>

#include "server/softgpu/exec/decode.h"
#include "server/softgpu/ptx/lexer.h"
#include "server/softgpu/ptx/parser.h"

namespace outboard::softgpu {
namespace {

// Of PTX: what takes a small part of a second to decode.
constexpr size_t kMaxEarlyBytes = 1 << 20;
// The most that a type or an instruction asks of memory.
constexpr uint32_t kDynamicAlign = 128;

// Collects LateNeeds.
class Needs {
 public:
  explicit Needs(const Program& program)
      : program_(program), is_reached_(program.functions().size()), is_named_(program.variables().size()) {}

  LateNeeds Collect() {
    for (const uint32_t function : program_.address_taken()) Reach(function);
    for (size_t next = 0; next < reached_.size(); ++next) Read(reached_[next]);
    return std::move(needs_);
  }

 private:
  void Reach(uint32_t function) {
    if (is_reached_[function]) return;
    is_reached_[function] = true;
    reached_.push_back(function);
  }

  void Read(uint32_t index) {
    const auto [module, function] = program_.functions()[index];
    bool may_declare = false;
    const char* behind = nullptr;  // the last token
    ptx::Lexer lexer(function->body, function->body_line);
    for (ptx::Token token = lexer.Next(); token.kind != ptx::TokenKind::kEnd; token = lexer.Next()) {
      if (token.kind == ptx::TokenKind::kIdentifier) {
        See(module, token.text);
      } else if (token.kind == ptx::TokenKind::kDirective && token.text == ".shared") {
        may_declare |= token.text.data() != behind;  // or it is a modifier
      }
      behind = token.text.data() + token.text.size();
    }
    if (may_declare) AddOwn(index);
  }

  void See(size_t module, std::string_view name) {
    if (name.starts_with("%")) {
      needs_.reserved |= name.starts_with("%reserved_smem_");
      return;
    }
    const Symbol symbol = program_.Resolve(module, name);
    if (symbol.kind == Symbol::Kind::kFunction) Reach(symbol.index);
    if (symbol.kind != Symbol::Kind::kSharedVariable || is_named_[symbol.index]) return;
    is_named_[symbol.index] = true;
    if (!program_.variables()[symbol.index].variable->unsized_array) needs_.variables.push_back(symbol.index);
  }

  void AddOwn(uint32_t index) {
    const auto [module, function] = program_.functions()[index];
    const Result<ptx::Body> body = ptx::ParseBody(program_.module(module), *function);
    if (!body) return;  // which whoever calls the function is told
    for (uint32_t i = 0; i < body->variables.size(); ++i) {
      const ptx::Variable& variable = body->variables[i];
      if (variable.space == ptx::Space::kShared && !variable.unsized_array)
        needs_.own.push_back({{index, i}, variable});
    }
  }

  const Program& program_;
  std::vector<uint32_t> reached_;
  std::vector<bool> is_reached_, is_named_;
  LateNeeds needs_;
};

}  // namespace

std::optional<LateNeeds> LateNeedsOf(const Program& program) {
  size_t bytes = 0;
  for (const uint32_t function : program.address_taken()) bytes += program.functions()[function].function->body.size();
  if (bytes <= kMaxEarlyBytes) return std::nullopt;
  return Needs(program).Collect();
}

void LateFunctions::Place(const LateNeeds& needs, ProgramDecoder* kernel) {
  kernel->AlignDynamic(kDynamicAlign);
  for (const uint32_t variable : needs.variables) {
    kernel->PlaceShared({SharedName::kNoFunction, variable}, *kernel->program.variables()[variable].variable);
  }
  for (const LateNeeds::Own& own : needs.own) kernel->PlaceShared(own.name, own.variable);
  if (needs.reserved) kernel->PlaceReserved();
}

LateFunctions::LateFunctions(const Program& program, const Forms& forms, SharedLayout shared)
    : program_(program), forms_(forms), shared_(std::move(shared)) {}

const Kernel* LateFunctions::Find(uint64_t pointer, std::string* failure) {
  const uint64_t index = (pointer - FunctionPointer(0)) / 16;
  if (index >= program_.functions().size() || pointer != FunctionPointer(static_cast<uint32_t>(index))) return nullptr;
  const ptx::Function& function = *program_.functions()[index].function;
  if (function.is_entry || function.is_declaration) return nullptr;

  const Decoded* code = nullptr;  // which stays where and what it is
  {
    const std::shared_lock lock(mutex_);
    const auto found = decoded_.find(pointer);
    if (found != decoded_.end()) code = &found->second;
  }
  if (code == nullptr) {
    const std::lock_guard lock(mutex_);
    auto found = decoded_.find(pointer);  // another thread may have been faster
    if (found == decoded_.end()) {
      found = decoded_.emplace(pointer, DecodeLate(program_, static_cast<uint32_t>(index), forms_, shared_)).first;
    }
    code = &found->second;
  }
  if (*code) return (*code)->get();
  *failure = code->error().message;
  return nullptr;
}

}  // namespace outboard::softgpu
