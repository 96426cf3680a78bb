#include "server/slice/gate.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "server/slice/turn_messages.h"

namespace outboard::slice {
namespace {

using Clock = Pace::Clock;

// How often it is seen whether work is done: in a turn, and behind one.
constexpr std::chrono::microseconds kPoll{100}, kSlowPoll{1000};

// The null stream, CU_STREAM_LEGACY and CU_STREAM_PER_THREAD.
bool IsDefaultStream(void* stream) { return reinterpret_cast<uintptr_t>(stream) <= 2; }

int64_t Nanoseconds(Pace::Time time) { return time.time_since_epoch() / std::chrono::nanoseconds(1); }

Pace::Time ToTime(int64_t nanoseconds) {
  return nanoseconds == TurnGiven::kNoEnd ? Pace::Time::max() : Pace::Time(std::chrono::nanoseconds(nanoseconds));
}

UniqueFd NewEvent() { return UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }
void Raise(const UniqueFd& event) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event.get(), &one, sizeof one);
}
void Clear(const UniqueFd& event) {
  uint64_t raised;
  [[maybe_unused]] const ssize_t got = read(event.get(), &raised, sizeof raised);
}

}  // namespace

Gate::Gate() : is_governed_(false), marks_(nullptr) {}

Gate::Gate(UniqueFd node, Marks* marks, Pace::Limits limits, Tell tell)
    : is_governed_(true),
      node_(std::move(node)),
      stop_(NewEvent()),
      wake_(NewEvent()),
      marks_(marks),
      tell_(std::move(tell)),
      state_(kLimited),
      pace_(limits) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  watcher_ = std::thread([this] { Watch(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Gate::~Gate() {
  if (!is_governed_) return;
  Close();
  Raise(stop_);
  watcher_.join();
}

Gate::Lane::~Lane() {
  if (gate == nullptr) return;
  std::lock_guard lock(gate->mutex_);
  std::erase(gate->lanes_, this);
  std::erase_if(gate->unmarked_, [this](const Unmarked& work) { return work.lane == this; });
}

bool Gate::Enter(Lane& lane) {
  if (!is_governed_) return true;
  // The one of lane and watcher that comes second sees what the other has stored.
  if (lane.gate != nullptr) {
    lane.inside.store(true);
    if (state_.load() == kFree) return true;
    lane.inside.store(false);
  }
  return EnterSlowly(lane);
}

bool Gate::EnterSlowly(Lane& lane) {
  Settle(lane);
  std::unique_lock lock(mutex_);
  if (lane.gate == nullptr) {
    lane.gate = this;
    lanes_.push_back(&lane);
  }
  ++waiting_;
  while (!is_closed_) {
    const Pace::Time now = Clock::now();
    if (pace_.MaySubmit(now)) {
      pace_.Submit(now);
      break;
    }
    if (!pace_.has_turn() && !has_asked_) Ask(now);
    changed_.wait(lock);
  }
  --waiting_;
  lane.inside.store(!is_closed_);
  return !is_closed_;
}

// Under the lock.
void Gate::Ask(Pace::Time now) {
  pace_.Want(now);
  has_asked_ = Send(node_.get(), TurnAnswer{.kind = TurnAnswer::Kind::kWant, .overtime = pace_.TakeOvertime().count()});
}

void Gate::Leave(Lane& lane, void* stream) {
  if (!is_governed_) return;
  if (lane.has_unmarked && lane.stream == stream && lane.version == version_.load() && state_.load() == kFree) {
    lane.inside.store(false);
    return;
  }
  bool is_due;
  {
    std::lock_guard lock(mutex_);
    auto found = std::find_if(unmarked_.begin(), unmarked_.end(),
                              [&](const Unmarked& work) { return work.lane == &lane && work.stream == stream; });
    if (found == unmarked_.end()) found = unmarked_.insert(found, {&lane, stream, 0});
    const bool is_counted = !pace_.is_free();
    if (is_counted) ++found->pieces;
    is_due = is_counted && found->pieces >= pace_.pieces_per_mark();
    lane.has_unmarked = true;
    lane.stream = stream;
    lane.version = version_.load();
    lane.inside.store(false);
    if (!meter_.is_on()) {
      meter_.Begin(Clock::now());
      Raise(wake_);
    }
  }
  if (is_due) Settle(lane);
}

void Gate::LeaveDone(Lane& lane) {
  if (!is_governed_) return;
  if (is_limited()) {
    std::lock_guard lock(mutex_);
    pace_.Complete(1, true, Clock::now());
    changed_.notify_all();
  }
  lane.inside.store(false);
}

// Under the lock: of a lane, or of a stream, or of both. To be given to Put.
std::vector<Gate::Unmarked> Gate::TakeUnmarked(Lane* lane, void* stream) {
  std::vector<Unmarked> taken;
  std::erase_if(unmarked_, [&](const Unmarked& work) {
    if ((lane != nullptr && work.lane != lane) || (stream != nullptr && work.stream != stream)) return false;
    taken.push_back(work);
    marking_.push_back(work.stream);
    return true;
  });
  return taken;
}

void Gate::Settle(Lane& lane) {
  if (!is_governed_ || !lane.has_unmarked) return;
  lane.has_unmarked = false;
  std::vector<Unmarked> work;
  {
    std::lock_guard lock(mutex_);
    work = TakeUnmarked(&lane, nullptr);
  }
  Put(work);
}

void Gate::HasWaited() {
  if (is_governed_) Raise(wake_);
}

void Gate::ForgetStream(Lane& lane, void* stream) {
  if (!is_governed_ || stream == nullptr) return;
  std::vector<Unmarked> work;
  {
    std::lock_guard lock(mutex_);
    work = TakeUnmarked(nullptr, stream);
    if (!work.empty()) version_.fetch_add(1);
  }
  for (Unmarked& one : work) one.lane = &lane;
  Put(work);
  // Another lane may be marking it at this moment.
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return std::ranges::find(marking_, stream) == marking_.end(); });
}

void Gate::Put(const std::vector<Unmarked>& work) {
  if (work.empty()) return;
  std::vector<Mark> marks;
  for (const Unmarked& one : work) marks.push_back(marks_->Put(one.stream));
  std::vector<Mark> unneeded;
  {
    std::lock_guard lock(mutex_);
    const Pace::Time now = Clock::now();
    for (size_t i = 0; i < work.size(); ++i) {
      if (marks[i].event == nullptr) {
        pace_.Complete(work[i].pieces, false, now);
        continue;
      }
      // What is not counted needs one mark only, the last.
      std::erase_if(marked_, [&](const Marked& earlier) {
        const bool is_same = earlier.pieces == 0 && earlier.lane == work[i].lane && earlier.stream == work[i].stream &&
                             earlier.mark.context == marks[i].context;
        if (is_same) unneeded.push_back(earlier.mark);
        return is_same;
      });
      marked_.push_back({work[i].lane, work[i].stream, marks[i], work[i].pieces, ++marks_put_});
    }
    for (const Unmarked& one : work) marking_.erase(std::ranges::find(marking_, one.stream));
    changed_.notify_all();
  }
  for (const Mark& mark : unneeded) marks_->Drop(mark);
}

void Gate::ForgetContext(void* context) {
  if (!is_governed_) return;
  // What is not marked yet may be of the context's streams, and cannot be marked later.
  std::vector<Unmarked> work;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(unmarked_, [&](const Unmarked& one) {
      if (IsDefaultStream(one.stream)) return false;  // of whichever context is current
      work.push_back({nullptr, one.stream, one.pieces});
      marking_.push_back(one.stream);
      return true;
    });
    if (!work.empty()) version_.fetch_add(1);
  }
  Put(work);
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return marking_.empty(); });
  }
  std::lock_guard looking(looking_);
  std::vector<Mark> unneeded;
  {
    std::lock_guard lock(mutex_);
    uint32_t pieces = 0;
    std::erase_if(marked_, [&](const Marked& marked) {
      if (marked.mark.context != context) return false;
      unneeded.push_back(marked.mark);
      pieces += marked.pieces;
      return true;
    });
    pace_.Complete(pieces, false, Clock::now());
  }
  for (const Mark& mark : unneeded) marks_->Drop(mark);
  marks_->ForgetContext(context);
}

