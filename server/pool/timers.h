#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "server/pool/time.h"

namespace outboard::pool {

// What becomes due at some time, by node, lease or request.
enum class Due : uint8_t {
  kNodeSilent,        // a node has not been heard of for Settings::lost_after
  kNodeLeases,        // and not for lease_time
  kNodeDrained,       // its deadline
  kLeaseUnopened,     // a lease's node has not got it
  kLeaseWarned,       // the deadline of its warning
  kLeaseTooLong,      // it has nearly had its longest time
  kLeaseReplaceable,  // its minimum run is over
  kLeaseResizing,     // its node has not said what came of that
  kRequestWaited,     // a request's wait is over
  kRequestAged,       // room is to be kept for it, or the room that is kept to be looked at
  kKeepRoom,          // room is to be looked for again
};

// At most one time for each. Thread-compatible.
class Timers {
 public:
  void Set(Due due, uint64_t number, Time time) {
    Cancel(due, number);
    if (time == Time::max()) return;
    times_[{due, number}] = time;
    order_.insert({time, due, number});
  }
  void Cancel(Due due, uint64_t number) {
    const auto found = times_.find({due, number});
    if (found == times_.end()) return;
    order_.erase({found->second, due, number});
    times_.erase(found);
  }
  std::optional<Time> Next() const {
    if (order_.empty()) return std::nullopt;
    return std::get<Time>(*order_.begin());
  }
  // What is first due until then, and no longer is afterwards.
  std::optional<std::pair<Due, uint64_t>> Take(Time now) {
    if (order_.empty() || std::get<Time>(*order_.begin()) > now) return std::nullopt;
    const auto [time, due, number] = *order_.begin();
    Cancel(due, number);
    return std::pair(due, number);
  }

 private:
  std::map<std::pair<Due, uint64_t>, Time> times_;
  std::set<std::tuple<Time, Due, uint64_t>> order_;
};

}  // namespace outboard::pool
