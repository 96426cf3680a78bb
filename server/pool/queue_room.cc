// For whom of those who wait room is kept.

#include <algorithm>
#include <utility>

#include "server/pool/queue.h"
#include "server/pool/ranking.h"

namespace outboard::pool {
namespace {

// Of one pass:
constexpr int kMaxPlans = 16;   // that are made
constexpr int kMaxLooks = 256;  // requests for which nodes are looked for
constexpr int kMaxHolds = 16;   // of requests that wait for leases to end by themselves
constexpr Duration kPassesAgain{500};

// How long room is kept on one node without getting more: longer each time, so that in the end the leases of one have
// ended by then, however long they run.
Duration Patience(const WaitingRequest& request, Duration keep_room_after) {
  constexpr int kMaxDoublings = 16;
  constexpr Duration kLeast = std::chrono::minutes(1);
  int times = 0;
  for (const auto& [node, in_vain] : request.in_vain) times += in_vain;
  const Duration first = std::max(keep_room_after, kLeast);
  return first > kForever / (1 << kMaxDoublings) ? kForever : first * (1 << std::min(times, kMaxDoublings));
}

}  // namespace

// A pass ends when it has cost enough, and the next one goes on behind those who had their turn: a few whose plans come
// to nothing do not use up what is there for all.
void Queue::KeepRoom() {
  if (requests_.empty()) return;
  if (moment_.now < keep_room_from_) return moment_.timers.Set(Due::kKeepRoom, 0, keep_room_from_);
  int plans = 0;
  int looks = 0;
  int patient = holds_.patient();
  bool failed = false;
  bool is_over = true;
  Ranking ranking(requests_, ledger_.tenants(), settings_, moment_.now);
  while (const RequestId id = ranking.Next()) {
    WaitingRequest& request = requests_.at(id);
    if (round_.over.contains(id) || !MayTake(request) || holds_.IsBeingMade(id)) continue;
    if (plans >= kMaxPlans || looks >= kMaxLooks) {
      is_over = false;
      break;
    }
    const bool may_replace = plans_.AnybodyToReplace(request);
    const bool has_hold = holds_.Of(id) != nullptr;
    const bool is_in_vain = has_hold && KeepsRoomInVain(request);
    const bool may_wait = !has_hold && IsOld(request) && patient < kMaxHolds;
    if (!may_replace && !is_in_vain && !may_wait) continue;
    round_.over.insert(id);
    ++looks;
    std::vector<int> nodes = plans_.NodesThatLackOnlyRoom(request);
    if (nodes.empty()) {
      failed = true;
      continue;
    }
    if (may_replace) {
      ++plans;
      if (ReplaceOthers(request, nodes)) continue;
      failed = true;
    }
    if (!is_in_vain && !may_wait) continue;
    ++plans;
    // Else those behind others would always have room kept where these need some.
    std::erase_if(nodes, [this](int node) { return round_.needed.contains(node); });
    if (is_in_vain) {
      failed = !MoveRoom(request, nodes) || failed;
    } else if (WaitForRoom(request, nodes)) {
      ++patient;
    } else {
      failed = true;
      if (plans_.ToWait(request, nodes, /*beside_promises=*/false)) round_.needed.insert(nodes.begin(), nodes.end());
    }
  }
  if (is_over) round_ = {};
  if (failed || !is_over) {
    keep_room_from_ = After(moment_.now, kPassesAgain);
    moment_.timers.Set(Due::kKeepRoom, 0, keep_room_from_);
  }
}

// False: that would not help.
bool Queue::ReplaceOthers(const WaitingRequest& request, const std::vector<int>& nodes) {
  std::optional<RoomPlans::Plan> plan = plans_.ToReplace(request, nodes);
  if (!plan) return false;
  // Room is kept already until leases end by themselves.
  if (plan->replaced.empty() && holds_.Of(request.id) != nullptr) return false;
  holds_.Start(request, std::move(plan->wanted), std::move(plan->replaced));
  return true;
}

// False: there is no room that is not kept for others.
bool Queue::WaitForRoom(WaitingRequest& request, const std::vector<int>& nodes) {
  std::optional<Placement> wanted = plans_.ToWait(request, nodes, /*beside_promises=*/true);
  if (!wanted) return false;
  holds_.Start(request, *std::move(wanted), {});
  ReviewLater(request);
  return true;
}

// Whether leases have to end by themselves for it, and for long none has.
bool Queue::KeepsRoomInVain(const WaitingRequest& request) {
  if (moment_.now < holds_.Of(request.id)->review) return false;
  if (!holds_.GetsMore(request.id)) return true;
  ReviewLater(request);
  return false;
}

void Queue::ReviewLater(const WaitingRequest& request) {
  const Time review = After(moment_.now, Patience(request, settings_.keep_room_after));
  holds_.SetReview(request.id, review);
  moment_.timers.Set(Due::kRequestAged, request.id, review);
}

// To another node, if there is one. False: what it needs there is kept for others.
bool Queue::MoveRoom(WaitingRequest& request, std::vector<int> nodes) {
  const int node = holds_.Of(request.id)->wanted.node;
  std::erase(nodes, node);
  std::optional<Placement> wanted = plans_.ToWait(request, nodes, /*beside_promises=*/true);
  if (!wanted && plans_.ToWait(request, nodes, /*beside_promises=*/false)) {
    round_.needed.insert(nodes.begin(), nodes.end());
    return false;
  }
  ++request.in_vain[node];
  if (wanted) holds_.Start(request, *std::move(wanted), {});
  ReviewLater(request);
  return true;
}

}  // namespace outboard::pool
