#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "common/base/unique_fd.h"
#include "common/wire/preamble.h"
#include "server/node/loop.h"

namespace outboard::node {

// A connection that has said what it is for.
struct Visitor {
  UniqueFd connection;  // does not block; nothing behind the ticket was read
  wire::ConnectionKind kind;
  std::string ticket;
};

// Accepts connections and reads their preambles. One that is wrong, slow or speaks another major version is closed; it
// delays nobody. Thread-confined to the loop's thread.
class Reception {
 public:
  // `listener` is a socket that listens and does not block. Both outlive this object.
  Reception(Loop* loop, int listener, std::function<void(Visitor)> admit);
  ~Reception();

 private:
  struct Waiting {
    UniqueFd connection;
    uint64_t timer = 0;
    size_t received = 0;  // of the preamble and then the ticket
    wire::Preamble preamble;
    std::string ticket;
  };

  void Accept();
  void Read(int fd);
  void Drop(int fd, const char* why);

  Loop* const loop_;
  const int listener_;
  const std::function<void(Visitor)> admit_;
  std::map<int, Waiting> waiting_;
  uint64_t pause_ = 0;  // a timer
};

}  // namespace outboard::node
