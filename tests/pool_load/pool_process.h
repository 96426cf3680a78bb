#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proto/pool.grpc.pb.h"

namespace outboard::pool_load {

// A gpu-pool at a Unix socket that stays the same over its restarts.
class PoolProcess {
 public:
  // `arguments` are gpu-pool's beside where it listens. With a CPU, it runs there alone. Who has lost it tries again so
  // often.
  PoolProcess(std::string program, std::string socket, std::vector<std::string> arguments,
              std::chrono::milliseconds reconnect, std::optional<int> cpu = {});
  ~PoolProcess();  // kills it
  PoolProcess(const PoolProcess&) = delete;
  PoolProcess& operator=(const PoolProcess&) = delete;

  // Returns when it listens. Ends this process, with what it said, when it does not come to that.
  void Start();
  void Kill();  // kill -9

  // A connection of its own, which is made again when the pool comes back.
  std::unique_ptr<Pool::Stub> Connect() const;

 private:
  const std::string program_, address_;
  const std::vector<std::string> arguments_;
  const int reconnect_milliseconds_;
  const std::optional<int> cpu_;
  pid_t pid_ = -1;
};

}  // namespace outboard::pool_load
