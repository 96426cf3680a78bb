#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/wire/gpu_status.h"

namespace outboard::node {

// What sensors say of the GPUs of this machine.
struct Readings {
  std::string driver_version;                 // empty when it is not known
  std::map<std::string, wire::Figures> gpus;  // by UUID
  std::set<std::string> lost;                 // UUIDs of those that do not answer any more
};

// Reads sensors when somebody asks, on a thread of its own, and keeps what it read for a while. A source that hangs
// delays those who ask once, for a moment, and harms nothing else; its thread is left behind then. Thread-safe.
class Sensors {
 public:
  struct Limits {
    std::chrono::milliseconds age{1000};             // that readings may have
    std::chrono::milliseconds patience{500};         // of one who asks for new ones
    std::chrono::milliseconds first_patience{3000};  // while there are none: the library has to start
  };
  // `read` is called on that thread, one call at a time.
  Sensors(std::function<Readings()> read, Limits limits);
  ~Sensors();

  // The readings: those that there are when new ones do not come in time.
  Readings Read();
  // The same without waiting: the readings that there are. New ones are asked for when they are old.
  Readings Latest();

 private:
  struct State;  // shared with the thread
  bool AskIfOld(State& state) const;
  const Limits limits_;
  const std::shared_ptr<State> state_;
};

// What NVIDIA's management library `library` says of these GPUs. It is opened at the first call; if that fails, one
// line of the log says so, and nothing is known.
std::function<Readings()> ReadByNvml(std::string library, std::vector<std::string> uuids);

}  // namespace outboard::node
