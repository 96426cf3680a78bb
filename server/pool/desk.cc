#include "server/pool/desk.h"

#include <utility>
#include <vector>

namespace outboard::pool {
namespace {

constexpr size_t kMaxWatchers = 64;  // of a lease

}  // namespace

Asker Desk::Open(std::function<void(const Action&)> hear) {
  std::lock_guard lock(mutex_);
  askers_.emplace(++numbers_, std::move(hear));
  return numbers_;
}

void Desk::Close(Asker asker) {
  std::function<void(const Action&)> ended;  // destroyed without the lock
  std::lock_guard lock(mutex_);
  const auto found = askers_.find(asker);
  if (found == askers_.end()) return;
  ended = std::move(found->second);
  askers_.erase(found);
}

uint64_t Desk::Watch(LeaseId lease, std::function<void(const Notice&)> hear) {
  std::lock_guard lock(mutex_);
  if (const auto found = watchers_.find(lease); found != watchers_.end() && found->second.size() >= kMaxWatchers) {
    return 0;
  }
  watchers_[lease].emplace(++numbers_, std::move(hear));
  return numbers_;
}

void Desk::Unwatch(LeaseId lease, uint64_t watcher) {
  std::function<void(const Notice&)> ended;
  std::lock_guard lock(mutex_);
  const auto found = watchers_.find(lease);
  if (found == watchers_.end()) return;
  if (const auto one = found->second.find(watcher); one != found->second.end()) {
    ended = std::move(one->second);
    found->second.erase(one);
  }
  if (found->second.empty()) watchers_.erase(found);
}

uint64_t Desk::Attach(const std::string& node, std::function<void(const Action&)> hear,
                      std::function<void()> replaced) {
  std::function<void()> former;
  uint64_t number = 0;
  {
    std::lock_guard lock(mutex_);
    AttachedNode& attached = nodes_[node];
    former = std::move(attached.replaced);
    number = ++numbers_;
    attached = {number, std::move(hear), std::move(replaced)};
  }
  if (former) former();
  return number;
}

void Desk::Detach(const std::string& node, uint64_t attached) {
  AttachedNode ended;
  std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  if (found == nodes_.end() || found->second.number != attached) return;
  ended = std::move(found->second);
  nodes_.erase(found);
}

bool Desk::IsOther(const std::string& node, uint64_t attached) {
  std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  return found != nodes_.end() && found->second.number != attached;
}

void Desk::Tell(Asker asker, const Action& action) {
  std::function<void(const Action&)> hear;
  {
    std::lock_guard lock(mutex_);
    const auto found = askers_.find(asker);
    if (found == askers_.end()) return;
    hear = found->second;
  }
  hear(action);
}

void Desk::TellNode(const std::string& node, const Action& action) {
  std::function<void(const Action&)> hear;
  {
    std::lock_guard lock(mutex_);
    const auto found = nodes_.find(node);
    if (found == nodes_.end()) return;  // told again when it is back
    hear = found->second.hear;
  }
  hear(action);
}

void Desk::Perform(const Action& action) {
  if (const auto* answer = std::get_if<Answer>(&action)) return Tell(answer->asker, action);
  if (const auto* granted = std::get_if<Granted>(&action)) return Tell(granted->asker, action);
  if (const auto* refused = std::get_if<Refused>(&action)) return Tell(refused->asker, action);
  if (const auto* queued = std::get_if<Queued>(&action)) return Tell(queued->asker, action);
  if (const auto* notice = std::get_if<Notice>(&action)) {
    std::vector<std::function<void(const Notice&)>> hearers;
    {
      std::lock_guard lock(mutex_);
      const auto found = watchers_.find(notice->lease);
      if (found == watchers_.end()) return;
      for (const auto& [number, hear] : found->second) hearers.push_back(hear);
    }
    for (const auto& hear : hearers) hear(*notice);
    return;
  }
  if (const auto* resize = std::get_if<ResizeAtNode>(&action)) return TellNode(resize->node, action);
  TellNode(std::get<EndAtNode>(action).node, action);
}

}  // namespace outboard::pool
