#include "server/node/node.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "common/base/log.h"
#include "common/base/show_bytes.h"

namespace outboard::node {
namespace {

std::string InUse(const std::string& lease, uint64_t used, uint64_t wanted, const Gpu& gpu) {
  return "lease " + lease + " uses " + ShowBytes(used) + " (" + std::to_string(used) + " bytes) of " + gpu.uuid +
         ", more than the " + ShowBytes(wanted) + " (" + std::to_string(wanted) +
         ") that it would have. Let its programs free memory first, or let the change "
         "take effect when they have (gpu-admin resize --when-free).";
}

// Of a whole GPU there is nothing more to use.
bool IsCeiling(double share, bool is_hard) { return is_hard && share < 1; }

uint64_t Percent(double part) { return static_cast<uint64_t>(std::lround(100 * std::clamp(part, 0.0, 1.0))); }

}  // namespace

wire::Figures FiguresOfSlice(wire::Figures whole, double share, std::optional<double> busy) {
  uint64_t& percent = whole[wire::Figure::kBusyPercent];
  uint64_t& memory = whole[wire::Figure::kMemoryBusyPercent];
  if (share >= 1 && (percent != wire::kNoFigure || !busy)) return whole;
  if (!busy) {
    percent = memory = wire::kNoFigure;
    return whole;
  }
  const double own = *busy / share;
  const bool is_told = percent != wire::kNoFigure && percent != 0 && memory != wire::kNoFigure;
  memory = is_told ? Percent(own * static_cast<double>(memory) / static_cast<double>(percent)) : 0;
  percent = Percent(own);
  return whole;
}

Node::Node(Loop* loop, std::vector<Gpu> gpus, Workers::Config workers, bool governs)
    : gpus_(std::move(gpus)), governs_(governs), leases_(gpus_), governor_(loop), workers_(loop, std::move(workers)) {}

std::variant<Grant, Refusal> Node::OpenLease(const Wish& wish) {
  TakeBackFreed();
  std::variant<Grant, Refusal> taken = leases_.Take(wish);
  const auto* grant = std::get_if<Grant>(&taken);
  if (grant == nullptr) return taken;
  Entry entry;
  for (const Slice& slice : grant->slices) {
    Result<slice::Ledger> ledger = slice::Ledger::Create(slice.memory_bytes);
    if (!ledger) {
      leases_.End(grant->lease);
      return Refusal{ledger.error().message, true};
    }
    entry.slices.push_back(slice);
    entry.ledgers.push_back(std::move(*ledger));
  }
  entry.share = grant->share;
  entry.is_hard = wish.is_hard;
  // A part is of one GPU. A whole one has nobody to share it with, but a pool may make it a part.
  const bool may_be_part = grant->share < 1 || (wish.decided && grant->slices.size() == 1);
  entry.is_governed = governs_ && may_be_part;
  if (entry.is_governed) {
    governor_.Join(grant->lease, grant->slices[0].gpu, grant->share, IsCeiling(grant->share, wish.is_hard));
  }
  entries_.emplace(grant->lease, std::move(entry));
  return taken;
}

std::optional<Refusal> Node::Resize(const Grant& grant, bool when_free) {
  const auto found = entries_.find(grant.lease);
  if (found == entries_.end() || found->second.ending) return Refusal{"lease " + grant.lease + " is over.", false};
  if (std::optional<Refusal> refusal = leases_.WhyTooSmall(grant)) return refusal;
  Entry& entry = found->second;
  TakeBackFreed();
  // First room for the former and the new parts, then what may be refused because of what is in use.
  const Grant before = Taken(grant.lease, entry);
  Grant both = grant;
  both.share = std::max(both.share, before.share);
  for (size_t i = 0; i < both.slices.size() && i < before.slices.size(); ++i) {
    both.slices[i].memory_bytes = std::max(both.slices[i].memory_bytes, before.slices[i].memory_bytes);
  }
  if (std::optional<Refusal> refusal = leases_.Resize(both)) return refusal;
  for (size_t i = 0; i < entry.slices.size(); ++i) {
    const uint64_t wanted = grant.slices[i].memory_bytes;
    if (wanted >= entry.slices[i].memory_bytes || entry.ledgers[i].SetLimit(wanted, when_free)) continue;
    const Refusal refusal{InUse(grant.lease, entry.ledgers[i].used(), wanted, gpus_[entry.slices[i].gpu]), true};
    for (size_t j = 0; j < i; ++j) static_cast<void>(entry.ledgers[j].SetLimit(entry.slices[j].memory_bytes, true));
    leases_.Resize(before);
    return refusal;
  }
  for (size_t i = 0; i < entry.slices.size(); ++i) {
    static_cast<void>(entry.ledgers[i].SetLimit(grant.slices[i].memory_bytes, true));
  }
  entry.slices = grant.slices;
  entry.share = grant.share;
  governor_.SetShare(grant.lease, grant.share, IsCeiling(grant.share, entry.is_hard));
  entry.is_over = true;
  TakeBackFreed();
  return std::nullopt;
}

// What a lease takes of its GPUs: its parts, and what its programs have beyond them.
Grant Node::Taken(const std::string& lease, const Entry& entry) {
  Grant taken{lease, entry.share, entry.slices};
  for (size_t i = 0; i < entry.slices.size(); ++i) {
    taken.slices[i].memory_bytes = std::max(entry.slices[i].memory_bytes, entry.ledgers[i].used());
  }
  return taken;
}

// What was freed of memory that leases have beyond their parts is others'.
void Node::TakeBackFreed() {
  for (auto& [lease, entry] : entries_) {
    if (!entry.is_over) continue;
    leases_.Resize(Taken(lease, entry));
    const std::vector<uint64_t> over = OverBytes(lease);
    entry.is_over = std::any_of(over.begin(), over.end(), [](uint64_t bytes) { return bytes != 0; });
  }
}

bool Node::IsOver() const {
  return std::any_of(entries_.begin(), entries_.end(), [](const auto& each) { return each.second.is_over; });
}

std::vector<SliceUse> Node::Account(const std::string& lease) const {
  std::vector<SliceUse> account;
  const auto found = entries_.find(lease);
  if (found == entries_.end()) return account;
  for (const slice::Ledger& ledger : found->second.ledgers) {
    account.push_back({ledger.used(), ledger.peak(), ledger.unseen()});
  }
  return account;
}

std::vector<uint64_t> Node::OverBytes(const std::string& lease) const {
  std::vector<uint64_t> over;
  const auto found = entries_.find(lease);
  if (found == entries_.end()) return over;
  for (size_t i = 0; i < found->second.slices.size(); ++i) {
    const uint64_t used = found->second.ledgers[i].used(), limit = found->second.slices[i].memory_bytes;
    over.push_back(used > limit ? used - limit : 0);
  }
  return over;
}

void Node::EndLease(const std::string& lease, std::function<void()> ended) {
  const auto found = entries_.find(lease);
  if (found == entries_.end()) return ended();
  found->second.ending = true;
  found->second.when_ended.push_back(std::move(ended));
  workers_.Kill(lease);
  EraseIfOver(lease);
}

std::optional<LeaseUse> Node::Use(const std::string& lease) const {
  const auto found = entries_.find(lease);
  if (found == entries_.end()) return std::nullopt;
  const Entry& entry = found->second;
  LeaseUse use;
  use.slices = entry.slices;
  use.share = entry.share;
  if (entry.is_governed) {
    const auto busy = entry.ledgers[0].busy(slice::Ledger::Clock::now());
    use.busy = std::chrono::duration<double>(busy) / slice::Ledger::kBusyPeriod;
  }
  for (const slice::Ledger& ledger : entry.ledgers) use.used_bytes.push_back(ledger.used());
  for (const auto& [number, session] : entry.sessions) {
    LeaseUse::Session& to = use.sessions.emplace_back();
    to.ticket = session.ticket;
    for (size_t i = 0; i < entry.ledgers.size(); ++i) {
      to.used_bytes.push_back(entry.ledgers[i].used(session.accounts[i]));
    }
  }
  return use;
}

std::chrono::milliseconds Node::Idle(const std::string& lease) const {
  const auto found = entries_.find(lease);
  if (found == entries_.end()) return {};
  const auto now = slice::Ledger::Clock::now();
  auto last_work = slice::Ledger::Clock::time_point::min();
  for (const slice::Ledger& ledger : found->second.ledgers) {
    last_work = std::max(last_work, ledger.at_rest_since().value_or(now));
  }
  // Another process's clock may be read a moment later than this one's.
  return std::chrono::duration_cast<std::chrono::milliseconds>(now - std::min(last_work, now));
}

uint64_t Node::UsedBytes(unsigned gpu) const {
  uint64_t bytes = 0;
  for (const auto& [lease, entry] : entries_) {
    for (size_t i = 0; i < entry.slices.size(); ++i) {
      if (entry.slices[i].gpu == gpu) bytes += entry.ledgers[i].used();
    }
  }
  return bytes;
}

void Node::Admit(Visitor session) {
  const std::optional<std::string> lease = leases_.UseTicket(session.ticket);
  const auto found = lease ? entries_.find(*lease) : entries_.end();
  if (found == entries_.end() || found->second.ending) {
    Log(LogLevel::kWarn,
        "closes a session's connection: its ticket is not valid, was used or belongs to a lease that is over");
    return;
  }
  Entry& entry = found->second;
  worker::Assignment assignment;
  assignment.session = ++sessions_;
  assignment.ticket = std::move(session.ticket);
  assignment.connection = std::move(session.connection);
  std::vector<uint32_t> accounts;
  for (size_t i = 0; i < entry.slices.size(); ++i) {
    const std::optional<uint32_t> account = entry.ledgers[i].OpenAccount();
    UniqueFd ledger(fcntl(entry.ledgers[i].fd(), F_DUPFD_CLOEXEC, 0));
    if (account) accounts.push_back(*account);
    if (!account || !ledger) {
      Log(LogLevel::kWarn, "lease %s: closes a session's connection: %s", lease->c_str(),
          account ? std::strerror(errno) : "the lease has as many sessions as it may have");
      for (size_t j = 0; j < accounts.size(); ++j) entry.ledgers[j].Settle(accounts[j]);
      return;
    }
    const unsigned gpu = entry.slices[i].gpu;
    assignment.devices.push_back({static_cast<int32_t>(gpu), *account, std::move(ledger), gpus_[gpu].context_bytes});
  }
  const uint64_t number = assignment.session;
  if (entry.is_governed) {
    Result<UniqueFd> turns = governor_.Admit(*lease, number);
    if (!turns) {
      Log(LogLevel::kWarn, "lease %s: closes a session's connection: %s", lease->c_str(),
          turns.error().message.c_str());
      for (size_t i = 0; i < accounts.size(); ++i) entry.ledgers[i].Settle(accounts[i]);
      return;
    }
    assignment.turns = std::move(*turns);
  }
  entry.sessions[number] = {assignment.ticket, accounts};
  Log(LogLevel::kInfo, "lease %s: session %llu begins", lease->c_str(), static_cast<unsigned long long>(number));
  workers_.Serve(*lease, assignment, [this, name = *lease, number] { EndSession(name, number); });
}

void Node::EndSession(const std::string& lease, uint64_t session) {
  Entry& entry = entries_.at(lease);
  const std::vector<uint32_t>& accounts = entry.sessions.at(session).accounts;
  for (size_t i = 0; i < accounts.size(); ++i) entry.ledgers[i].Settle(accounts[i]);
  governor_.End(lease, session);
  entry.sessions.erase(session);
  EraseIfOver(lease);
}

void Node::EraseIfOver(const std::string& lease) {
  Entry& entry = entries_.at(lease);
  if (!entry.ending || !entry.sessions.empty()) return;
  const std::vector<std::function<void()>> when_ended = std::move(entry.when_ended);
  governor_.Leave(lease);
  entries_.erase(lease);
  leases_.End(lease);
  for (const auto& ended : when_ended) ended();
}

}  // namespace outboard::node
