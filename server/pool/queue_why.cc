// Why a request waits, in words.

#include <algorithm>
#include <utility>

#include "server/pool/queue.h"

namespace outboard::pool {
namespace {

constexpr size_t kShownNodes = 3;  // in a summary

}  // namespace

std::string Queue::WhyMaximum(const WaitingRequest& request) const {
  if (request.obstacle == WaitingRequest::Obstacle::kOthersFirst) {
    return "request " + std::to_string(request.behind) +
           " came first and waits for the maximum of the same tenant or pool.";
  }
  std::string text;
  int64_t used = 0;
  int64_t promised = 0;
  int64_t maximum = 0;
  if (request.obstacle == WaitingRequest::Obstacle::kPoolMaximum) {
    const std::string& pool = request.wish.pool;
    text = "the pool " + pool + " has given out ";
    used = ledger_.used(pool);
    promised = ledger_.promised(pool);
    maximum = FindPool(settings_.pools, pool)->maximum;
  } else {
    const Tenants::Account& account = ledger_.tenants().Of(request.owner.tenant);
    text = "the tenant " + request.owner.tenant + " has ";
    used = account.used;
    promised = account.promised;
    maximum = account.record.maximum;
  }
  if (holds_.Of(request.id) != nullptr) promised -= request.demand.amount;
  text += GpusText(used);
  if (promised != 0) text += " and is about to get " + GpusText(promised);
  return text + " of at most " + GpusText(maximum) + " GPUs, and " + GpusText(request.demand.amount) +
         " more would be too many.";
}

NodeShortage Queue::Tell(const Shortage& shortage, const WaitingRequest& request) const {
  NodeShortage result{cluster_.node(shortage.node).name, shortage.lack, Words(shortage, request.demand.request)};
  if (shortage.lack <= Lack::kUnhealthy) return result;
  const bool kept = std::any_of(holds_.all().begin(), holds_.all().end(), [&](const auto& each) {
    const Placement& taken = each.second.taken;
    return each.first != request.id && !taken.slices.empty() && taken.node == shortage.node;
  });
  if (kept) result.text += " (room is kept for a request before it)";
  return result;
}

std::optional<Why> Queue::WhyWaiting(RequestId id) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return std::nullopt;
  const WaitingRequest& request = found->second;
  Why why;
  if (request.obstacle != WaitingRequest::Obstacle::kNodes) {
    why.summary = WhyMaximum(request);
    return why;
  }
  holds_.Give(id);
  for (const Shortage& shortage : Explain(cluster_, request.demand.request)) {
    if (cluster_.node(shortage.node).name.empty()) continue;  // is no more
    why.nodes.push_back(Tell(shortage, request));
  }
  holds_.Fill(id);
  if (nodes_.all().empty()) {
    why.summary = "the pool has no nodes.";
    return why;
  }
  if (const Hold* const hold = holds_.Of(id); hold != nullptr) {
    why.summary = "node " + cluster_.node(hold->wanted.node).name + " keeps room for it as leases there end; now: ";
  }
  for (size_t i = 0; i < std::min(why.nodes.size(), kShownNodes); ++i) {
    if (i != 0) why.summary += "; ";
    why.summary += "node " + why.nodes[i].node + " " + why.nodes[i].text;
  }
  if (why.nodes.size() > kShownNodes) {
    why.summary += "; and " + std::to_string(why.nodes.size() - kShownNodes) + " more";
  }
  why.summary += ".";
  return why;
}

}  // namespace outboard::pool
