#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace outboard::node {

// What a node of a pool keeps across restarts: a random name of its own, by which the pool tells it from another node
// that goes by the same name, and the highest epoch that the pool told it. In the file `pool` of a folder, which is
// for one process at a time. Thread-confined.
class NodeState {
 public:
  // Makes the folder, and the file, where there is none.
  static Result<NodeState> Open(const std::string& folder);

  const std::string& instance() const { return instance_; }
  uint64_t highest_epoch() const { return highest_epoch_; }

  // To be called before anything is done because of an epoch. It is on the disk when this returns without an error; a
  // lower one than the highest changes nothing.
  [[nodiscard]] std::optional<Error> Saw(uint64_t epoch);

 private:
  NodeState(std::string folder, UniqueFd lock) : folder_(std::move(folder)), lock_(std::move(lock)) {}
  std::optional<Error> Read();
  std::optional<Error> Write() const;

  std::string folder_;
  UniqueFd lock_;  // of the folder
  std::string instance_;
  uint64_t highest_epoch_ = 0;
};

// Where the state of a node of that name is kept unless something else is said: below /var/lib/outboard for root, else
// where the user's programs keep their state.
std::string DefaultStateFolder(const std::string& node);

}  // namespace outboard::node
