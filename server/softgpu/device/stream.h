#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace outboard::softgpu {

class Signal;
class Timeline;

// A moment in a stream: all work submitted up to it is done once it is reached. Cheap to copy; stays valid when the
// stream is gone. A default Point is reached.
class Point {
 public:
  Point() = default;
  bool Reached() const;
  void Wait() const;

  // Whether `other` is reached once this is: a point of the same stream that is not later, or a default one.
  bool Implies(const Point& other) const {
    return other.timeline_ == nullptr || (other.timeline_ == timeline_ && other.value_ <= value_);
  }

 private:
  friend class Signal;
  friend class Stream;
  std::shared_ptr<Timeline> timeline_;
  uint64_t value_ = 0;
};

// A point that is reached when its owner says so, at the latest when the owner is gone. Thread-safe.
class Signal {
 public:
  Signal();
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  Point point() const;
  void Reach();

 private:
  const std::shared_ptr<Timeline> timeline_;
};

// An in-order queue of work with a thread of its own, started at the first work. Thread-safe.
//
// Waiting spins for some microseconds before it sleeps, so that a short kernel's launch and synchronisation cost no two
// context switches; so does the stream's thread before it goes to sleep.
class Stream {
 public:
  // `chaos`: seed of this stream's delays before work (up to about a millisecond, now and then); 0 = none.
  explicit Stream(uint64_t chaos);
  // Waits for all work.
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Queues `work`, to run after all earlier work of this stream and after every point of `after`. Blocks while
  // kMaxStreamQueue pieces of work wait. `work` must not throw.
  Point Submit(std::function<void()> work, std::vector<Point> after = {});

  // The point after everything submitted so far.
  Point Last() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace outboard::softgpu
