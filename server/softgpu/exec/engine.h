#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "server/softgpu/exec/checks.h"
#include "server/softgpu/exec/memory.h"
#include "server/softgpu/ptx/ast.h"

// The engine: PTX modules in, results of kernels out. Knows neither cuda.h nor images, streams or devices.

namespace outboard::softgpu {

// The memory that one launch may touch: extents in order of address, not overlapping. Immutable, so a snapshot can be
// shared by running kernels while new memory is allocated.
using ExtentTable = std::vector<Extent>;

enum class FaultKind {
  kIllegalAddress,
  kMisalignedAddress,
  kIllegalInstruction,
  kInvalidPc,
  kTrap,
  kAssert,
  kStackOverflow,
  kDeadlock,  // no thread of a block can go on; hardware would hang
};

// Why a kernel was stopped.
struct Fault {
  FaultKind kind;
  uint64_t address = 0;  // of the access, where there was one
  uint32_t ptx_line = 0;
  uint32_t block[3] = {0, 0, 0};
  uint32_t thread[3] = {0, 0, 0};
  std::string message;  // one sentence with kernel, block, thread, address and PTX line, ready for the log

  // Of an access, with Checks; an address of a window is one of its space then.
  MemorySpace space{};
  bool is_read = false;
  uint32_t bytes = 0;
  std::string report;  // lines: what happened, and where; for device memory whoever knows allocations adds to it
};

// What a kernel did wrong without being stopped.
struct Finding {
  std::string key;       // the same for what is found again at the same place
  std::string text;      // lines; for device memory whoever knows allocations adds to it
  uint64_t address = 0;  // of an access to device memory; else 0
  uint32_t bytes = 0;
};

struct KernelParam {
  uint32_t offset;  // bytes in the parameter buffer
  uint32_t size;
};

struct KernelInfo {
  std::string name;
  std::vector<KernelParam> params;
  uint32_t param_bytes = 0;
  uint32_t static_shared_bytes = 0;
  uint32_t local_bytes = 0;            // per thread
  uint32_t const_bytes = 0;            // of the module's .const variables
  uint32_t registers = 0;              // an estimate, as a real compiler's allocation is unknown
  uint32_t max_threads_per_block = 0;  // from .maxntid or .reqntid; 0 = no bound of its own
  uint32_t required_threads[3] = {0, 0, 0};
  uint32_t ptx_version = 0;  // of the target: 75 for compute_75
};

struct GlobalInfo {
  uint64_t address = 0;  // device address, valid after Place
  uint64_t size = 0;
};

// What device code can ask the world outside for. Called from engine threads.
class DeviceRuntime {
 public:
  virtual ~DeviceRuntime() = default;
  // Text that printf made, in order for one thread of one kernel.
  virtual void Print(std::string_view text) = 0;
  // Device-side malloc and free; a device address inside an extent of the launch, or 0.
  virtual uint64_t Malloc(uint64_t bytes) = 0;
  // False when `address` is not a live allocation of Malloc.
  virtual bool Free(uint64_t address) = 0;
  // Sets the condition of a conditional node of a graph. False when there is none of this handle.
  virtual bool SetConditional(uint64_t handle, uint32_t value) = 0;
  // With Checks. A place for each byte of device memory from `place` on, not 0 where the byte was ever written; null
  // where that is not known, and then all was.
  virtual uint8_t* Written([[maybe_unused]] const std::byte* place) { return nullptr; }
  virtual void Found([[maybe_unused]] const Finding& finding) {}
};

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t Count() const { return uint64_t{x} * y * z; }
};

class Module;
class Kernel;
struct TextureTable;  // texture.h

struct Launch {
  Dim3 grid, block;
  uint32_t dynamic_shared_bytes = 0;
  std::vector<std::byte> params;                     // param_bytes of the kernel
  uint32_t sm_count = 1;                             // for %nsmid and %smid
  std::shared_ptr<const std::vector<uint32_t>> sms;  // those that it may run on, at least one; null for all
  uint64_t chaos = 0;                                // seed that varies which warp of a block goes first; 0 = in order
  std::shared_ptr<const TextureTable> textures;      // null for none
  uint64_t residents = 1;    // blocks that the device holds at a time: so many can wait for each other
  bool cooperative = false;  // any block may wait for any other
};

// Runs kernels on the machine's CPUs: `threads` at a time, whoever calls, and of a launch that has not all
// multiprocessors its part of them, one at least. Thread-safe.
class Engine {
 public:
  // `threads` >= 1; `cpu_level` is 2, 3 or 4 (x86-64-v2, v3, v4) and at most HighestCpuLevel().
  Engine(unsigned threads, int cpu_level, Checks checks = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // That this machine runs and this build has: those for sanitizers leave the higher ones out.
  static int HighestCpuLevel();
  int cpu_level() const;
  unsigned threads() const;
  // What the kernels that it runs are to be decoded for.
  const Checks& checks() const { return checks_; }

  // Runs the kernel to its end or to its first fault and returns; the calling thread works too. The caller keeps
  // kernel, memory and runtime alive.
  std::optional<Fault> Run(const Kernel& kernel, const Launch& launch, const ExtentTable& memory,
                           DeviceRuntime& runtime);

 private:
  struct State;
  const Checks checks_;
  std::optional<Fault> RunBlocks(const Kernel& kernel, const Launch& launch, const ExtentTable& memory,
                                 DeviceRuntime& runtime);

  std::unique_ptr<State> state_;
};

// A linked program: one or several PTX modules, their symbols merged, with its variables at one place in device memory.
//
// Use: Link, allocate variable_bytes() of device memory, Place, then Prepare kernels. Thread-safe after Place.
class Module {
 public:
  // Symbols are resolved across the modules: a definition beats a declaration, a strong one a weak one. Modules that
  // contradict each other are an error, which names each symbol and the modules. Undefined symbols that only unused
  // kernels need are none; Prepare and Undefined report them.
  // `gap`: bytes between variables that are nobody's.
  static Result<std::unique_ptr<Module>> Link(std::vector<std::shared_ptr<const ptx::Module>> modules,
                                              uint32_t gap = 0);
  ~Module();

  // Device memory that the .global and .const variables need; aligned to 256 bytes by the caller. May be 0.
  uint64_t variable_bytes() const;

  // Says where the variables are (device address and the same place in this process) and writes their initial values.
  void Place(uint64_t address, std::byte* host);

  // The names that kernels need and no module defines: a sentence for each, with the module. May read all the text.
  std::vector<std::string> Undefined() const;

  // The .global and .const variables, after Place.
  struct Variable {
    std::string name;  // as people write it
    uint64_t address;
    uint64_t size;
    bool is_constant;
  };
  std::vector<Variable> Variables() const;

  std::vector<std::string> KernelNames() const;                       // in order of definition, each once
  std::optional<GlobalInfo> FindGlobal(std::string_view name) const;  // .global and .const variables
  bool HasKernel(std::string_view name) const;

  // Heads only, so it works for kernels that Prepare refuses.
  std::optional<KernelInfo> Describe(std::string_view name) const;

  // Decodes a kernel and what it calls, once, for the CPU level of `engine`, the only one to run it on. An error lists
  // every instruction form that the engine lacks, and where. The kernel lives as long as the module.
  Result<const Kernel*> Prepare(std::string_view name, const Engine& engine);

 private:
  struct State;
  explicit Module(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A decoded kernel.
const KernelInfo& InfoOf(const Kernel& kernel);

// Every instruction form that the engine has, such as "add.s32" or "fma.rn.ftz.f32", in alphabetical order.
std::vector<std::string_view> ImplementedForms();

}  // namespace outboard::softgpu
