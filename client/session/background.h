#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

namespace outboard::client {

// A thread that looks at something now and then, and sleeps while there is nothing to look at. All signals are blocked
// in it: they are the application's.
class Background {
 public:
  // `look` says after how long it wants to be called again; nullopt: not before Wake.
  explicit Background(std::function<std::optional<std::chrono::nanoseconds>()> look);
  ~Background();  // ends and joins the thread

  // Makes the thread look at once. From any thread.
  void Wake();

 private:
  void Run();

  const std::function<std::optional<std::chrono::nanoseconds>()> look_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace outboard::client
