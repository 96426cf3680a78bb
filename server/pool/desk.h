#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "server/pool/events.h"

namespace outboard::pool {

// Brings the controller's actions to whoever they are for. Nobody is called with a lock held; who is closed may still
// be called once by what was under way. Thread-safe.
class Desk {
 public:
  // `hear` gets what answers the asker: Answer, Granted, Refused or Queued. Never 0.
  Asker Open(std::function<void(const Action&)> hear);
  void Close(Asker asker);

  // `hear` gets the notices about a lease. 0: too many do already.
  uint64_t Watch(LeaseId lease, std::function<void(const Notice&)> hear);
  void Unwatch(LeaseId lease, uint64_t watcher);

  // `hear` gets what a node is to do, EndAtNode or ResizeAtNode, and `replaced` is called when somebody else comes in
  // the node's place.
  uint64_t Attach(const std::string& node, std::function<void(const Action&)> hear, std::function<void()> replaced);
  void Detach(const std::string& node, uint64_t attached);
  // Whether somebody else than `attached` (0: nobody) is in the node's place.
  bool IsOther(const std::string& node, uint64_t attached);

  void Perform(const Action& action);

 private:
  struct AttachedNode {
    uint64_t number;
    std::function<void(const Action&)> hear;
    std::function<void()> replaced;
  };
  void Tell(Asker asker, const Action& action);
  void TellNode(const std::string& node, const Action& action);

  std::mutex mutex_;
  uint64_t numbers_ = 0;  // guarded by mutex_, as what follows
  std::map<Asker, std::function<void(const Action&)>> askers_;
  std::map<LeaseId, std::map<uint64_t, std::function<void(const Notice&)>>> watchers_;
  std::map<std::string, AttachedNode> nodes_;
};

}  // namespace outboard::pool
