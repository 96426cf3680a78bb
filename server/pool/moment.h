#pragma once

#include <string>
#include <utility>

#include "server/pool/events.h"
#include "server/pool/time.h"
#include "server/pool/timers.h"

namespace outboard::pool {

// What the controller's parts have in common while an event is handled: its time, what it leads to, and what is due
// later. Thread-confined.
class Moment {
 public:
  Time now{};
  Timers timers;
  bool room_came = false;    // something may fit now that did not before
  bool room_wanted = false;  // a request may need room to be kept for it

  // Templates, as g++ 12 falsely takes a variant that is moved from for uninitialized.
  template <class Some>
  void Do(Some action) {
    effects_.actions.emplace_back(std::move(action));
  }
  template <class Record>
  void Store(Record record) {
    effects_.changes.emplace_back(std::move(record));
  }
  void Say(Asker asker, Outcome outcome, std::string text = "") { Do(Answer{asker, outcome, std::move(text)}); }

  Effects TakeEffects() { return std::exchange(effects_, {}); }

 private:
  Effects effects_;
};

}  // namespace outboard::pool
