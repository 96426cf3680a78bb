#include "server/pool/ranking.h"

#include <algorithm>
#include <tuple>

namespace outboard::pool {

int GrownPriority(int priority, Time since, Time now, const Settings& settings) {
  if (settings.priority_step <= Duration::zero() || now <= since) return priority;
  const auto steps = (now - since) / settings.priority_step;
  return steps >= kMaxPriority - priority ? kMaxPriority : priority + static_cast<int>(steps);
}

Ranking::Ranking(const std::map<RequestId, WaitingRequest>& requests, const Tenants& tenants, const Settings& settings,
                 Time now)
    : settings_(settings), now_(now) {
  for (const auto& [id, request] : requests) {
    Line& line = lines_[request.owner.tenant];
    line.account = &tenants.Of(request.owner.tenant);
    line.requests.push_back(&request);
  }
  for (auto& [tenant, line] : lines_) {
    std::stable_sort(line.requests.begin(), line.requests.end(),
                     [&](const WaitingRequest* one, const WaitingRequest* other) {
                       return GrownPriority(one->wish.priority, one->asked, now, settings) >
                              GrownPriority(other->wish.priority, other->asked, now, settings);
                     });
  }
}

bool Ranking::ComesFirst(const Line& one, const Line& other) const {
  const WaitingRequest& mine = *one.requests[one.next];
  const WaitingRequest& theirs = *other.requests[other.next];
  const auto within = [](const Line& line, const WaitingRequest& request) {
    return line.account->used + request.demand.amount <= line.account->record.quota;
  };
  const bool mine_within = within(one, mine);
  if (mine_within != within(other, theirs)) return mine_within;
  const auto priority = [this](const Line& line, const WaitingRequest& request) {
    return GrownPriority(request.wish.priority, std::max(request.asked, line.account->last_grant), now_, settings_);
  };
  const int mine_priority = priority(one, mine);
  const int their_priority = priority(other, theirs);
  if (mine_priority != their_priority) return mine_priority > their_priority;
  if (const int64_t surplus = CompareSurplus(*one.account, *other.account); surplus != 0) return surplus < 0;
  return mine.id < theirs.id;
}

RequestId Ranking::Next() {
  Line* first = nullptr;
  for (auto& [tenant, line] : lines_) {
    if (line.next == line.requests.size()) continue;
    if (first == nullptr || ComesFirst(line, *first)) first = &line;
  }
  return first == nullptr ? 0 : first->requests[first->next++]->id;
}

}  // namespace outboard::pool
