#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "server/softgpu/exec/engine.h"

namespace outboard::softgpu::api {

class Driver;

// What Checks find, as lines on the process's standard error, each "outboard: check: ...": that is the program's, on
// whichever machine it runs. Thread-safe.
class CheckReports {
 public:
  explicit CheckReports(const Driver& driver) : driver_(driver) {}

  void Tell(const Fault& fault);
  // Once for each key, and not endlessly many.
  void Tell(const Finding& finding);

 private:
  void Write(const std::string& text);

  const Driver& driver_;
  std::mutex mutex_;
  std::set<std::string> told_;  // guarded by mutex_
};

}  // namespace outboard::softgpu::api
