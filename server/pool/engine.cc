#include "server/pool/engine.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/log.h"

namespace outboard::pool {
namespace {

// Events whose changes are stored together: so many, and what is handled in so long.
constexpr size_t kMostAtOnce = 1024;
constexpr std::chrono::milliseconds kLongestAtOnce{20};
constexpr std::chrono::milliseconds kTryAgain{500};
constexpr Duration kLongestWait = std::chrono::hours(1);

bool IsReport(const Event& event) {
  return std::holds_alternative<Register>(event) || std::holds_alternative<Heartbeat>(event) ||
         std::holds_alternative<Open>(event) || std::holds_alternative<Over>(event);
}

// Says to whoever waits for an answer to the event that there is none.
class Refuser {
 public:
  Refuser(const Engine::Perform& perform, std::string why) : perform_(perform), why_(std::move(why)) {}
  void operator()(const Ask& event) const { perform_(Refused{event.asker, why_, true}); }
  void operator()(const Withdraw&) const {}  // is kept
  void operator()(const Tick&) const {}
  void operator()(const Stalled&) const {}
  template <class Other>
  void operator()(const Other& event) const {
    perform_(Answer{event.asker, Outcome::kUnavailable, why_});
  }

 private:
  const Engine::Perform& perform_;
  const std::string why_;
};

}  // namespace

Engine::Engine(Settings settings, std::unique_ptr<Store> store, Perform perform, Clock clock)
    : store_(std::move(store)),
      perform_(std::move(perform)),
      clock_(std::move(clock)),
      controller_(std::move(settings)) {}

Result<std::unique_ptr<Engine>> Engine::Start(Settings settings, std::unique_ptr<Store> store, Perform perform,
                                              Clock clock) {
  std::unique_ptr<Engine> engine(
      new Engine(std::move(settings), std::move(store), std::move(perform), std::move(clock)));
  if (std::optional<Error> error = engine->Restore()) return *std::move(error);
  engine->thread_ = std::thread(&Engine::Run, engine.get());
  return engine;
}

std::optional<Error> Engine::Restore() {
  const Result<Snapshot> snapshot = store_->Load();
  if (!snapshot) return snapshot.error();
  // The machine's clock may have been put back while there was no pool; the pool's own does not go back.
  start_ = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  for (const LeaseRecord& lease : snapshot->leases) start_ = std::max({start_, lease.granted_at, lease.counted_at});
  started_ = clock_();
  const Effects effects = controller_.Restore(*snapshot, start_);
  if (std::optional<Error> error = store_->Commit(effects.changes)) return error;
  for (const Action& action : effects.actions) perform_(action);
  return std::nullopt;
}

Engine::~Engine() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Engine::Post(Event event) {
  const bool is_first = IsReport(event);
  Add(std::move(event), is_first);
}

void Engine::Post(Look look, Fail fail) { Add(Looking{std::move(look), std::move(fail)}, false); }

void Engine::Add(Work work, bool is_first) {
  {
    std::lock_guard lock(mutex_);
    (is_first ? reports_ : works_).push_back(std::move(work));
  }
  changed_.notify_one();
}

Time Engine::Now() const { return start_ + std::chrono::duration_cast<Duration>(clock_() - started_); }

// Until there is something to do, or something is due. False: it is over, and everything is done.
bool Engine::Wait() {
  const std::optional<Time> due = controller_.NextDue();
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return ending_ || !reports_.empty() || !works_.empty(); };
  if (!due) {
    changed_.wait(lock, ready);
  } else {
    // A millisecond more: it is past what is due, not just before.
    changed_.wait_for(lock, std::min(*due - Now(), kLongestWait) + Duration(1), ready);
  }
  return !ending_ || !reports_.empty() || !works_.empty();
}

std::optional<Engine::Work> Engine::Take() {
  std::lock_guard lock(mutex_);
  std::deque<Work>& from = reports_.empty() ? works_ : reports_;
  if (from.empty()) return std::nullopt;
  std::optional<Work> work(std::move(from.front()));
  from.pop_front();
  return work;
}

void Engine::Run() {
  bool was_held_up = false;
  while (!is_over_ && Wait()) {
    const auto begin = clock_();
    DoSome(was_held_up);
    was_held_up = clock_() - begin >= controller_.settings().stall;
  }
}

void Engine::DoSome(bool was_held_up) {
  Effects all;
  const auto handle = [this, &all](const Event& event) {
    Effects effects = controller_.Handle(event, Now());
    std::move(effects.changes.begin(), effects.changes.end(), std::back_inserter(all.changes));
    std::move(effects.actions.begin(), effects.actions.end(), std::back_inserter(all.actions));
  };
  if (was_held_up) handle(Stalled{});
  std::optional<Looking> looking;
  const auto begin = clock_();
  for (size_t i = 0; i < kMostAtOnce && !looking && clock_() - begin < kLongestAtOnce; ++i) {
    std::optional<Work> work = Take();
    if (!work) break;
    if (auto* const event = std::get_if<Event>(&*work)) {
      handle(*event);
    } else {
      looking = std::move(std::get<Looking>(*work));
    }
  }
  if (const std::optional<Time> due = controller_.NextDue(); due && *due <= Now()) handle(Tick{});
  if (!Write(all.changes, &looking)) return;
  for (const Action& action : all.actions) perform_(action);
  if (looking) looking->look(controller_);
}

// Until it works. False: the engine ends, and nobody has heard of the changes.
bool Engine::Write(const std::vector<Change>& changes, std::optional<Looking>* looking) {
  for (bool said = false;;) {
    const std::optional<Error> error = store_->Commit(changes);
    if (!error) {
      if (said) Log(LogLevel::kWarn, "the pool's database can be written again");
      return true;
    }
    if (!std::exchange(said, true)) Log(LogLevel::kError, "%s", error->message.c_str());
    std::deque<Work> refused;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kTryAgain, [this] { return ending_; });
      if (ending_) {
        is_over_ = true;
        return false;
      }
      refused = std::exchange(reports_, {});
      std::move(works_.begin(), works_.end(), std::back_inserter(refused));
      works_.clear();
    }
    const std::string why = "the pool cannot store what it decides: " + error->message;
    if (*looking && (*looking)->fail) std::exchange(*looking, std::nullopt)->fail(why);
    Refuse(std::move(refused), why);
  }
}

void Engine::Refuse(std::deque<Work> works, const std::string& why) {
  std::deque<Work> kept;
  for (Work& work : works) {
    if (const auto* const event = std::get_if<Event>(&work)) {
      // Whoever withdraws is gone, and says it but once.
      if (std::holds_alternative<Withdraw>(*event)) {
        kept.push_back(std::move(work));
      } else {
        std::visit(Refuser(perform_, why), *event);
      }
    } else if (const Looking& looking = std::get<Looking>(work); looking.fail) {
      looking.fail(why);
    } else {
      kept.push_back(std::move(work));
    }
  }
  std::lock_guard lock(mutex_);
  works_.insert(works_.begin(), std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()));
}

}  // namespace outboard::pool
