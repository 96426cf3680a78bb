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

  // Whether this is how the functions are decoded whose addresses the program's variables hold.
  static bool AreMeantFor(const Program& program);
  // Gives a place to what such functions have in shared memory, and decodes those that have variables of their own.
  static void Reach(ProgramDecoder* kernel);

 private:
  const Program& program_;
  const Forms& forms_;
  const SharedLayout shared_;
  std::mutex mutex_;
  std::unordered_map<uint64_t, Result<std::unique_ptr<Kernel>>> decoded_;  // by pointer; guarded by mutex_
};

}  // namespace outboard::softgpu
