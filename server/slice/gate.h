#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <ctime>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "common/base/unique_fd.h"
#include "server/slice/busy_meter.h"
#include "server/slice/pace.h"

namespace outboard::slice {

// The worker's end of the compute governor. Every call that gives the GPU work passes here first, and waits until the
// worker's lease has the GPU's turn and there is room in it. The node says when that is (turn_messages.h); what a turn
// is used for is measured by marks behind the work, which a thread of the gate's own polls while the turn has an end.
//
// While the lease has the turn without an end, which is so as long as nobody else wants the GPU, passing takes two
// memory accesses and nothing is marked but what a thread leaves behind before it sleeps.
//
// A hundred times a second, while there is work, the gate's thread looks whether the device is busy (BusyMeter). What a
// thread gave counts as work until it is marked and the mark is reached.
//
// Thread-safe, where nothing else is said. The driver is never entered with a lock that a passing thread takes.
class Gate {
 public:
  // A place in a stream; event is null when nothing of the stream has to be waited for.
  struct Mark {
    void* event = nullptr;
    void* context = nullptr;
    uint64_t stream_id = 0;  // of no other stream, as handles are; 0 when it is not known
  };

  // What the gate needs of the driver. Thread-safe. Streams and contexts are the driver's.
  class Marks {
   public:
    virtual ~Marks() = default;
    virtual void BeginThread() {}  // first on the thread that polls
    // Behind all that was given to the stream. On the thread that gave it, in the context in which it did.
    virtual Mark Put(void* stream) = 0;
    // Also when its context is broken, as nothing runs there any more.
    virtual bool IsReached(const Mark& mark) = 0;
    virtual void Drop(const Mark& mark) = 0;        // it is not needed any more
    virtual void ForgetContext(void* context) = 0;  // is about to be destroyed; its marks were dropped
  };

  // One thread's way through a gate. Confined to that thread; ends before the gate.
  class Lane {
   public:
    Lane() = default;
    ~Lane();
    Lane(const Lane&) = delete;
    Lane& operator=(const Lane&) = delete;

   private:
    friend class Gate;
    std::atomic<bool> inside{false};
    Gate* gate = nullptr;       // that knows it
    bool has_unmarked = false;  // work in `stream`, which the gate knows of since `version`
    void* stream = nullptr;
    uint64_t version = 0;
  };

  // Told now and then, by the gate's thread under its lock: the device was busy for so long, until now. May be null.
  using Tell = std::function<void(BusyMeter::Duration busy, Pace::Time now)>;

  // Open for good: slices share the GPU's time as its driver shares it.
  Gate();
  // `node` is the worker's end of a connection to the node; `marks` outlives the gate.
  Gate(UniqueFd node, Marks* marks, Pace::Limits limits = {}, Tell tell = nullptr);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Waits until the lane may give the GPU one piece of work; Leave follows, when the driver has it. False: the gate was
  // closed, and there is nothing to leave.
  [[nodiscard]] bool Enter(Lane& lane);
  void Leave(Lane& lane, void* stream);
  // The same for a call that has waited for its work.
  void LeaveDone(Lane& lane);

  // Marks what the lane has given. Before it waits for anything but the gate, and before its context changes.
  void Settle(Lane& lane);
  // A lane has waited for work. That it is done is seen now, not at the next look: what a program that waits for each of
  // its kernels leaves the device idle for would count as its time.
  void HasWaited();
  // A turn has an end, or there is none: what is given should be marked before somebody waits for it.
  bool is_limited() const { return state_.load(std::memory_order_relaxed) == kLimited; }

  // The lane is about to destroy it.
  void ForgetStream(Lane& lane, void* stream);
  // Its work is done, and it is about to be destroyed.
  void ForgetContext(void* context);

  // A stream, by its id, begins to wait for the program, or does no longer.
  void Hold(uint64_t stream_id);
  void Unhold(uint64_t stream_id);

  // Nobody passes any more, and nobody waits: the session is over. Does nothing to a gate that is open for good.
  // Idempotent.
  void Close();

 private:
  enum State { kFree, kLimited };
  // Work without a mark behind it.
  struct Unmarked {
    Lane* lane;
    void* stream;
    uint32_t pieces;  // 0 when they were not counted
  };
  struct Marked {
    Lane* lane;
    void* stream;
    Mark mark;
    uint32_t pieces;
    uint64_t number;  // of the mark; the driver's events are used again
  };

  bool EnterSlowly(Lane& lane);
  bool IsHeld(const Marked& marked) const;
  void Put(const std::vector<Unmarked>& work);
  std::vector<Unmarked> TakeUnmarked(Lane* lane, void* stream);
  Pace::Sight See() const;
  void Meter(const Pace::Sight& sight, Pace::Time now);
  void Ask(Pace::Time now);
  void SetState();
  void Watch();
  bool ReadMessages();
  void LookAtMarks();
  void LookAtTurn();
  timespec* TimeToNext(timespec* time);

  const bool is_governed_;
  const UniqueFd node_;
  const UniqueFd stop_, wake_;  // eventfds
  Marks* const marks_;
  const Tell tell_;

  std::atomic<int> state_{kFree};
  std::atomic<uint64_t> version_{0};  // rises when unmarked work is taken from a lane by another

  // Held while marks are looked at, and by who ends a context. Taken before mutex_.
  std::mutex looking_;
  std::vector<Marked> looked_at_;  // guarded by looking_

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  Pace pace_;
  BusyMeter meter_;
  bool is_closed_ = false;
  bool has_asked_ = false;      // for a turn, which has not come
  uint32_t waiting_ = 0;        // lanes
  std::vector<void*> marking_;  // streams that are being marked, as often as they are
  std::vector<Lane*> lanes_;
  std::vector<Unmarked> unmarked_;
  std::vector<Marked> marked_;
  Pace::Time looked_{};  // at the marks
  std::vector<uint64_t> held_;  // streams, as often as they are
  uint64_t marks_put_ = 0;

  std::thread watcher_;
};

}  // namespace outboard::slice
