#include "server/node/leases.h"

#include <sys/random.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "common/base/limits.h"
#include "common/base/show_bytes.h"

namespace outboard::node {
namespace {

// Shares are sums of fractions as people write them: three times 0.3333 and one third fit together.
constexpr double kTolerance = 1e-9;

void FillRandom(void* to, size_t bytes) {
  char* at = static_cast<char*>(to);
  while (bytes != 0) {
    const ssize_t got = getrandom(at, bytes, 0);
    if (got <= 0) continue;  // interrupted by a signal
    at += got;
    bytes -= static_cast<size_t>(got);
  }
}

bool Equal(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < one.size(); ++i) difference |= static_cast<unsigned char>(one[i] ^ other[i]);
  return difference == 0;
}

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

std::string Gibibytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

uint64_t MemoryOn(const Gpu& gpu, const Wish& wish, double share) {
  if (wish.memory_bytes != 0) return wish.memory_bytes;
  return share == 1 ? gpu.memory_bytes
                    : static_cast<uint64_t>(std::floor(static_cast<double>(gpu.memory_bytes) * share));
}

std::optional<Refusal> TooSmall(const Gpu& gpu, uint64_t bytes) {
  if (bytes >= gpu.context_bytes) return std::nullopt;
  return Refusal{"A slice of " + ShowBytes(bytes) + " (" + std::to_string(bytes) + " bytes) of " + gpu.name +
                     " is too small: its driver takes " + ShowBytes(gpu.context_bytes) + " (" +
                     std::to_string(gpu.context_bytes) + ") of it for each process that uses the GPU. Ask for more.",
                 false};
}

constexpr double kSmallestShare = 0.001;  // as in a pool: a turn of less would be over before it is told

}  // namespace

Leases::Leases(std::vector<Gpu> gpus) : gpus_(std::move(gpus)) {
  for (const Gpu& gpu : gpus_) uses_.push_back({gpu.memory_bytes});
}

std::variant<std::vector<Slice>, Refusal> Leases::Place(const Wish& wish) const {
  if (!(wish.gpus >= kSmallestShare) || wish.gpus > kMaxDevices ||
      (wish.gpus > 1 && wish.gpus != std::floor(wish.gpus))) {
    return Refusal{"A lease is a fraction of one GPU, from " + Number(kSmallestShare) +
                       " on, or a whole number of GPUs, and " + Number(wish.gpus) + " was asked for.",
                   false};
  }
  const auto wanted = static_cast<size_t>(std::ceil(wish.gpus));
  const double share = std::min(wish.gpus, 1.0);

  // Those on which it fits, and whether it would with nobody else there.
  std::vector<std::pair<uint64_t, Slice>> fitting;  // with the memory left over
  size_t large_enough = 0;
  uint64_t largest = 0;
  std::optional<Refusal> too_small;
  for (unsigned i = 0; i < gpus_.size(); ++i) {
    const uint64_t bytes = MemoryOn(gpus_[i], wish, share);
    largest = std::max(largest, gpus_[i].memory_bytes);
    if (bytes == 0 || bytes > gpus_[i].memory_bytes) continue;
    if (std::optional<Refusal> refusal = TooSmall(gpus_[i], bytes)) {
      too_small = std::move(refusal);
      continue;
    }
    ++large_enough;
    if (uses_[i].free_share + kTolerance < share) continue;
    if (bytes > uses_[i].free_bytes) continue;
    fitting.push_back({uses_[i].free_bytes - bytes, {i, bytes}});
  }
  if (wanted > gpus_.size()) {
    return Refusal{Number(wish.gpus) + " GPUs were asked for, and this node has " + std::to_string(gpus_.size()) + ".",
                   false};
  }
  if (large_enough < wanted && too_small) return std::move(*too_small);
  if (large_enough < wanted) {
    return Refusal{Gibibytes(wish.memory_bytes) + " of GPU memory were asked for, and this node's largest GPU has " +
                       Gibibytes(largest) + ".",
                   false};
  }
  if (fitting.size() < wanted) {
    return Refusal{Number(wish.gpus) + (wanted > 1 ? " GPUs are" : " of a GPU is") +
                       " not free on this node now: other leases have it. Try again later.",
                   true};
  }
  std::stable_sort(fitting.begin(), fitting.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Slice> slices;
  for (size_t i = 0; i < wanted; ++i) slices.push_back(fitting[i].second);
  std::sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) { return a.gpu < b.gpu; });
  return slices;
}

