#include "server/worker/shares.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "server/worker/session.h"

namespace outboard::worker {
namespace {

using Ticket = DescriptorExchange::Ticket;

constexpr char kMagic[8] = {'O', 'B', 'S', 'H', 'A', 'R', 'E', '1'};

Ticket TicketIn(const slice::Export& what) {
  Ticket ticket;
  std::memcpy(&ticket, &what.handle, sizeof ticket);
  return ticket;
}

// The half of the ticket's number that the clients' names have.
uint64_t CheckOf(const Ticket& ticket) {
  uint64_t check;
  std::memcpy(&check, &ticket.number, sizeof check);
  return check;
}

slice::ExportName NameIn(const OutboardShare& share) { return {share.place, share.key}; }

}  // namespace

Shares::~Shares() {
  for (const Entry& entry : opened_) {
    const LeasedDevice* const device = DeviceOf(entry.share);
    device->ledger->CloseExport(NameIn(entry.share), device->account);
  }
}

// Null for what is no name of a share.
const LeasedDevice* Shares::DeviceOf(const OutboardShare& share) const {
  const bool may_be = std::memcmp(share.magic, kMagic, sizeof kMagic) == 0 && share.device < devices_.size();
  return may_be ? &devices_[share.device] : nullptr;
}

std::vector<Shares::Entry>::iterator Shares::Find(std::vector<Entry>& entries, const OutboardShare& share) {
  return std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) {
    return entry.share.device == share.device && entry.share.place == share.place && entry.share.key == share.key;
  });
}

std::optional<OutboardShare> Shares::Add(const LeasedDevice& device, slice::ExportKind kind, UniqueFd descriptor,
                                         uint64_t bytes, uint64_t charged) {
  const auto ticket = exchange_.Offer(std::move(descriptor));
  if (!ticket) return std::nullopt;
  slice::Export what{kind, {}, bytes, charged};
  static_assert(sizeof *ticket <= sizeof what.handle);
  std::memcpy(&what.handle, &*ticket, sizeof *ticket);
  const auto name = device.ledger->AddExport(device.account, what);
  if (!name) {
    exchange_.Withdraw(*ticket);
    return std::nullopt;
  }
  OutboardShare share{{}, static_cast<uint32_t>(&device - devices_.data()), name->place, name->key, CheckOf(*ticket)};
  std::memcpy(share.magic, kMagic, sizeof kMagic);
  std::lock_guard lock(mutex_);
  own_.push_back({share, what});
  return share;
}

void Shares::End(const OutboardShare& share) {
  Entry entry;
  {
    std::lock_guard lock(mutex_);
    const auto found = Find(own_, share);
    if (found == own_.end()) return;
    entry = *found;
    own_.erase(found);
  }
  exchange_.Withdraw(TicketIn(entry.what));  // it keeps the memory, as a handle does
  const LeasedDevice& device = *DeviceOf(entry.share);
  device.ledger->EndExport(NameIn(entry.share), device.account);
}

// Opens it in the ledger the first time.
std::optional<slice::Export> Shares::CountUp(const LeasedDevice& device, const OutboardShare& share,
                                             slice::ExportKind kind) {
  std::lock_guard lock(mutex_);
  auto found = Find(opened_, share);
  if (found == opened_.end()) {
    const auto what = device.ledger->OpenExport(NameIn(share), kind, device.account);
    if (!what) return std::nullopt;
    found = opened_.insert(found, {share, *what});
  }
  ++found->times;
  return found->what;
}

std::optional<Shares::Opened> Shares::Open(const OutboardShare& share, slice::ExportKind kind) {
  const LeasedDevice* const device = DeviceOf(share);
  if (device == nullptr) return std::nullopt;
  const auto what = CountUp(*device, share, kind);
  if (!what) return std::nullopt;
  UniqueFd descriptor;
  const Ticket ticket = TicketIn(*what);
  if (what->kind == kind && CheckOf(ticket) == share.check) descriptor = DescriptorExchange::Ask(ticket);
  if (!descriptor) {
    Close(share);
    return std::nullopt;
  }
  return Opened{device, what->bytes, std::move(descriptor)};
}

void Shares::Close(const OutboardShare& share) {
  std::lock_guard lock(mutex_);
  const auto found = Find(opened_, share);
  if (found == opened_.end() || --found->times != 0) return;
  const LeasedDevice& device = *DeviceOf(found->share);
  device.ledger->CloseExport(NameIn(found->share), device.account);
  opened_.erase(found);
}

}  // namespace outboard::worker
