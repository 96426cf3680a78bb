// For whom of those who wait room is kept.

#include <utility>

#include "server/pool/queue.h"
#include "server/pool/ranking.h"

namespace outboard::pool {
namespace {

constexpr int kMaxPlans = 16;  // that are made for one event
constexpr int kMaxHolds = 16;  // of requests that wait for leases to end by themselves
constexpr Duration kPlansAgain{500};

}  // namespace

void Queue::KeepRoom() {
  if (requests_.empty()) return;
  if (moment_.now < keep_room_from_) return moment_.timers.Set(Due::kKeepRoom, 0, keep_room_from_);
  int plans = 0;
  int patient = holds_.patient();
  bool failed = false;
  bool is_in_turn = true;  // nobody before waits for room that is kept for others
  Ranking ranking(requests_, ledger_.tenants(), settings_, moment_.now);
  while (const RequestId id = ranking.Next()) {
    WaitingRequest& request = requests_.at(id);
    if (!MayTake(request) || holds_.IsBeingMade(id)) continue;
    if (plans_.AnybodyToReplace(request)) {
      if (++plans > kMaxPlans) break;
      if (ReplaceOthers(request)) continue;
      failed = true;
    }
    if (holds_.Of(id) != nullptr || !IsOld(request) || !is_in_turn || patient >= kMaxHolds) continue;
    if (++plans > kMaxPlans) break;
    if (WaitForRoom(request)) {
      ++patient;
    } else {
      failed = true;
      // Else those behind it would always have room kept where it needs some.
      is_in_turn = !plans_.ToWait(request, /*beside_promises=*/false);
    }
  }
  if (failed || plans > kMaxPlans) {
    keep_room_from_ = After(moment_.now, kPlansAgain);
    moment_.timers.Set(Due::kKeepRoom, 0, keep_room_from_);
  }
}

// False: that would not help.
bool Queue::ReplaceOthers(const WaitingRequest& request) {
  std::optional<RoomPlans::Plan> plan = plans_.ToReplace(request);
  if (!plan) return false;
  // Room is kept already until leases end by themselves.
  if (plan->replaced.empty() && holds_.Of(request.id) != nullptr) return false;
  holds_.Start(request, std::move(plan->wanted), std::move(plan->replaced));
  return true;
}

// False: there is no room that is not kept for others.
bool Queue::WaitForRoom(const WaitingRequest& request) {
  std::optional<Placement> wanted = plans_.ToWait(request, /*beside_promises=*/true);
  if (!wanted) return false;
  holds_.Start(request, *std::move(wanted), {});
  return true;
}

}  // namespace outboard::pool