void Gate::Close() {
  if (!is_governed_) return;
  std::lock_guard lock(mutex_);
  is_closed_ = true;
  SetState();
}

void Gate::Hold(uint64_t stream_id) {
  if (!is_governed_) return;
  std::lock_guard lock(mutex_);
  held_.push_back(stream_id);
}

void Gate::Unhold(uint64_t stream_id) {
  if (!is_governed_) return;
  std::lock_guard lock(mutex_);
  if (const auto found = std::find(held_.begin(), held_.end(), stream_id); found != held_.end()) held_.erase(found);
}

// Under the lock, as what follows.
bool Gate::IsHeld(const Marked& marked) const {
  return marked.mark.stream_id != 0 && std::find(held_.begin(), held_.end(), marked.mark.stream_id) != held_.end();
}

Pace::Sight Gate::See() const {
  const bool is_inside =
      std::any_of(lanes_.begin(), lanes_.end(), [](const Lane* lane) { return lane->inside.load(); });
  const bool all_marked = !is_inside && marking_.empty() && unmarked_.empty();
  // Where anything else runs as well, that keeps the device busy.
  const bool all_held = std::all_of(marked_.begin(), marked_.end(), [this](const Marked& one) { return IsHeld(one); });
  return {.is_drained = all_marked && marked_.empty(),
          .is_waiting = waiting_ != 0,
          .is_held = all_marked && !marked_.empty() && all_held};
}

