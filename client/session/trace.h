#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace outboard::client {

// What stands before each frame in a trace (docs/wire.md, "Traces").
struct TraceRecord {
  uint32_t bytes;        // of the frame that follows
  uint32_t direction;    // 0: from the client, 1: from the worker
  uint64_t nanoseconds;  // since the trace began
};
static_assert(sizeof(TraceRecord) == 16);
inline constexpr uint64_t kTraceMagic = 0x3143'5254'4442'544f;  // "OTBDTRC1"

// The frames of a session in a file, in the order in which they went out and came in. It holds what the program copied
// to the GPU and back. Thread-safe.
class Trace {
 public:
  enum class Direction : uint32_t { kFromClient = 0, kFromWorker = 1 };

  // Writes to `path`, in which %p stands for the number of this process, over what was there. When another process is
  // writing to that file, the number is added to its name.
  static Result<std::unique_ptr<Trace>> Open(const std::string& path);

  // When a frame cannot be written, that is logged, and the trace ends with the frame before.
  void Write(Direction direction, std::span<const std::byte> frame);

 private:
  Trace(UniqueFd file, std::string path) : path_(std::move(path)), file_(std::move(file)) {}
  bool WriteAll(std::span<const std::byte> bytes);

  const std::string path_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  UniqueFd file_;  // none once writing has failed
};

}  // namespace outboard::client
