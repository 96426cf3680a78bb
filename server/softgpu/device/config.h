#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "server/softgpu/exec/checks.h"

namespace outboard::softgpu {

// Bytes of one device at most; also the distance between the devices' arenas.
inline constexpr uint64_t kMaxSoftGpuMemory = uint64_t{1} << 40;

// Multiprocessors of one device at most.
inline constexpr unsigned kMaxSms = 512;

// What the environment asks of the software GPU. Every variable is read here and nowhere else. Each may be written with
// or without the prefix OUTBOARD_; with it wins.
struct Config {
  unsigned devices = 1;                // SOFTGPU_DEVICES
  uint64_t memory_bytes = 4ull << 30;  // SOFTGPU_MEMORY, per device: "4GiB"
  unsigned sm_count = 4;               // SOFTGPU_SMS
  int cc_major = 13, cc_minor = 0;     // SOFTGPU_CC: "13.0"
  unsigned threads = 0;     // SOFTGPU_THREADS: CPU threads that run kernels; 0 = as many as this process may use
  int cpu_level = 0;        // SOFTGPU_CPU: v2, v3 or v4; 0 = the highest that the machine has
  uint64_t chaos = 0;       // SOFTGPU_CHAOS: seed; 0 = off
  Checks checks;            // SOFTGPU_CHECK: words with commas between, such as "memory,races"; each includes memory
  std::string check_count;  // SOFTGPU_CHECK_COUNT: a file that gets a byte for each report; empty: none
  std::string directory;  // SOFTGPU_DIR: where the devices' memory lives; by default a folder of this user in /dev/shm
  std::optional<uint64_t> arena_base;  // SOFTGPU_ARENA: first device address of device 0, device N's lies N TiB above;
                                       // by default chosen by the operating system
};

// An error names the variable, its value and what is accepted.
Result<Config> ConfigFromEnvironment();

}  // namespace outboard::softgpu
