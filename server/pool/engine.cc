#include "server/pool/engine.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/log.h"

namespace outboard::pool {
namespace {

constexpr size_t kMostAtOnce = 1024;  // events whose changes are stored together
constexpr std::chrono::milliseconds kTryAgain{500};
constexpr Duration kLongestWait = std::chrono::hours(1);

// Says to whoever waits for an answer to the event that there is none.
class Refuser {
 public:
  Refuser(const Engine::Perform& perform, std::string why) : perform_(perform), why_(std::move(why)) {}
  void operator()(const Ask& event) const { perform_(Refused{event.asker, why_, true}); }
  void operator()(const Over&) const {}  // the next heartbeat says it again
  void operator()(const Withdraw&) const {}  // is kept
  void operator()(const Tick&) const {}
  template <class Other>
  void operator()(const Other& event) const {
    perform_(Answer{event.asker, Outcome::kUnavailable, why_});
  }

 private:
  const Engine::Perform& perform_;
  const std::string why_;
};

}  // namespace

Engine::Engine(Settings settings, std::unique_ptr<Store> store, Perform perform)
    : store_(std::move(store)), perform_(std::move(perform)), controller_(std::move(settings)) {}

Result<std::unique_ptr<Engine>> Engine::Start(Settings settings, std::unique_ptr<Store> store, Perform perform) {
  std::unique_ptr<Engine> engine(new Engine(std::move(settings), std::move(store), std::move(perform)));
  if (std::optional<Error> error = engine->Restore()) return *std::move(error);
  engine->thread_ = std::thread(&Engine::Run, engine.get());
  return engine;
}

std::optional<Error> Engine::Restore() {
  const Result<Snapshot> snapshot = store_->Load();
  if (!snapshot) return snapshot.error();
  // The machine's clock may have been put back while there was no pool; the pool's own does not go back.
  start_ = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  for (const LeaseRecord& lease : snapshot->leases) start_ = std::max(start_, lease.granted_at);
  started_ = std::chrono::steady_clock::now();
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
  {
    std::lock_guard lock(mutex_);
    works_.emplace_back(std::move(event));
  }
  changed_.notify_one();
}

void Engine::Post(Look look) {
  {
    std::lock_guard lock(mutex_);
    works_.emplace_back(std::move(look));
  }
  changed_.notify_one();
}

Time Engine::Now() const {
  return start_ + std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - started_);
}

// Until there is something to do, or something is due.
std::vector<Engine::Work> Engine::Wait() {
  const std::optional<Time> due = controller_.NextDue();
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return ending_ || !works_.empty(); };
  if (!due) {
    changed_.wait(lock, ready);
  } else {
    // A millisecond more: it is past what is due, not just before.
    changed_.wait_until(lock, started_ + std::min(*due - start_, Now() - start_ + kLongestWait) + Duration(1), ready);
  }
  if (works_.size() <= kMostAtOnce) return std::exchange(works_, {});
  const auto end = works_.begin() + kMostAtOnce;
  std::vector<Work> some(std::make_move_iterator(works_.begin()), std::make_move_iterator(end));
  works_.erase(works_.begin(), end);
  return some;
}

void Engine::Run() {
  for (;;) {
    const std::vector<Work> works = Wait();
    if (works.empty()) {
      std::lock_guard lock(mutex_);
      if (ending_ && works_.empty()) return;
    }
    Effects all;
    const auto handle = [this, &all](const Event& event) {
      Effects effects = controller_.Handle(event, Now());
      std::move(effects.changes.begin(), effects.changes.end(), std::back_inserter(all.changes));
      std::move(effects.actions.begin(), effects.actions.end(), std::back_inserter(all.actions));
    };
    for (const Work& work : works) {
      if (const auto* event = std::get_if<Event>(&work)) handle(*event);
    }
    if (const std::optional<Time> due = controller_.NextDue(); due && *due <= Now()) handle(Tick{});
    if (!Write(all.changes)) return;
    for (const Action& action : all.actions) perform_(action);
    for (const Work& work : works) {
      if (const auto* look = std::get_if<Look>(&work)) (*look)(controller_);
    }
  }
}

// Until it works. False: the engine ends, and nobody has heard of the changes.
bool Engine::Write(const std::vector<Change>& changes) {
  for (bool said = false;;) {
    const std::optional<Error> error = store_->Commit(changes);
    if (!error) {
      if (said) Log(LogLevel::kWarn, "the pool's database can be written again");
      return true;
    }
    if (!std::exchange(said, true)) Log(LogLevel::kError, "%s", error->message.c_str());
    std::vector<Work> refused;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kTryAgain, [this] { return ending_; });
      if (ending_) return false;
      refused = std::exchange(works_, {});
    }
    Refuse(std::move(refused), "the pool cannot store what it decides: " + error->message);
  }
}

void Engine::Refuse(std::vector<Work> works, const std::string& why) {
  std::vector<Work> kept;
  for (Work& work : works) {
    const auto* const event = std::get_if<Event>(&work);
    // Whoever withdraws is gone, and says it but once.
    if (event == nullptr || std::holds_alternative<Withdraw>(*event)) {
      kept.push_back(std::move(work));
    } else {
      std::visit(Refuser(perform_, why), *event);
    }
  }
  std::lock_guard lock(mutex_);
  works_.insert(works_.begin(), std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()));
}

}  // namespace outboard::pool
