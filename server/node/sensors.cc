#include "server/node/sensors.h"

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/base/result.h"
#include "server/node/nvml_reader.h"

namespace outboard::node {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

struct Sensors::State {
  explicit State(std::function<Readings()> read_function) : read(std::move(read_function)) {}

  // The thread.
  void Serve() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return wanted || over; });
      if (over) return;
      lock.unlock();
      Readings fresh = read();
      lock.lock();
      readings = std::move(fresh);
      taken = Clock::now();
      ++times;
      wanted = false;
      late = false;
      changed.notify_all();
    }
  }

  const std::function<Readings()> read;
  std::mutex mutex;
  std::condition_variable changed;
  // All guarded by mutex.
  bool wanted = false;
  bool over = false;
  bool started = false;
  bool late = false;   // somebody has waited in vain for the readings that are under way
  uint64_t times = 0;  // that readings came
  Clock::time_point taken;
  Readings readings;
};

Sensors::Sensors(std::function<Readings()> read, Limits limits)
    : limits_(limits), state_(std::make_shared<State>(std::move(read))) {}

Sensors::~Sensors() {
  {
    std::lock_guard lock(state_->mutex);
    state_->over = true;
  }
  state_->changed.notify_all();
}

Readings Sensors::Read() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  if (!AskIfOld(state)) return state.readings;
  const uint64_t before = state.times;
  const auto patience = before == 0 ? limits_.first_patience : limits_.patience;
  if (!state.late) state.late = !state.changed.wait_for(lock, patience, [&] { return state.times != before; });
  return state.readings;
}

Readings Sensors::Latest() {
  std::lock_guard lock(state_->mutex);
  AskIfOld(*state_);
  return state_->readings;
}

// Under the lock. False: what there is, is new enough.
bool Sensors::AskIfOld(State& state) const {
  if (state.times != 0 && Clock::now() - state.taken < limits_.age) return false;
  if (!std::exchange(state.started, true)) std::thread([shared = state_] { shared->Serve(); }).detach();
  state.wanted = true;
  state.changed.notify_all();
  return true;
}

std::function<Readings()> ReadByNvml(std::string library, std::vector<std::string> uuids) {
  struct Source {
    std::string library;
    std::vector<std::string> uuids;
    std::optional<Result<std::unique_ptr<NvmlReader>>> reader;
  };
  const auto source = std::make_shared<Source>(Source{std::move(library), std::move(uuids), std::nullopt});
  return [source] {
    if (!source->reader) {
      source->reader = NvmlReader::Open(source->library);
      if (!*source->reader) {
        Log(LogLevel::kWarn, "temperatures, power and clocks of the GPUs are not known: %s",
            source->reader->error().message.c_str());
      }
    }
    Readings readings;
    if (!*source->reader) return readings;
    const NvmlReader& reader = ***source->reader;
    readings.driver_version = reader.driver_version();
    for (const std::string& uuid : source->uuids) {
      readings.gpus[uuid] = reader.Read(uuid);
      if (reader.IsLost(uuid)) readings.lost.insert(uuid);
    }
    return readings;
  };
}

}  // namespace outboard::node
