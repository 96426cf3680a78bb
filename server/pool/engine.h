#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "server/pool/controller.h"
#include "server/pool/store.h"

namespace outboard::pool {

// The controller's thread: hands events over one by one, stores what changed, and only then has actions done. What came
// in while it stored is stored together. What nodes say goes first, so that nobody takes them for silent while others
// keep the pool busy. While the store fails, events are refused with the reason, and what was decided before is stored
// as soon as that works again. Thread-safe.
class Engine {
 public:
  // Does actions, on the engine's thread. It may post.
  using Perform = std::function<void(const Action&)>;
  // Sees the pool between events; what it sees is stored. On the engine's thread.
  using Look = std::function<void(Controller&)>;
  // Is told, in place of the look, why nothing can be stored.
  using Fail = std::function<void(const std::string& why)>;
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  // Starts with what the store has. The error is the store's.
  static Result<std::unique_ptr<Engine>> Start(Settings settings, std::unique_ptr<Store> store, Perform perform,
                                               Clock clock = std::chrono::steady_clock::now);
  ~Engine();  // what was posted before is done first

  void Post(Event event);
  // Without `fail`, the look waits until something can be stored again.
  void Post(Look look, Fail fail = {});

  // By the pool's own clock.
  Time Now() const;
  const Settings& settings() const { return controller_.settings(); }  // constant

 private:
  struct Looking {
    Look look;
    Fail fail;
  };
  using Work = std::variant<Event, Looking>;

  Engine(Settings settings, std::unique_ptr<Store> store, Perform perform, Clock clock);
  std::optional<Error> Restore();
  void Add(Work work, bool is_first);
  void Run();
  bool Wait();
  std::optional<Work> Take();
  void DoSome(bool was_held_up);
  bool Write(const std::vector<Change>& changes, std::optional<Looking>* looking);
  void Refuse(std::deque<Work> works, const std::string& why);

  const std::unique_ptr<Store> store_;
  const Perform perform_;
  const Clock clock_;
  Controller controller_;                          // of the engine's thread, once it runs
  bool is_over_ = false;                           // of the engine's thread: nothing more can be stored
  Time start_{};                                   // constant after Restore, as is started_
  std::chrono::steady_clock::time_point started_;  // when it was start_

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> reports_;  // guarded by mutex_: what nodes say
  std::deque<Work> works_;    // guarded by mutex_: the rest
  bool ending_ = false;       // guarded by mutex_
  std::thread thread_;
};

}  // namespace outboard::pool
