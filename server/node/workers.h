#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/base/unique_fd.h"
#include "server/node/loop.h"
#include "server/worker/control.h"

namespace outboard::node {

// The worker processes of this node: starts them, gives each one session, and sees them end. Thread-confined to the
// loop's thread, whose end ends them too.
class Workers {
 public:
  struct Config {
    std::string program;  // gpu-worker
    std::string driver;
    std::vector<std::string> environment;
    bool keep_spare;  // one is always warm: its driver is loaded. Else the first one is, and others start when needed
    bool clears_memory = true;  // before a client gets it; else it is as the driver gives it
  };
  // The loop outlives it.
  Workers(Loop* loop, Config config);
  ~Workers();  // ends all, and waits for that

  // Gives a session to the spare worker, or to a new one. `ended` is called when it is gone, on the loop's thread; when
  // no worker could be had, before this returns.
  void Serve(const std::string& lease, const worker::Assignment& assignment, std::function<void()> ended);

  // Kills the workers of a lease; each one's `ended` follows.
  void Kill(const std::string& lease);

 private:
  struct Worker {
    pid_t pid;
    UniqueFd process;  // a pidfd
    UniqueFd control;
    std::string lease;  // empty for the spare one
    std::function<void()> ended;
  };

  Worker* Start();  // null when that fails, which is logged
  void StartSpare();
  void ReadReady(int process);
  void Reap(int process);

  Loop* const loop_;
  const Config config_;
  std::map<int, Worker> workers_;  // by pidfd
  int spare_ = -1;                 // its pidfd
  bool spare_failed_ = false;      // then none is started ahead any more
};

}  // namespace outboard::node