// Who decided may have thought of leases as over that this node still has. Nothing is given out twice for that.
std::optional<Refusal> Leases::WhyNot(const Grant& decided) const {
  if (leases_.contains(decided.lease)) {
    return Refusal{"This node has a lease " + decided.lease + " already.", true};
  }
  if (std::optional<Refusal> refusal = WhyTooSmall(decided)) return refusal;
  return WhyNoRoom(decided);
}

std::optional<Refusal> Leases::WhyTooSmall(const Grant& grant) const {
  for (const Slice& slice : grant.slices) {
    if (slice.gpu >= gpus_.size()) continue;
    if (std::optional<Refusal> refusal = TooSmall(gpus_[slice.gpu], slice.memory_bytes)) return refusal;
  }
  return std::nullopt;
}

std::optional<Refusal> Leases::WhyNoRoom(const Grant& decided) const {
  for (const Slice& slice : decided.slices) {
    if (slice.gpu >= gpus_.size() || slice.memory_bytes == 0 || slice.memory_bytes > uses_[slice.gpu].free_bytes ||
        uses_[slice.gpu].free_share + kTolerance < decided.share) {
      return Refusal{"Lease " + decided.lease + " does not fit beside the leases that this node has. Try again later.",
                     true};
    }
  }
  return std::nullopt;
}

std::variant<Grant, Refusal> Leases::Take(const Wish& wish) {
  if (leases_.size() == kMaxLeases) {
    return Refusal{"This node has " + std::to_string(kMaxLeases) + " leases already, and gives no more.", true};
  }
  Grant grant;
  if (wish.decided) {
    if (std::optional<Refusal> refusal = WhyNot(*wish.decided)) return std::move(*refusal);
    grant = *wish.decided;
  } else {
    std::variant<std::vector<Slice>, Refusal> placed = Place(wish);
    if (auto* refusal = std::get_if<Refusal>(&placed)) return std::move(*refusal);
    grant = {NewName(), std::min(wish.gpus, 1.0), std::get<std::vector<Slice>>(std::move(placed))};
  }
  Occupy(grant);
  leases_[grant.lease].grant = grant;
  return grant;
}

void Leases::Occupy(const Grant& grant) {
  for (const Slice& slice : grant.slices) {
    uses_[slice.gpu].free_bytes -= slice.memory_bytes;
    uses_[slice.gpu].free_share -= grant.share;
  }
}

void Leases::Vacate(const Grant& grant) {
  for (const Slice& slice : grant.slices) {
    uses_[slice.gpu].free_bytes += slice.memory_bytes;
    uses_[slice.gpu].free_share += grant.share;
  }
}

std::optional<Refusal> Leases::Resize(const Grant& grant) {
  const auto found = leases_.find(grant.lease);
  if (found == leases_.end()) return Refusal{"This node has no lease " + grant.lease + ".", false};
  Grant& has = found->second.grant;
  const auto same_gpu = [](const Slice& one, const Slice& other) { return one.gpu == other.gpu; };
  if (!std::equal(grant.slices.begin(), grant.slices.end(), has.slices.begin(), has.slices.end(), same_gpu)) {
    return Refusal{"Lease " + grant.lease + " has other GPUs.", false};
  }
  Vacate(has);
  std::optional<Refusal> refusal = WhyNoRoom(grant);
  if (!refusal) has = grant;
  Occupy(has);
  return refusal;
}

void Leases::End(const std::string& lease) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return;
  Vacate(found->second.grant);
  leases_.erase(found);
}

std::string Leases::NewTicket(const std::string& lease) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return "";
  std::string ticket(kTicketBytes, '\0');
  FillRandom(ticket.data(), ticket.size());
  std::vector<std::string>& tickets = found->second.tickets;
  if (tickets.size() == kMaxTicketsPerLease) tickets.erase(tickets.begin());
  tickets.push_back(ticket);
  return ticket;
}

std::optional<std::string> Leases::UseTicket(std::string_view ticket) {
  std::optional<std::string> lease;
  for (auto& [name, entry] : leases_) {
    for (std::string& valid : entry.tickets) {
      if (Equal(valid, ticket)) {
        lease = name;
        valid.clear();
      }
    }
    std::erase(entry.tickets, "");
  }
  return lease;
}

std::string Leases::NewName() const {
  for (;;) {
    uint16_t number;
    FillRandom(&number, sizeof number);
    char name[8];
    std::snprintf(name, sizeof name, "%04x", number);
    if (!leases_.contains(name)) return name;
  }
}

}  // namespace outboard::node
