#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/softgpu/exec/forms.h"
#include "server/softgpu/exec/function_decoder.h"
#include "server/softgpu/exec/program.h"

namespace outboard::softgpu {

// What the functions that are decoded late have in shared memory, which has its place before a kernel runs.
struct LateNeeds {
  std::vector<uint32_t> variables;  // that functions name, each once; indices in Program::variables()
  std::vector<uint32_t> functions;  // that have variables of their own: kernels decode them early
};

// Reads the text of the program. nullopt where that is not so long that functions are decoded late.
std::optional<LateNeeds> LateNeedsOf(const Program& program);

// The functions of a program that a kernel may call through pointers and that are too many to decode before it runs:
// each is decoded when it is first called, with what it calls by name. Thread-safe.
class LateFunctions {
 public:
  // `shared`: where the kernel's shared variables are, those among them that such functions name. What is passed by
  // reference must outlive this.
  LateFunctions(const Program& program, const Forms& forms, SharedLayout shared);

  // The code whose first function is what `pointer` points to; null where it points to no function, and where that
  // cannot be decoded: then `failure` says why.
  const Kernel* Find(uint64_t pointer, std::string* failure);

  // Gives all that such functions have in shared memory its place in a kernel's.
  static void Place(const LateNeeds& needs, ProgramDecoder* kernel);

 private:
  const Program& program_;
  const Forms& forms_;
  const SharedLayout shared_;
  std::mutex mutex_;
  std::unordered_map<uint64_t, Result<std::unique_ptr<Kernel>>> decoded_;  // by pointer; guarded by mutex_
};

}  // namespace outboard::softgpu
