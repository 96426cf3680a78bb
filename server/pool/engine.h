#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "server/pool/controller.h"
#include "server/pool/store.h"

namespace outboard::pool {

// The controller's thread: hands events over one by one, stores what changed, and only then has actions done. What came
// in while it stored is stored together. While the store fails, events are refused with the reason, and what was
// decided before is stored as soon as that works again. Thread-safe.
class Engine {
 public:
  // Does actions, on the engine's thread. It may post.
  using Perform = std::function<void(const Action&)>;
  // Sees the pool between events; what it sees is stored. On the engine's thread.
  using Look = std::function<void(Controller&)>;

  // Starts with what the store has. The error is the store's.
  static Result<std::unique_ptr<Engine>> Start(Settings settings, std::unique_ptr<Store> store, Perform perform);
  ~Engine();  // what was posted before is done first

  void Post(Event event);
  void Post(Look look);

  // By the pool's own clock.
  Time Now() const;
  const Settings& settings() const { return controller_.settings(); }  // constant

 private:
  using Work = std::variant<Event, Look>;

  Engine(Settings settings, std::unique_ptr<Store> store, Perform perform);
  std::optional<Error> Restore();
  void Run();
  std::vector<Work> Wait();
  bool Write(const std::vector<Change>& changes);
  void Refuse(std::vector<Work> works, const std::string& why);

  const std::unique_ptr<Store> store_;
  const Perform perform_;
  Controller controller_;                          // of the engine's thread, once it runs
  Time start_{};                                   // constant after Restore, as is started_
  std::chrono::steady_clock::time_point started_;  // when it was start_

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Work> works_;  // guarded by mutex_
  bool ending_ = false;      // guarded by mutex_
  std::thread thread_;
};

}  // namespace outboard::pool