void Gate::Meter(const Pace::Sight& sight, Pace::Time now) {
  const auto seen = sight.is_drained ? BusyMeter::Sight::kNothing
                    : sight.is_held  ? BusyMeter::Sight::kHeld
                                     : BusyMeter::Sight::kWork;
  const BusyMeter::Duration busy = meter_.Look(seen, now);
  if (tell_ && busy > BusyMeter::Duration(0)) tell_(busy, now);
}

void Gate::SetState() {
  state_.store(pace_.is_free() && !is_closed_ ? kFree : kLimited);
  changed_.notify_all();
}

void Gate::Watch() {
  prctl(PR_SET_TIMERSLACK, 1000UL);  // nanoseconds
  marks_->BeginThread();
  for (;;) {
    pollfd polled[] = {{stop_.get(), POLLIN, 0}, {node_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    timespec time;
    ppoll(polled, 3, TimeToNext(&time), nullptr);
    if (polled[0].revents != 0) return;
    if (polled[2].revents != 0) Clear(wake_);
    if (!ReadMessages()) break;
    LookAtMarks();
    LookAtTurn();
  }
  Close();  // without a node there is no lease, and the worker is about to end
}

// Null: nothing happens by itself.
timespec* Gate::TimeToNext(timespec* time) {
  std::lock_guard lock(mutex_);
  std::chrono::nanoseconds left;
  if (pace_.has_turn() && !pace_.is_free()) {
    left = std::min<std::chrono::nanoseconds>(kPoll, pace_.until() - Clock::now());
    if (left <= std::chrono::nanoseconds(0)) left = kPoll;
  } else if (pace_.has_overtime_work()) {
    left = kSlowPoll;
  } else if (meter_.is_on()) {
    left = BusyMeter::kBetweenLooks;
  } else {
    return nullptr;
  }
  *time = {0, static_cast<long>(left.count())};
  return time;
}

// False when the node is gone.
bool Gate::ReadMessages() {
  for (;;) {
    TurnGiven given;
    switch (Receive(node_.get(), &given)) {
      case Received::kNothing:
        return true;
      case Received::kEnd:
      case Received::kMalformed:
        return false;
      case Received::kMessage:
        break;
    }
    std::lock_guard lock(mutex_);
    // First, so that nobody passes unseen behind the sight that follows.
    if (given.until != TurnGiven::kNoEnd) state_.store(kLimited);
    pace_.Begin(given.turn, ToTime(given.until), See(), Clock::now());
    has_asked_ = false;
    SetState();
  }
}

void Gate::LookAtMarks() {
  std::lock_guard looking(looking_);
  Pace::Time before;
  {
    std::lock_guard lock(mutex_);
    looked_at_ = marked_;
    before = std::exchange(looked_, Clock::now());
  }
  // A stream's marks are reached in their order.
  std::vector<const Marked*> not_reached;
  const auto is_behind = [&](const Marked& marked) {
    return std::any_of(not_reached.begin(), not_reached.end(), [&](const Marked* other) {
      return other->lane == marked.lane && other->stream == marked.stream && other->mark.context == marked.mark.context;
    });
  };
  std::vector<const Marked*> reached;
  for (const Marked& marked : looked_at_) {
    if (!is_behind(marked)) (marks_->IsReached(marked.mark) ? reached : not_reached).push_back(&marked);
  }
  if (reached.empty()) return;
  {
    std::lock_guard lock(mutex_);
    // One may have been dropped meanwhile.
    std::erase_if(reached, [&](const Marked* marked) {
      return std::erase_if(marked_, [&](const Marked& one) { return one.number == marked->number; }) == 0;
    });
    uint32_t pieces = 0;
    for (const Marked* marked : reached) pieces += marked->pieces;
    const bool all_counted =
        std::all_of(reached.begin(), reached.end(), [](const Marked* marked) { return marked->pieces != 0; });
    // At some moment since the look before: a short piece of work would count for too much if it were this one.
    const Pace::Time now = Clock::now();
    pace_.Complete(pieces, all_counted, now - std::min<Pace::Duration>(kPoll, now - before) / 2);
    changed_.notify_all();
  }
  for (const Marked* marked : reached) marks_->Drop(marked->mark);
}

void Gate::LookAtTurn() {
  std::lock_guard lock(mutex_);
  const Pace::Sight sight = See();
  const Pace::Time now = Clock::now();
  Meter(sight, now);
  const auto report = pace_.Look(sight, now);
  if (sight.is_drained && waiting_ != 0) changed_.notify_all();
  if (!report) return;
  has_asked_ = Send(node_.get(), TurnAnswer{.kind = TurnAnswer::Kind::kDone,
                                            .wants = report->wants,
                                            .turn = report->turn,
                                            .busy = report->busy.count(),
                                            .first = Nanoseconds(report->first),
                                            .last = Nanoseconds(report->last),
                                            .overtime = pace_.TakeOvertime().count()}) &&
               report->wants;
  SetState();
}

}  // namespace outboard::slice
