#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/wire/gpu_status.h"

namespace outboard::node {

// NVIDIA's management library, opened in this process. Thread-confined: to a thread that may be lost, since the library
// waits for the GPU's firmware without end when that is broken.
class NvmlReader {
 public:
  // `path` as dlopen takes it. An error when there is no such library, or when it does not start; no full sentence.
  static Result<std::unique_ptr<NvmlReader>> Open(const std::string& path);
  ~NvmlReader();  // the library stays loaded

  const std::string& driver_version() const { return driver_version_; }

  // What the library says of a GPU now; nothing of one that it does not know.
  wire::Figures Read(const std::string& uuid) const;
  struct Memory {
    uint64_t idle_bytes;  // that processes can have while none has any
    uint64_t free_bytes;  // now
  };
  // nullopt: it is not known.
  std::optional<Memory> ReadMemory(const std::string& uuid) const;
  // Whether the GPU has fallen off the bus, or does not answer otherwise.
  bool IsLost(const std::string& uuid) const;

 private:
  struct Calls;
  explicit NvmlReader(std::unique_ptr<const Calls> calls);

  const std::unique_ptr<const Calls> calls_;
  std::string driver_version_;
};

}  // namespace outboard::node
