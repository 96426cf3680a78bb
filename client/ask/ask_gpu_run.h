#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace outboard::client {

// Asks gpu-run at its Unix socket `path` (OUTBOARD_RUN_SOCKET; docs/wire.md, "gpu-run's socket") and waits for the
// answer, one packet. An answer of more than `max_bytes` is an error. Waits for `limit` at most for the answer to begin
// with; zero: as long as gpu-run takes. The error is no full sentence: the log ends it. Thread-safe; keeps nothing.
Result<std::string> AskGpuRun(const std::string& path, std::string_view question, size_t max_bytes,
                              std::chrono::milliseconds limit = std::chrono::milliseconds::zero());

}  // namespace outboard::client
