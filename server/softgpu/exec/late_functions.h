#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/softgpu/exec/forms.h"
#include "server/softgpu/exec/function_decoder.h"
#include "server/softgpu/exec/program.h"

namespace outboard::softgpu {

// What functions that are decoded late may have in shared memory: it has its place before a kernel runs.
struct LateNeeds {
  struct Own {
    SharedName name;
    ptx::Variable variable;
  };
  std::vector<uint32_t> variables;  // that they name, each once; indices in Program::variables()
  std::vector<Own> own;             // in their bodies
  bool reserved = false;            // that for system software
};

// Reads the text of the functions in tables and of all that those name. nullopt where there is not so much in tables
// that functions are decoded late.
std::optional<LateNeeds> LateNeedsOf(const Program& program);

// The functions of a program that a kernel may call through pointers, and what those call, where they are too many to
// decode before it runs: each is decoded once, when it is first called. Thread-safe.
class LateFunctions {
 public:
  // `shared`: where the kernel's shared variables are, those of such functions among them. What is passed by reference
  // must outlive this.
  LateFunctions(const Program& program, const Forms& forms, SharedLayout shared);

  // The code whose only function is what `pointer` points to; null where it points to no function, and where that
  // cannot be decoded: then `failure` says why.
  const Kernel* Find(uint64_t pointer, std::string* failure);

  // Gives all that such functions have in shared memory its place in a kernel's.
  static void Place(const LateNeeds& needs, ProgramDecoder* kernel);

 private:
  using Decoded = Result<std::unique_ptr<Kernel>>;

  const Program& program_;
  const Forms& forms_;
  const SharedLayout shared_;
  std::shared_mutex mutex_;
  std::unordered_map<uint64_t, Decoded> decoded_;  // by pointer; mutex_ guards what it has
};

}  // namespace outboard::softgpu
