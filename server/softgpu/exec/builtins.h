#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/softgpu/exec/kernel.h"

namespace outboard::softgpu {

// The function of the device's runtime with this name; kNone for none.
Builtin BuiltinOf(std::string_view name);

// Functions that a driver gives to the device's runtime (libcudadevrt), which no text defines.
bool IsOfDriver(std::string_view name);

// Why a kernel that calls this function cannot run, as a failure of its decoding: it launches kernels, or asks the
// driver for something else that needs the host. Empty for other functions.
std::string RefusalOfCall(std::string_view name);

// One lane's call of a function that the device's runtime provides: vprintf, __assertfail, malloc, free,
// cudaGraphSetConditional.
struct BuiltinCall {
  WarpContext& context;
  DeviceRuntime& runtime;
  uint32_t lane;
  const CallSite& site;
  std::byte* local;  // the caller's frame in this lane's local memory

  // nullopt when the call is done. Otherwise the kernel stops: context.fault says which access was refused, or else the
  // text is a failed assertion's.
  std::optional<std::string> Run();

 private:
  uint64_t Argument(size_t index) const;
  void SetResult(uint64_t value);
  // A NUL-terminated string of the device; nullopt with context.fault set when it cannot be read.
  std::optional<std::string> ReadString(uint64_t address);
  std::optional<std::string> Print();
  std::optional<std::string> Assert();
};

// printf's argument list, read in order: each value lies at the next multiple of its size. nullopt when it cannot be
// read.
class PrintArguments {
 public:
  virtual std::optional<uint64_t> Next(uint32_t bytes) = 0;
  virtual std::optional<std::string> String(uint64_t address) = 0;

 protected:
  ~PrintArguments() = default;
};

// What device printf makes of a format (CUDA C++ Programming Guide, "Formatted output"): C's conversions without %n.
// nullopt when an argument cannot be read. `conversions` counts those done.
std::optional<std::string> FormatPrint(const std::string& format, PrintArguments& arguments, uint32_t* conversions);

}  // namespace outboard::softgpu
