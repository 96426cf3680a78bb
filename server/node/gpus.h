#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/wire/gpu_status.h"

namespace outboard::node {

// A GPU of this machine. Its place in the list is its ordinal for the driver.
struct Gpu {
  std::string name;
  std::string uuid;            // "GPU-..."
  uint64_t memory_bytes = 0;   // that can be lent
  wire::Figures figures = {};  // what the driver says
  int cuda_version = 0;        // of the driver: 13000 is 13.0; 0: not known
  // Of the memory, what the driver takes for one process's context; 0: nothing, or it is not known.
  uint64_t context_bytes = 0;
};

// A driver, and what it found.
struct Inventory {
  std::string driver;  // its path, or "libcuda.so.1" for the machine's own
  bool is_software = false;
  std::vector<Gpu> gpus;
};

// A child process that asks a driver for its GPUs, so that this one never opens a driver. To be started while this
// process has one thread.
class Probe {
 public:
  // `ask` runs in the child.
  explicit Probe(const std::function<Result<std::vector<Gpu>>()>& ask);
  Probe(const Probe&) = delete;
  ~Probe();  // ends the child

  // Waits for the answer, and not longer than so long.
  Result<std::vector<Gpu>> Wait(std::chrono::milliseconds limit);

 private:
  int answers_ = -1;
  int pid_ = -1;
};

// The text in which the child answers, and back. Decoding refuses what is malformed.
std::string EncodeProbeAnswer(const Result<std::vector<Gpu>>& answer);
Result<std::vector<Gpu>> DecodeProbeAnswer(const std::string& text);

}  // namespace outboard::node
