#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/softgpu/ptx/parser.h"

namespace outboard::softgpu::ptx {

// Two lines, so that what a test adds starts on line 3.
inline constexpr char kPrologue[] = ".version 9.0\n.target sm_90\n";

// The module of the prologue and `text`; null, with the test failed, when it does not parse.
inline std::unique_ptr<Module> Parse(const std::string& text) {
  auto module = ParseModule(kPrologue + text);
  if (module.ok()) return std::move(*module);
  ADD_FAILURE() << module.error().message;
  return nullptr;
}

// The message that the prologue and `text` are refused with; "" when they are not.
inline std::string ModuleError(const std::string& text) {
  const auto module = ParseModule(kPrologue + text);
  return module.ok() ? "" : module.error().message;
}

// A kernel's body. The module stays alive with it, as the body has views into its text.
struct ParsedBody {
  std::unique_ptr<Module> module;
  Body body;
  std::string error;  // "" when the body parsed
};

// The body `text`, which starts on line 4, of a kernel with the parameter `p`, in a module with the global array `g`
// and the function `f`.
inline ParsedBody ParseKernel(const std::string& text) {
  ParsedBody parsed;
  parsed.module = Parse(".global .align 4 .u32 g[8]; .extern .func f; .entry k(.param .u64 p) {\n" + text + "\n}\n");
  if (parsed.module == nullptr) return parsed;
  auto body = ParseBody(*parsed.module, parsed.module->functions.back());
  if (body.ok()) {
    parsed.body = std::move(*body);
  } else {
    parsed.error = body.error().message;
  }
  return parsed;
}

}  // namespace outboard::softgpu::ptx
