#include "client/run/gpus_answer.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "common/base/limits.h"

namespace outboard::run {

TicketHolders::TicketHolders(std::function<bool(pid_t)> alive) : alive_(std::move(alive)) {}

void TicketHolders::Add(const std::string& ticket, pid_t pid) {
  if (holders_.size() >= kMaxTicketHolders) {
    std::erase_if(holders_, [this](const Holder& holder) { return !alive_(holder.pid); });
    if (holders_.size() >= kMaxTicketHolders) holders_.pop_front();
  }
  holders_.push_back({ticket, pid});
}

std::optional<pid_t> TicketHolders::Find(std::string_view ticket) const {
  const auto found =
      std::find_if(holders_.begin(), holders_.end(), [&](const Holder& holder) { return holder.ticket == ticket; });
  if (found == holders_.end()) return std::nullopt;
  return found->pid;
}

bool IsAlive(pid_t pid) { return kill(pid, 0) == 0 || errno == EPERM; }

std::string GpusAnswer(const Result<NodeStatus>& status, const TicketHolders& holders) {
  if (!status) return "error " + status.error().message;
  wire::LeaseStatus lease = status->lease;
  for (const NodeStatus::Session& session : status->sessions) {
    const std::optional<pid_t> pid = holders.Find(session.ticket);
    if (!pid) continue;
    for (size_t i = 0; i < lease.gpus.size() && i < session.used_bytes.size(); ++i) {
      if (session.used_bytes[i] == 0) continue;
      lease.gpus[i].processes.push_back({static_cast<uint64_t>(*pid), session.used_bytes[i]});
    }
  }
  const std::vector<std::byte> message = wire::Encode(lease);
  return "ok gpus\n" + std::string(reinterpret_cast<const char*>(message.data()), message.size());
}

}  // namespace outboard::run
