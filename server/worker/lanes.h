#pragma once

#include <cuda.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "common/wire/frame.h"
#include "server/slice/gate.h"
#include "server/worker/credits.h"
#include "server/worker/scratch.h"

namespace outboard::worker {

struct Lane;

// Commands of one lane that follow each other, and the frame that they lie in.
struct Run {
  Lane* lane = nullptr;
  std::shared_ptr<const std::byte[]> frame;  // keeps `commands` alive
  size_t frame_bytes = 0;
  std::span<const std::byte> commands;
  uint64_t first = 0;  // sequence number
  uint32_t count = 0;
};

// The worker's side of one thread of the client. Confined to the lane's thread, except where said.
struct Lane {
  explicit Lane(uint32_t lane_number) : number(lane_number) {}

  const uint32_t number;
  // From the arrival of a command that asks for a reply until the reply goes: the client's thread waits and sends
  // nothing. Set by the reader.
  std::atomic<bool> owes_reply{false};
  uint64_t context = 0;             // handle of the context that is current in the driver; 0 for none
  uint64_t context_changes = 0;     // HandleTable::context_changes when it was looked up
  CUresult earlier = CUDA_SUCCESS;  // of the first call that was refused although nobody waits, until it is told
  Scratch scratch;                  // outputs of the command that runs
  slice::Gate::Lane passage;

 private:
  friend class Lanes;
  Run run;
  bool may_pass = false;  // it runs the last command of its run and has the turn
  size_t pinned = 0;      // bytes of a frame that it keeps although it has passed the turn
  std::thread thread;
  std::condition_variable woken;  // with Lanes::mutex_
  bool sleeps = false;            // guarded by Lanes::mutex_
};

// The threads that carry the session's commands out, one per lane, and the turn that goes from one to the next:
// commands begin in the order of their sequence numbers, each on its lane's thread. A run of commands
// of one lane is carried out without a look at the others.
//
// A lane without work spins for some 20 us, because the next command is often close behind, and then sleeps.
//
// Thread-safe, except where one thread, the reader, is named.
class Lanes {
 public:
  // What lanes do, on their threads. None of it throws.
  struct Work {
    std::function<void(Lane& lane, const wire::Command& command)> execute;
    std::function<void()> after_run;
    std::function<void(Lane& lane)> before_sleep;  // the lane has run dry
    std::function<void()> when_idle;               // a lane has run dry while no other has work
    // A lane begins to work while no other did, or the last one that did has stopped. One call at a time; returns
    // quickly.
    std::function<void(bool are_at_work)> at_work = [](bool) {};
  };
  // Commands are given back to `credits`, which outlives this, when their turn has passed.
  Lanes(Credits* credits, Work work) : credits_(credits), work_(std::move(work)) {}
  ~Lanes();  // Stop and Wait

  // Reader: how many lanes there are; they are numbered from 1.
  uint32_t count() const { return static_cast<uint32_t>(lanes_.size()); }
  // Reader: lane `number`, at most count() + 1; a new one is started. May throw std::system_error.
  Lane* Get(uint32_t number);
  // Reader: queues runs, in order. `last` is the sequence number of the last command that arrived with them.
  void Push(std::span<Run> runs, uint64_t last);

  // For the lane that runs the last command of its run: lets the next run begin. Idempotent. Does nothing while
  // commands that have passed the turn keep frames of kCreditBytes alive; the turn then passes when the command is
  // done.
  void PassTurn(Lane& lane);

  // Carries out everything that was queued, then stops. Waits for that; Stop cuts it short. No Push follows.
  void Finish();
  // No command begins any more; what waits is dropped. A running one goes on to its end. Idempotent.
  void Stop();
  // Waits for Stop, and then until no command runs, for at most `grace`. False when one still does.
  bool Wait(std::optional<std::chrono::milliseconds> grace);

 private:
  void Main(Lane& lane);
  bool Take(Lane& lane);
  void Spin(const Lane& lane) const;
  void CarryOut(Lane& lane);
  void EndRun(Lane& lane);
  Lane* GiveTurn(Lane& lane);
  Lane* OfferTurn();

  Credits* const credits_;
  const Work work_;

  std::atomic<bool> stopped_{false};
  std::atomic<const Lane*> next_{nullptr};  // whose run is at the front while nobody has the turn

  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // changed by the reader alone, under the lock
  std::deque<Run> queue_;                     // runs that have not begun
  bool turn_taken_ = false;
  uint64_t received_ = 0;  // sequence number of the last command that arrived
  size_t pinned_ = 0;      // of all lanes
  uint32_t working_ = 0;   // lanes that carry out a command
};

}  // namespace outboard::worker
