#pragma once

#include <memory>
#include <string>

#include "common/base/result.h"
#include "server/softgpu/ptx/ast.h"

namespace outboard::softgpu::ptx {

// Parses the module level of a PTX text: directives, variables, and the heads of functions. A function's body is only
// delimited. Errors name the line and what was found there. Any input is safe. `text` ends at its first NUL, if any.
Result<std::unique_ptr<Module>> ParseModule(std::string text);

// Parses the body of a function of `module`. Registers and labels are resolved; a name that is neither declared in the
// body nor a function or variable of the module is an error with its line. Thread-safe for one module.
Result<Body> ParseBody(const Module& module, const Function& function);

}  // namespace outboard::softgpu::ptx
